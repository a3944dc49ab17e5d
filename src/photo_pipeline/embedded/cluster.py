"""A private RabbitMQ cluster and a private MongoDB replica set, for the loss of a machine."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from photo_pipeline.embedded.launcher import Binaries, exclusive, find_binaries
from photo_pipeline.embedded.mongod import DATABASE, start_member
from photo_pipeline.embedded.ports import free_ports
from photo_pipeline.embedded.process import Server
from photo_pipeline.embedded.rabbitmq import RabbitMQ
from photo_pipeline.embedded.rabbitmq_node import PORTS, ClusterPlace, plan
from photo_pipeline.storage.replica_set import initiate

HOSTS: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""An address for each RabbitMQ node, all of them the loopback interface; three is the least of
which one may be lost."""
REPLICA_SET: Final = "photo-pipeline"


class _Stoppable(Protocol):
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """The running members; both URLs name all of them."""

    amqp_url: str
    mongo_url: str
    rabbitmq: Sequence[RabbitMQ]
    mongod: Sequence[Server]


@asynccontextmanager
async def embedded_cluster(data: Path) -> AsyncIterator[EmbeddedCluster]:
    """Run three nodes and three members with everything they write below *data*; stop them last.

    For a new folder: members find each other by their ports, and these change. Raises
    EmbeddedServerError as ``embedded_servers`` does.
    """
    binaries = find_binaries()
    with exclusive(data) as folder:
        async with AsyncExitStack() as stack:
            running: list[_Stoppable] = []
            stack.push_async_callback(_stop, running)
            nodes, members = await asyncio.gather(
                _start_nodes(binaries, folder, running), _start_members(binaries, folder, running)
            )
            first, *others = (node.url for node in nodes)
            hosts = [first.rstrip("/"), *(url.rpartition("@")[2].rstrip("/") for url in others)]
            addresses = [f"{member.launch.listens_on[0]}" for member in members]
            mongo = ",".join(f"127.0.0.1:{port}" for port in addresses)
            yield EmbeddedCluster(
                amqp_url=",".join(hosts) + "/",
                mongo_url=f"mongodb://{mongo}/{DATABASE}?replicaSet={REPLICA_SET}",
                rabbitmq=nodes,
                mongod=members,
            )


async def _stop(running: Iterable[_Stoppable]) -> None:
    await asyncio.gather(*(server.stop() for server in running))


async def _start_nodes(
    binaries: Binaries, folder: Path, running: list[_Stoppable]
) -> Sequence[RabbitMQ]:
    ports = free_ports(PORTS)
    password, cookie = secrets.token_hex(16), secrets.token_hex(16)
    first: ClusterPlace | None = None
    nodes = []
    for number, host in enumerate(HOSTS, start=1):
        name = f"photo-pipeline-{number}"
        place = ClusterPlace(name, host, password, cookie, first.node if first else None)
        first = first or place
        launch = plan(binaries.rabbitmq, folder / f"rabbitmq-{number}", ports, place)
        node = RabbitMQ(Server(launch), binaries.rabbitmq / "rabbitmqctl", launch.environment)
        nodes.append(node)
        running.append(node)
    await nodes[0].start()  # the others join it
    await _all(node.start() for node in nodes[1:])
    return nodes


async def _start_members(
    binaries: Binaries, folder: Path, running: list[_Stoppable]
) -> Sequence[Server]:
    async def start(number: int) -> Server:
        member = await start_member(binaries.mongod, folder / f"mongod-{number}", REPLICA_SET)
        running.append(member)
        return member

    members = await asyncio.gather(*(start(number) for number in range(1, len(HOSTS) + 1)))
    ports = [member.launch.listens_on[0] for member in members]
    await initiate(REPLICA_SET, [f"127.0.0.1:{port}" for port in ports])
    return members


async def _all(starts: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*starts)
