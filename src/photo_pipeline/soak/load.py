"""The uploads: each photo is sent until a replica has accepted it."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from photo_pipeline.client.answers import RefusedError, UnexpectedAnswerError, UnreachableError
from photo_pipeline.client.patience import pause_s
from photo_pipeline.client.service import Service, connected
from photo_pipeline.imaging.synthetic import synthetic_jpeg
from photo_pipeline.soak.plan import Plan

START_TIMEOUT_S: Final = 90.0  # a dozen processes that start at once on two cores
START_POLL_S: Final = 0.2
UPLOAD_PATIENCE_S: Final = 120.0  # several times as long as the longest outage of a plan


@dataclass(slots=True)
class Load:
    """What was sent: ``accepted`` holds the checksum of the upload for each photo id.

    ``unanswered`` tries may have left a photo nevertheless; ``refused`` tries, mostly because
    the database is away, have not. ``given_up`` tells why photos were never accepted.
    """

    accepted: dict[str, str] = field(default_factory=dict)
    unanswered: int = 0
    refused: int = 0
    given_up: list[str] = field(default_factory=list)


async def until_serving(urls: Sequence[str], stack: AsyncExitStack) -> list[Service]:
    """Return a client for each of *urls* once they answer; it is closed with *stack*.

    Raises UnreachableError if one does not.
    """

    async def one(url: str) -> Service:
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            try:
                return await stack.enter_async_context(connected(url))
            except UnreachableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(START_POLL_S)

    return [await one(url) for url in urls]


async def upload_all(plan: Plan, folder: Path, services: Sequence[Service], load: Load) -> None:
    """Upload the photos of *plan* when they are due, to the replicas in turn."""
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for number in range(plan.photos):
            due = began + plan.upload_at_s(number)
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            file = folder / f"photo-{number:05}.jpg"
            checksum = await asyncio.to_thread(_make, plan.seed, number, file)
            # One key for all tries: a service that knows it answers with the same photo again.
            key = str(uuid5(NAMESPACE_OID, f"{plan.seed} {number}"))
            group.create_task(_upload(file, checksum, key, _in_turn(services, number), load))


def _make(seed: int, number: int, file: Path) -> str:
    """Write the photo *number* to *file*; return its SHA-256."""
    chance = random.Random(f"{seed} photo {number}")  # noqa: S311  # it is to repeat itself
    data = synthetic_jpeg(chance)
    file.write_bytes(data)
    return sha256(data).hexdigest()


def _in_turn(services: Sequence[Service], first: int) -> Iterator[Service]:
    """Yield *services* for ever, as a balancer would choose them for try after try."""
    number = first
    while True:
        yield services[number % len(services)]
        number += 1


async def _upload(
    file: Path, checksum: str, key: str, services: Iterator[Service], load: Load
) -> None:
    deadline = asyncio.get_running_loop().time() + UPLOAD_PATIENCE_S
    for tries, service in enumerate(services, start=1):
        trouble: UnreachableError | RefusedError | UnexpectedAnswerError
        try:
            photo_id = await service.upload(file, preset=None, idempotency_key=key)
        except RefusedError as error:
            load.refused += 1
            trouble = error
        except (UnreachableError, UnexpectedAnswerError) as error:
            load.unanswered += 1
            trouble = error
        else:
            load.accepted[photo_id] = checksum
            return
        if asyncio.get_running_loop().time() > deadline:
            load.given_up.append(f"{file.name}: {trouble.message}")
            return
        await asyncio.sleep(pause_s(tries))
