"""Servers that a test may kill."""

from collections.abc import AsyncIterator

import pytest

from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers
from photo_pipeline.errors import EmbeddedServerError


@pytest.fixture(scope="module")
async def own_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedServers]:
    """Servers of one file: whatever becomes of them, the other files have theirs."""
    async with embedded_servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture
async def servers(own_servers: EmbeddedServers) -> EmbeddedServers:
    """The same, both running, whatever state the test before has left them in."""
    for server in (own_servers.rabbitmq, own_servers.mongod):
        try:
            _ = server.pid
        except EmbeddedServerError:
            await server.start()
    return own_servers
