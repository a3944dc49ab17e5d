"""Fixtures for tests on real servers."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers
from photo_pipeline.settings import Settings, read_settings
from support.brokers import BROKER_VARIABLE, servers_with_broker
from support.processes import Fleet, Space, new_space


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServers]:
    """A private RabbitMQ and MongoDB for all that this process of the run tests.

    A missing one is a failure, no skip.
    """
    folder = tmp_path_factory.mktemp("servers")
    broker = os.environ.get(BROKER_VARIABLE)
    running = servers_with_broker(broker, folder) if broker else embedded_servers(folder)
    async with running as servers:
        yield servers


@pytest.fixture
def space(servers: EmbeddedServers, tmp_path: Path) -> Space:
    """A corner of the servers for one test: own queues, own database, own folder."""
    return new_space(servers, tmp_path)


@pytest.fixture
def settings(space: Space) -> Settings:
    return read_settings(space.environment)


@pytest.fixture
async def fleet(space: Space) -> AsyncIterator[Fleet]:
    """Role processes, all ended with the test."""
    async with Fleet(space) as fleet:
        yield fleet


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Print no log lines of in-process parts, unless a test configures otherwise."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
