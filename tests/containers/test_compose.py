"""compose.yml as it is, in a real container engine: `make compose-check`."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from photo_pipeline.domain.pipeline import PIPELINE
from support.brokers import BROKER_VARIABLE
from support.containers import read_compose
from support.processes import ROOT, SAMPLES, Fleet
from support.stack import Stack, run, tell
from support.waiting import until

PHOTO = SAMPLES / "rocket-adobe-rgb.jpg"
LARGE = SAMPLES / "dandelion-16mp.jpg"
LOAD = 60  # of the large ones: more than are done while containers are being killed
SLOW_S = 300  # two CPUs for twenty containers
BROKER_TESTS = (
    "tests/integration/test_broker.py",
    "tests/integration/test_fakes.py",
    "tests/e2e/test_pipeline.py",
)


def _credentials() -> tuple[str, str]:
    environment = read_compose(ROOT / "compose.yml")["services"]["rabbitmq"]["environment"]
    return environment["RABBITMQ_DEFAULT_USER"], environment["RABBITMQ_DEFAULT_PASS"]


async def _up(stack: Stack, *arguments: str, files: tuple[str, ...] = ("compose.yml",)) -> None:
    """Start what is not running and wait until all is well.

    Not by `--wait`, which gives up at a role that is still unready after its server's absence.
    """
    stack.compose("up", "--detach", "--no-build", *arguments, files=files)

    async def well() -> bool:
        return not stack.unhealthy()

    await until(well, within_s=SLOW_S, every_s=1)


async def test_every_container_is_healthy_and_not_root(stack: Stack) -> None:
    assert stack.unhealthy() == {}
    services = Counter(
        c["Config"]["Labels"]["com.docker.compose.service"] for c in stack.containers()
    )
    assert [services[name] for name in PIPELINE] == [3, 2, 2]
    for container in stack.containers():
        user = run("docker", "exec", container["Id"], "id", "--user").strip()
        assert user != "0", container["Name"]


async def test_the_samples_go_through(stack: Stack, client: Fleet) -> None:
    paths = sorted(p for p in SAMPLES.iterdir() if p.suffix not in (".json", ".md"))
    started = time.monotonic()
    ids = [await client.upload(stack, path) for path in paths]
    documents = await client.outcomes(stack, ids, within_s=SLOW_S)
    tell(f"{len(ids)} samples done after {time.monotonic() - started:.1f} s")
    assert [d["status"] for d in documents] == ["done"] * len(ids)
    for document in documents:
        for rendition in document["renditions"]:
            async with client.http.get(f"{stack.url}{rendition['url']}") as answer:
                assert answer.status == 200
                assert len(await answer.read()) == rendition["bytes"]


async def test_one_photo_by_itself(stack: Stack, client: Fleet) -> None:
    started = time.monotonic()
    document = await client.outcome(stack, await client.upload(stack, PHOTO))
    tell(f"one photo done after {time.monotonic() - started:.2f} s")
    assert document["status"] == "done"


async def test_every_outcome_is_archived(stack: Stack, client: Fleet) -> None:
    photo_id = await client.upload(stack, PHOTO)
    assert (await client.outcome(stack, photo_id))["status"] == "done"
    (archive,) = stack.containers("archive")

    async def kept() -> bool:
        folder = "/var/lib/photo-pipeline/archive"
        return photo_id in run("docker", "exec", archive["Id"], "find", folder)

    await until(kept, within_s=60)


async def test_docs_and_management_answer(stack: Stack, client: Fleet) -> None:
    async with client.http.get(f"{stack.url}/docs") as answer:
        assert answer.status == 200
    queues = f"{stack.management_url}/api/queues"
    ours = {"Authorization": aiohttp.encode_basic_auth(*_credentials())}
    async with client.http.get(queues, headers=ours) as answer:
        assert answer.status == 200
        kept = {q["name"]: q["type"] for q in await answer.json() if q["durable"]}
    assert set(kept) >= set(PIPELINE)
    assert set(kept.values()) == {"quorum"}
    for stranger in ({}, {"Authorization": aiohttp.encode_basic_auth("guest", "guest")}):
        async with client.http.get(queues, headers=stranger) as answer:
            assert answer.status == 401


async def test_nothing_else_is_published(stack: Stack) -> None:
    published = {
        (inner, binding["HostIp"] == "127.0.0.1")
        for container in stack.containers()
        for inner, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or []
    }
    assert published == {("8000/tcp", False), ("15672/tcp", True)}


async def test_a_stage_scales(stack: Stack) -> None:
    await _up(stack, "--scale", "resize=5")
    assert len(stack.containers("resize")) == 5
    await _up(stack)
    assert len(stack.containers("resize")) == 3


async def test_killed_containers_lose_nothing(stack: Stack, client: Fleet) -> None:
    ids = [await client.upload(stack, LARGE) for _ in range(LOAD)]

    async def in_the_middle() -> bool:
        documents = await asyncio.gather(*(client.status(stack, i) for i in ids))
        running = {s["name"] for d in documents for s in d["stages"] if s["status"] == "running"}
        return running >= {"resize"} and any(d["status"] == "done" for d in documents)

    await until(in_the_middle, within_s=SLOW_S)
    stack.kill("resize", most=1)
    stack.kill("detect")
    assert not stack.containers("detect")
    documents = await asyncio.gather(*(client.status(stack, i) for i in ids))
    assert any(d["status"] != "done" for d in documents), "too late to be in the middle"
    # An operator's next word; a crash from within restarts by itself.
    stack.compose("up", "--detach", "--no-build")
    documents = await client.outcomes(stack, ids, within_s=SLOW_S)
    assert [d["status"] for d in documents] == ["done"] * LOAD
    tell(f"attempts of {LOAD} photos: {_attempts(documents)}")


def _attempts(documents: list[dict[str, Any]]) -> dict[str, dict[int, int]]:
    return {
        name: dict(
            Counter(s["attempts"] for d in documents for s in d["stages"] if s["name"] == name)
        )
        for name in PIPELINE
    }


@pytest.mark.parametrize("server", ["rabbitmq", "mongo"])
async def test_a_killed_server_comes_back_with_what_it_had(
    stack: Stack, client: Fleet, server: str
) -> None:
    before = await client.upload(stack, PHOTO)
    await client.outcome(stack, before)
    stack.kill(server)
    await _up(stack)
    assert (await client.status(stack, before))["status"] == "done"
    after = await client.upload(stack, PHOTO)
    assert (await client.outcome(stack, after, SLOW_S))["status"] == "done"


async def test_a_role_stops_with_status_0(stack: Stack) -> None:
    stack.compose("stop", "watermark", "api", "monitor")
    stopped = stack.compose("ps", "--all", "--format", "json", "watermark", "api", "monitor")
    assert {json.loads(line)["ExitCode"] for line in stopped.splitlines()} == {0}
    await _up(stack)


async def test_the_broker_tests_pass_against_this_rabbitmq(stack: Stack) -> None:
    """The same tests that run against the private broker of the test suite, of another version."""
    files = ("compose.yml", "tests/containers/amqp.yml")
    await _up(stack, "rabbitmq", files=files)
    address = stack.compose("port", "rabbitmq", "5672", files=files).strip()
    user, password = _credentials()
    version = run("docker", "exec", stack.containers("rabbitmq")[0]["Id"], "rabbitmqctl", "version")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", *BROKER_TESTS),
        env=os.environ | {BROKER_VARIABLE: f"amqp://{user}:{password}@{address}/"},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    tell(f"RabbitMQ {version.strip()}: {said.decode().splitlines()[-1]}")
    assert process.returncode == 0, said.decode()
