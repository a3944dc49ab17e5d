"""The composed system: built, started, and gone without a trace afterwards."""

import json
import os
import shlex
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from photo_pipeline.embedded.ports import free_ports
from support.containers import read_compose
from support.processes import ROOT, Fleet, Space
from support.stack import Stack, run, tell

BUILD_ARGUMENTS_VARIABLE: Final = "COMPOSE_CHECK_BUILD_ARGS"
"""More arguments for `docker build`, such as `--network host` where packages come by a proxy."""

HEALTHY_S: Final = 600  # pulling the images of the servers may be part of it


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Start compose.yml as it is, as a user would; ports and project name are the only news."""
    api, management = free_ports(2)
    stack = Stack(
        project=f"compose-check-{uuid4().hex[:8]}",
        url=f"http://127.0.0.1:{api}",
        management_url=f"http://127.0.0.1:{management}",
        environment=os.environ | {"API_PORT": str(api), "MANAGEMENT_PORT": str(management)},
    )
    image = read_compose(ROOT / "compose.yml")["services"]["api"]["image"]
    more = shlex.split(os.environ.get(BUILD_ARGUMENTS_VARIABLE, ""))
    # Built here so that arguments can be given; what `up --build` does comes from the cache then.
    run("docker", "build", *more, "--tag", image, "--file", "Containerfile", ".")
    size = json.loads(run("docker", "image", "inspect", image))[0]["Size"]
    tell(f"image of {size / 1e6:.0f} MB")
    failed = True
    try:
        started = time.monotonic()
        stack.compose("up", "--build", "--detach", "--wait", "--wait-timeout", str(HEALTHY_S))
        tell(f"healthy after {time.monotonic() - started:.1f} s")
        yield stack
        failed = request.session.testsfailed > 0
    finally:
        if failed:
            tell(stack.compose("ps", "--all"))
            tell(stack.compose("logs", "--tail", "30"))
        stack.compose("down", "--volumes", "--remove-orphans")
    assert not run("docker", "volume", "ls", "--quiet", "--filter", f"name={stack.project}")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Fleet]:
    """An HTTP client; the processes run in containers already."""
    async with Fleet(Space(name="containers", storage=tmp_path, environment={})) as fleet:
        yield fleet
