"""One RabbitMQ node as data: no plugins, no epmd, on the loopback interface, in one folder."""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photo_pipeline.embedded.launch import Launch, base_environment
from photo_pipeline.embedded.ports import LOOPBACK

PORTS = 3  # AMQP, Erlang distribution, and one for epmd where nothing listens
USER = "photo_pipeline"
FOLDERS = ("home", "log", "conf", "schema")
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"  # the broker's answer to the header begins with connection.start
PROBE_TIMEOUT_S = 2.0  # longer than a busy broker needs for one frame


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A node's place in a cluster.

    All nodes have the same ports, each on an address of its own: Erlang then finds them without
    epmd. ``joins`` names the node whose cluster it joins; None: it is the first.
    """

    name: str
    host: str
    password: str
    cookie: str
    joins: str | None

    @property
    def node(self) -> str:
        """The node's Erlang name."""
        return f"{self.name}@{self.host}"


def plan(
    scripts: Path, folder: Path, ports: Sequence[int], place: ClusterPlace | None = None
) -> Launch:
    """Write the node's configuration below *folder* and return how to start it on *ports*.

    *scripts* is the folder with RabbitMQ's own scripts; without *place* the node is alone.
    Raises OSError when the folder cannot be written.
    """
    amqp, *_ = ports
    host = place.host if place else LOOPBACK
    for name in FOLDERS:
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    # The database belongs to one node name, so it stays when the ports change.
    alone = f"photo-pipeline-{secrets.token_hex(4)}@localhost"
    node = _kept(folder / "node", lambda: place.node if place else alone)
    password = _kept(
        folder / "password", lambda: place.password if place else secrets.token_hex(16)
    )
    _kept(folder / "home/.erlang.cookie", lambda: place.cookie if place else secrets.token_hex(16))
    _write_configuration(folder / "conf", f"{host}:{amqp}", password, place)
    return Launch(
        name="rabbitmq-server",
        url=f"amqp://{USER}:{password}@{host}:{amqp}/",
        command=[str(scripts / "rabbitmq-server")],
        environment=_environment(scripts, folder, node, host, ports),
        folder=folder,
        database=folder / "mnesia",
        log=folder / "log/rabbitmq.log",
        needs="Erlang",
        listens_on=ports,
        answers=functools.partial(_answers, host, amqp),
    )


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return what *path* holds; on the first start put there what *make* returns."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii")
    # Complete or not there at all, also when this process is killed meanwhile.
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(make(), encoding="ascii")
    new.chmod(0o400)  # what Erlang demands of its cookie
    new.replace(path)
    return path.read_text(encoding="ascii")


def _write_configuration(
    conf: Path, address: str, password: str, place: ClusterPlace | None
) -> None:
    settings = {
        "listeners.tcp.1": address,
        # Created with the database; later starts ignore it.
        "default_user": USER,
        "default_pass": password,
        # A worker that hangs is noticed after 30 s, not after the default of three minutes.
        "heartbeat": "10",
        "disk_free_limit.absolute": "50MB",
        "log.console": "false",
        "log.file.level": "info",
        "log.file.rotation.size": str(10 * 2**20),
        "log.file.rotation.count": "2",
    }
    if place is not None and place.joins is not None:
        settings |= {
            "cluster_formation.peer_discovery_backend": "classic_config",
            "cluster_formation.classic_config.nodes.1": place.joins,
            "cluster_formation.classic_config.nodes.2": place.node,
        }
    text = "".join(f"{key} = {value}\n" for key, value in settings.items())
    (conf / "rabbitmq.conf").write_text(text, encoding="ascii")
    # With management a clean stop takes 6 s instead of 1 s.
    (conf / "enabled_plugins").write_text("[].\n", encoding="ascii")
    # Without a file of our own the scripts read /etc/rabbitmq/rabbitmq-env.conf.
    (conf / "rabbitmq-env.conf").write_text("", encoding="ascii")


def _environment(
    scripts: Path, folder: Path, node: str, host: str, ports: Sequence[int]
) -> Mapping[str, str]:
    amqp, distribution, epmd = ports
    long = not node.endswith("@localhost")  # an address is a long name to Erlang
    arguments = [
        # With a name from the start RabbitMQ finds the distribution running and launches no epmd,
        # a daemon that would outlive it. One fixed port, known to rabbitmqctl, replaces epmd.
        f"{'-name' if long else '-sname'} {node} -erl_epmd_port {distribution}",
        f"-kernel inet_dist_listen_min {distribution} -kernel inet_dist_listen_max {distribution}",
        f"-kernel inet_dist_use_interface {{{host.replace('.', ',')}}}",
        # Boot reads thousands of files. On virtual machines with slow wake-ups between processors
        # sleeping after each took 12 s, a short spin 4 s. At rest both use the same.
        "+sbwtdio short",
    ]
    tool_arguments = [
        f"-erl_epmd_port {distribution} -dist_listen false",
        # The tool's default is to spin: 0.8 s a call instead of 1.2 s at rest, but 18 s instead of
        # 3 s where other processes want the processors too.
        "+sbwt none +sbwtdcpu none +sbwtdio none",
    ]
    return {
        **base_environment(scripts),
        **_places(folder),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_USE_LONGNAME": "true" if long else "false",
        "RABBITMQ_NODE_IP_ADDRESS": host,
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(arguments),
        "RABBITMQ_CTL_ERL_ARGS": " ".join(tool_arguments),
        # Boot asks here whether the node name is taken. Nothing may listen: not even our own
        # distribution port, which would let it wait for 10 s.
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        # Reaches every Erlang machine, also the one that some commands of rabbitmqctl (an unknown
        # one, say) start for nothing but an epmd.
        "ERL_AFLAGS": "-start_epmd false",
        "ERL_CRASH_DUMP_SECONDS": "0",  # no dump: it takes long and holds all messages
        # The script then becomes the node instead of waiting for it, and its pid is the node's.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _places(folder: Path) -> Mapping[str, str]:
    """Return the variables that keep everything in *folder*."""
    return {
        "HOME": str(folder / "home"),  # of the cookie
        "RABBITMQ_CONF_ENV_FILE": str(folder / "conf/rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "conf/rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "conf/advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "conf/enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": str(folder / "log/rabbitmq.log"),
        "RABBITMQ_PID_FILE": str(folder / "node.pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "schema"),
        "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
        "ERL_CRASH_DUMP": str(folder / "log/crash"),
    }


async def _answers(host: str, port: int) -> bool:
    """Say whether *port* of *host* speaks AMQP 0-9-1."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(AMQP_HEADER)
                return await reader.read(1) == METHOD_FRAME
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
