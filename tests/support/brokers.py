"""A RabbitMQ that runs already, in place of the private one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Never, cast

import pytest

from photo_pipeline.embedded.launcher import EmbeddedServers
from photo_pipeline.embedded.mongod import find_mongod, start_mongod

BROKER_VARIABLE: Final = "TEST_AMQP_URL"
"""Names the broker to test against, with the queues of the tests left behind on it: one that is
kept for tests, or thrown away. No setting, so that no role process sees it."""


class _ForeignBroker:
    """Not ours to stop or to starve: a test that would do so is skipped."""

    def __getattr__(self, name: str) -> Never:
        pytest.skip(f"uses {name}() of a private RabbitMQ, but {BROKER_VARIABLE} names another")


@asynccontextmanager
async def servers_with_broker(amqp_url: str, folder: Path) -> AsyncIterator[EmbeddedServers]:
    """Run a private MongoDB only, beside the RabbitMQ at *amqp_url*."""
    binary = find_mongod()
    assert binary is not None, "no mongod: install the extra 'embedded'"
    mongod = await start_mongod(binary, folder / "mongod")
    try:
        yield EmbeddedServers(amqp_url, mongod.url, cast("Any", _ForeignBroker()), mongod)
    finally:
        await mongod.stop()
