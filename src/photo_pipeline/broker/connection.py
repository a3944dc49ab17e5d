"""A connection that is kept up.

aio-pika's own robust connection restores what it remembers; after a broker came back empty,
or cancelled a consumer, that is not what is needed, and a half-restored one looks healthy.
Here every connection begins the same way: connect, run ``on_up`` (declare, consume), and
when anything of it ends, throw all of it away and begin again.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from yarl import URL

from photo_pipeline.errors import BrokerUnavailableError
from photo_pipeline.settings import each_host

log = structlog.get_logger()

HEARTBEAT_S: Final = 10  # a dead peer is noticed after about 3 of them; the default means 180 s
CONNECT_TIMEOUT_S: Final = 10.0
SET_UP_TIMEOUT_S: Final = 30.0  # declaring a whole topology on a loaded broker
CLOSE_TIMEOUT_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0

AMQP_ERRORS: Final = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError, TimeoutError)
"""What aio-pika raises when the broker is in trouble; ChannelInvalidStateError is no AMQPError."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what aio-pika raises when the broker is in trouble into BrokerUnavailableError."""
    task = asyncio.current_task()
    try:
        yield
    except AMQP_ERRORS as error:
        raise BrokerUnavailableError(str(error) or type(error).__name__) from error
    except asyncio.CancelledError:
        # A dropped connection cancels what waits for it; only a real cancel counts.
        if task is not None and task.cancelling():
            raise
        raise BrokerUnavailableError("the connection was dropped") from None
    except Exception as error:
        # What waits on a channel that ends without a reason, as when a node is killed, aiormq
        # rejects by a bare Exception.
        if type(error) is not Exception:
            raise
        raise BrokerUnavailableError("the channel was closed") from error


async def connect(url: str, timeout_s: float) -> AbstractConnection:
    """Return a connection, for once and unsupervised, to any host of *url*.

    Every host has *timeout_s*. Raises BrokerUnavailableError.
    """
    hosts = list(each_host(url))
    random.shuffle(hosts)
    for left in reversed(range(len(hosts))):
        try:
            with translated():
                return await aio_pika.connect(hosts[left], timeout=timeout_s)
        except BrokerUnavailableError:
            if left == 0:
                raise
    raise AssertionError("a URL has a host")


OnUp = Callable[["Link", AbstractConnection], Awaitable[AbstractChannel]]


class Link:
    """One supervised connection with the one channel that ``on_up`` opened on it."""

    def __init__(self, url: str, name: str, on_up: OnUp) -> None:
        urls = [str(URL(u).update_query({"heartbeat": HEARTBEAT_S})) for u in each_host(url)]
        # In another order for each: the connections of many processes spread over the cluster.
        random.shuffle(urls)
        self._urls = itertools.cycle(urls)
        self._name = name
        self._on_up = on_up
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._quietly = False

    async def channel(self, timeout_s: float) -> AbstractChannel:
        """Return the open channel; raise BrokerUnavailableError if there is none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError:
            raise BrokerUnavailableError("not connected to RabbitMQ") from None
        assert self._channel is not None  # noqa: S101  # set before _up
        return self._channel

    async def unblocked_channel(self, timeout_s: float) -> AbstractChannel:
        """Return the open channel if RabbitMQ takes messages on it at the moment.

        Under a memory or disk alarm it does not read them: whatever is written all the same
        is published when the alarm ends, once for each try.
        """
        channel = await self.channel(timeout_s)
        transport = self._connection.transport if self._connection is not None else None
        try:
            async with asyncio.timeout(timeout_s):
                if transport is not None:
                    await transport.ready()
        except TimeoutError:
            raise BrokerUnavailableError("RabbitMQ has an alarm and takes no messages") from None
        return channel

    async def check(self) -> None:
        """Raise BrokerUnavailableError unless connected and set up."""
        await self.channel(timeout_s=0)

    def rebuild(self, *, quietly: bool = False) -> None:
        """Throw the connection away and begin again; *quietly* if nothing is wrong with it."""
        self._quietly = quietly
        self._broken.set()

    async def keep_up(self) -> None:
        """Connect again and again until cancelled, to the hosts of the URL in turn."""
        failures = 0
        while True:
            try:
                failures = 0 if await self._connect_once(failures) else failures + 1
            except asyncio.CancelledError:
                # A dropped connection cancels what waits for it; only a real cancel counts.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                failures += 1
            except Exception as error:
                # Nobody waits for this task: were it to end, the process would look alive
                # and never have a connection again.
                failures += 1
                log.exception("broker.link_failed", connection=self._name, error=str(error))
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures + 1, 10))
            # Jitter, so that many processes do not come back in the same moment.
            await asyncio.sleep(random.uniform(0.05, longest))  # noqa: S311

    async def _connect_once(self, failures: int) -> bool:
        """Connect and stay until something ends; return whether it was up."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await aio_pika.connect(
                    next(self._urls), client_properties={"connection_name": self._name}
                )
        except AMQP_ERRORS as error:
            self._log_failure("broker.unreachable", error, failures + 1)
            return False
        return await self._serve(connection)

    async def _serve(self, connection: AbstractConnection) -> bool:
        """Set up and stay until something ends; return whether it was up."""
        self._broken.clear()
        self._quietly = False
        reason = ""
        try:
            with translated():
                async with asyncio.timeout(SET_UP_TIMEOUT_S):
                    self._channel = await self._on_up(self, connection)
            self._connection = connection
            self._up.set()
            log.debug("broker.connected", connection=self._name)
            reason = await self._until_something_ends(connection, self._channel)
        except (BrokerUnavailableError, *AMQP_ERRORS) as error:
            self._log_failure("broker.set_up_failed", error, 1)
            return False
        finally:
            self._up.clear()
            self._channel = self._connection = None
            with suppress(*AMQP_ERRORS):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await connection.close()
        tell = log.debug if self._quietly else log.warning
        tell("broker.connection_lost", connection=self._name, reason=reason)
        return True

    async def _until_something_ends(
        self, connection: AbstractConnection, channel: AbstractChannel
    ) -> str:
        ends = [
            asyncio.ensure_future(end)
            for end in (connection.closed(), channel.closed(), self._broken.wait())
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [end for end in ends if end.done()]
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        errors = [end.exception() for end in ended if not end.cancelled()]
        return next((str(error) for error in errors if error is not None), "closed")

    def _log_failure(self, event: str, error: BaseException, failures: int) -> None:
        # The first failure is news; the thousandth is not.
        tell = log.warning if failures <= 1 else log.debug
        tell(event, connection=self._name, error=str(error) or type(error).__name__)


@asynccontextmanager
async def open_link(url: str, *, name: str, on_up: OnUp) -> AsyncIterator[Link]:
    """Keep a connection up for as long as the block runs. Does not wait for the first one.

    A process must start, and an upload be accepted, while RabbitMQ is down.
    """
    link = Link(url, name, on_up)
    task = asyncio.create_task(link.keep_up(), name=f"link {name}")
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def rebuild_when_cancelled(channel: AbstractChannel, link: Link) -> None:
    """Begin again when the broker cancels a consumer of *channel*.

    Without this a consumer whose queue was deleted or lost its quorum would stay connected and
    receive nothing for ever.
    """
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: link.rebuild())
