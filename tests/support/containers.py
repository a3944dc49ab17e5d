"""What Containerfile and compose.yml say."""

import json
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, Final

from support.processes import ROOT

TOOLS: Final = Path(sysconfig.get_path("scripts"))
CONTAINERFILE: Final = (ROOT / "Containerfile").read_text()


def read_compose(*files: Path) -> dict[str, Any]:
    """Return what Compose makes of *files*, with none of this machine's environment."""
    options = [part for file in files for part in ("--file", str(file))]
    answer = subprocess.run(
        [TOOLS / "docker-compose", *options, "config", "--format", "json"],
        env={"HOME": "/nonexistent"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def role_services(services: dict[str, Any]) -> dict[str, Any]:
    """Return those of *services* that run roles of ours."""
    return {name: s for name, s in services.items() if "PHOTO_AMQP_URL" in s["environment"]}


def image_environment() -> dict[str, str]:
    """Return the settings that the image comes with."""
    return dict(re.findall(r"^    (PHOTO_\w+)=(\S+)", CONTAINERFILE, flags=re.MULTILINE))
