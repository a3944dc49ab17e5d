"""Real role processes, as an operator would start them."""

import asyncio
import io
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid4

import aiohttp

from photo_pipeline.embedded.cluster import EmbeddedCluster
from photo_pipeline.embedded.launcher import EmbeddedServers
from support.http_contract import checking, http_contract
from support.ports import own_ports
from support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Where the roles of one test meet."""

    name: str
    storage: Path
    environment: Mapping[str, str]

    @classmethod
    def on(cls, servers: EmbeddedServers | EmbeddedCluster, *, name: str, storage: Path) -> "Space":
        address, _, query = servers.mongo_url.partition("?")
        database = f"{address.rsplit('/', 1)[0]}/{name}"
        return cls(
            name=name,
            storage=storage,
            environment={
                "PHOTO_AMQP_URL": servers.amqp_url,
                "PHOTO_MONGO_URL": f"{database}?{query}" if query else database,
                "PHOTO_STORAGE_URL": storage.as_uri(),
                "PHOTO_TOPOLOGY_PREFIX": f"{name}.",
                "PHOTO_RETRY_DELAYS_S": "0.2,0.4,0.8",
                "PHOTO_LOG_FORMAT": "json",
                "PHOTO_HTTP_PORT": "0",
            },
        )

    @property
    def prefix(self) -> str:
        """Put before the names of every queue and exchange."""
        return self.environment["PHOTO_TOPOLOGY_PREFIX"]

    def files(self) -> list[Path]:
        """Every file in the storage, temporary ones included."""
        # Not rglob, which fails at a folder that is erased under it.
        found = (Path(at, name) for at, _, names in os.walk(self.storage) for name in names)
        return sorted(found)


def new_space(servers: EmbeddedServers, folder: Path) -> Space:
    """Return a space that nobody has met in, with its files below *folder*."""
    return Space.on(servers, name=f"t{uuid4().hex[:10]}", storage=folder / "photos")


@dataclass(frozen=True, slots=True)
class RoleProcess:
    """A running ``python -m photo_pipeline --role …``."""

    process: Process
    url: str  # of its API, or of its probe port
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        self.process.kill()

    async def terminate(self) -> int:
        """Ask it to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)


class Served(Protocol):
    """Wherever an API is."""

    @property
    def url(self) -> str: ...


class Fleet:
    """The role processes of one test, and an HTTP client for them."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._processes: list[RoleProcess] = []
        self._ports = own_ports()
        # Whatever a test asks an API for, the OpenAPI document must tell of the answer.
        self.http = aiohttp.ClientSession(trace_configs=[checking(http_contract())])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.close()
        for role in self._processes:
            if role.process.returncode is None:
                with suppress(ProcessLookupError):
                    role.process.kill()
                await role.process.wait()
        if kind is not None:
            for role in self._processes:
                sys.stderr.write(f"--- {role.log}\n{role.log.read_text()[-4000:]}\n")

    async def start(
        self,
        roles: str,
        *,
        environment: Mapping[str, str] | None = None,
        source: Path = ROOT / "src",
        ready: bool = True,
    ) -> RoleProcess:
        """Start a process with *roles* and wait until it is ready."""
        port = next(self._ports)
        log = self._space.storage.parent / f"{roles.replace(',', '-')}-{port}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "photo_pipeline", "--role", roles),
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("PHOTO_")},
                    **self._space.environment,
                    "PYTHONPATH": str(source),
                    "PHOTO_HEALTH_PORT": str(port),
                    **(environment or {}),
                },
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
            )
        role = RoleProcess(process, f"http://127.0.0.1:{port}", log)
        self._processes.append(role)
        if ready:
            await self.until_ready(role)
        return role

    async def start_api(self, roles: str = "api", **more: Any) -> RoleProcess:
        """Start a process that serves the API; its ``url`` is the API's."""
        port = next(self._ports)
        environment = {"PHOTO_HTTP_PORT": str(port), **more.pop("environment", {})}
        role = await self.start(roles, environment=environment, **more)
        return RoleProcess(role.process, f"http://127.0.0.1:{port}", role.log)

    async def until_ready(self, role: RoleProcess, *, ready: bool = True) -> None:
        """Wait until the readiness probe says so."""

        async def asked() -> bool:
            if role.process.returncode is not None:
                raise AssertionError(
                    f"ended with {role.process.returncode}: {role.log.read_text()}"
                )
            with suppress(aiohttp.ClientError):
                async with self.http.get(f"{role.url}/readyz") as answer:
                    return (answer.status == 200) is ready
            return not ready

        await until(asked)

    async def upload(self, api: Served, path: Path, **fields: str) -> str:
        """Upload a file and return the photo's id."""
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(path.read_bytes()), filename=path.name)
        for name, value in fields.items():
            form.add_field(name, value)
        async with self.http.post(f"{api.url}/upload/", data=form) as answer:
            body = await answer.json()
            assert answer.status == 202, body
            return str(body["id"])

    async def status(self, api: Served, photo_id: str, wait_s: float = 0) -> dict[str, Any]:
        """Return the status document."""
        async with self.http.get(f"{api.url}/status/{photo_id}", params={"wait": wait_s}) as answer:
            document: dict[str, Any] = await answer.json()
            assert answer.status == 200, document
            return document

    async def outcome(self, api: Served, photo_id: str, within_s: float = 60) -> dict[str, Any]:
        """Return the status document once the photo has reached its outcome."""

        async def ended() -> dict[str, Any] | None:
            document = await self.status(api, photo_id, wait_s=5)
            return document if document["status"] in ("done", "failed") else None

        document = await until(ended, within_s=within_s)
        assert document is not None
        return document

    async def outcomes(
        self, api: Served, ids: Sequence[str], within_s: float = 120
    ) -> list[dict[str, Any]]:
        """Return all status documents once every photo has reached its outcome."""
        return await asyncio.gather(*(self.outcome(api, i, within_s) for i in ids))
