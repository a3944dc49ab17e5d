"""The composed system in a container engine."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.processes import ROOT

COMMAND_S: Final = 1200  # a build without cache on a slow line


@dataclass(frozen=True, slots=True)
class Stack:
    """A running composed system, under a project name and on ports of its own."""

    project: str
    url: str
    management_url: str
    environment: Mapping[str, str]

    def compose(self, *arguments: str, files: tuple[str, ...] = ("compose.yml",)) -> str:
        """Run ``docker compose`` on *files* and return what it prints."""
        options = [part for file in files for part in ("--file", str(ROOT / file))]
        return run(
            *("docker", "compose", "--ansi", "never", "--progress", "quiet"),
            *("--project-name", self.project, *options, *arguments),
            environment=self.environment,
        )

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what the engine says of the running containers of *services*; all if none."""
        ids = self.compose("ps", "--quiet", *services).split()
        found: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids)) if ids else []
        return found

    def kill(self, *services: str, most: int | None = None) -> None:
        """Kill containers of *services* as a power cut would."""
        ids = [container["Id"] for container in self.containers(*services)[:most]]
        assert ids
        run("docker", "kill", *ids)

    def unhealthy(self) -> dict[str, str]:
        """Return the running containers that are not healthy, with their state."""
        states = {c["Name"]: c["State"]["Health"]["Status"] for c in self.containers()}
        return {name: state for name, state in states.items() if state != "healthy"}


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run *command* to its end and return its output; fail with what it says."""
    answer = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert answer.returncode == 0, f"{shlex.join(command)}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def tell(text: str) -> None:
    """Print a measurement or a log; pytest shows it with `-s` or in a failure."""
    print(text)  # noqa: T201  # what the check is run for
