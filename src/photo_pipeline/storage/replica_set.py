"""Making a MongoDB replica set out of members that run."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import PyMongoError

from photo_pipeline.errors import StoreUnavailableError
from photo_pipeline.storage.mongo import translated

ELECTION_TIMEOUT_MS: Final = 3000  # the default of 10 s is meant for networks; these are neighbours
PRIMARY_TIMEOUT_S: Final = 60.0  # takes about ELECTION_TIMEOUT_MS, more on a busy machine
POLL_S: Final = 0.1


async def initiate(name: str, members: Sequence[str]) -> None:
    """Make one replica set of *members* (host:port) and return once it has a primary.

    Raises StoreUnavailableError.
    """
    configuration = {
        "_id": name,
        "members": [{"_id": number, "host": host} for number, host in enumerate(members)],
        "settings": {"electionTimeoutMillis": ELECTION_TIMEOUT_MS},
    }
    # Without directConnection the driver would look for the set that is yet to be.
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        f"mongodb://{members[0]}/?directConnection=true"
    )
    try:
        with translated():
            await client.admin.command("replSetInitiate", configuration)
        with suppress(TimeoutError):
            async with asyncio.timeout(PRIMARY_TIMEOUT_S):
                while await _primary(client) is None:  # noqa: ASYNC110  # no event tells of it
                    await asyncio.sleep(POLL_S)
                return
        raise StoreUnavailableError(f"no primary within {PRIMARY_TIMEOUT_S:g} s")
    finally:
        client.close()


async def primary_of(url: str) -> str | None:
    """Return host:port of the primary as any member at *url* knows it; None if it has none.

    Raises StoreUnavailableError.
    """
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url)
    try:
        with translated():
            return await _primary(client)
    finally:
        client.close()


async def _primary(client: AsyncIOMotorClient[dict[str, Any]]) -> str | None:
    with suppress(PyMongoError):
        found: str | None = (await client.admin.command("hello")).get("primary")
        return found
    return None
