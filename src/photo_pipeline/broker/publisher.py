"""Publish: persistent, confirmed, and mandatory wherever nobody listening would be a loss."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError

from photo_pipeline import __version__
from photo_pipeline.broker.connection import Link, open_link, translated
from photo_pipeline.broker.topology import Names, Topology, declare
from photo_pipeline.domain.messages import OutcomeEvent, StatusEvent, TrialAnswer, WorkMessage
from photo_pipeline.errors import BrokerUnavailableError, UnroutableError
from photo_pipeline.pauses import growing_s

log = structlog.get_logger()

CONFIRM_TIMEOUT_S: Final = 5.0  # a frozen broker holds a confirm back for ever
PATIENCE_S: Final = 15.0  # a broker restart takes about 5 s; reconnecting a little more
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 2.0  # how late a message may be once the broker is back
CHANNEL_TIMEOUT_S: Final = 0.25  # the connection comes back by itself: only look whether it has

CONTENT_TYPE: Final = "application/json"
CONTENT_ENCODING: Final = "utf-8"
DELIVERY_MODE: Final = DeliveryMode.PERSISTENT

Headers = Mapping[str, Any]


class Publisher:
    """Sends every kind of message that the pipeline knows, through one confirming channel."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    async def work(self, message: WorkMessage, *, traceparent: str) -> None:
        """Queue *message* for its stage."""
        await self._patiently(
            self._names.work,
            message.stage,
            _work_properties(message, traceparent),
        )

    async def retry(self, message: WorkMessage, *, delay_s: float, traceparent: str) -> None:
        """Queue *message* for its stage after *delay_s* seconds."""
        await self._patiently(
            self._names.retry(delay_s), message.stage, _work_properties(message, traceparent)
        )

    async def repeat(
        self,
        body: bytes,
        *,
        key: str,
        delay_s: float,
        message_id: str | None,
        photo_id: str | None,
        headers: Headers,
    ) -> None:
        """Bring *body* back to the queue bound under *key* after *delay_s* seconds."""
        message = as_message(body, message_id=message_id, correlation_id=photo_id, headers=headers)
        await self._patiently(self._names.retry(delay_s), key, message)

    async def resend(
        self, body: bytes, *, key: str, message_id: str, photo_id: str | None, headers: Headers
    ) -> None:
        """Bring *body* back to the queue bound under *key*, at once."""
        message = as_message(body, message_id=message_id, correlation_id=photo_id, headers=headers)
        await self._patiently(self._names.work, key, message)

    async def bury(
        self,
        body: bytes,
        *,
        key: str,
        message_id: str | None,
        photo_id: str | None,
        headers: Headers,
    ) -> None:
        """Send *body*, parseable or not, to the dead letters of *key* with its reason."""
        message = as_message(body, message_id=message_id, correlation_id=photo_id, headers=headers)
        await self._patiently(self._names.dead, key, message)

    async def outcome(self, event: OutcomeEvent, *, traceparent: str) -> None:
        """Tell every subscriber. Nobody being bound is no error."""
        message = as_message(
            event.encode(),
            message_id=event.event_id,
            correlation_id=event.photo_id,
            headers={"traceparent": traceparent},
        )
        await self._patiently(self._names.outcomes, "", message, mandatory=False)

    async def status(self, event: StatusEvent, *, traceparent: str) -> None:
        """Hint that a photo has changed. Tried once and never raises: readers look anyway."""
        message = as_message(
            event.encode(),
            message_id=f"{event.photo_id}:{event.revision}",
            correlation_id=event.photo_id,
            headers={"traceparent": traceparent},
        )
        try:
            await self._once(self._names.status, event.photo_id, message, mandatory=False)
        except (BrokerUnavailableError, UnroutableError) as error:
            log.debug("status.hint_lost", error=str(error))

    async def reply(self, answer: TrialAnswer, *, to: str, traceparent: str) -> None:
        """Answer whoever asked. Tried once and never raises: by now it may have gone."""
        message = as_message(
            answer.encode(),
            correlation_id=answer.photo_id,
            headers={"traceparent": traceparent},
        )
        try:
            await self._once("", to, message, mandatory=False)
        except (BrokerUnavailableError, UnroutableError) as error:
            log.warning("trial.not_answered", error=str(error))

    async def check(self) -> None:
        """Raise BrokerUnavailableError unless connected."""
        await self._link.check()

    async def up(self, timeout_s: float) -> None:
        """Wait until connected; raise BrokerUnavailableError if that takes longer."""
        await self._link.channel(timeout_s)

    async def writable(self, timeout_s: float) -> None:
        """Wait until RabbitMQ takes messages; raise BrokerUnavailableError if that takes longer."""
        await self._link.unblocked_channel(timeout_s)

    async def _patiently(
        self, exchange: str, key: str, message: Message, *, mandatory: bool = True
    ) -> None:
        """Publish through broker trouble; begin no try after PATIENCE_S.

        Each takes little more than CONFIRM_TIMEOUT_S at most.
        A lost confirm leaves open whether the message arrived, so a repeat may double it:
        everything downstream tolerates that.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        redeclared = False
        tries = 0
        while True:
            tries += 1
            wait_s = growing_s(tries, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
            try:
                return await self._once(exchange, key, message, mandatory=mandatory)
            except BrokerUnavailableError:
                if loop.time() + wait_s > deadline:
                    raise
            except UnroutableError:
                # A queue may have been deleted: the new connection declares it again, once.
                if redeclared:
                    raise
                redeclared = True
                self._link.rebuild()
            await asyncio.sleep(wait_s)

    async def _once(self, exchange: str, key: str, message: Message, *, mandatory: bool) -> None:
        with translated():
            channel = await self._link.unblocked_channel(timeout_s=CHANNEL_TIMEOUT_S)
            target = (
                await channel.get_exchange(exchange, ensure=False)
                if exchange
                else channel.default_exchange
            )
            try:
                await target.publish(message, key, mandatory=mandatory, timeout=CONFIRM_TIMEOUT_S)
            except PublishError as error:
                raise UnroutableError(f"no queue for {key!r} at {exchange!r}") from error
            except DeliveryError:
                # A channel keeps the leader that a queue had when it first published to it. When
                # that node is gone it may refuse message after message, where a new one does not.
                self._link.rebuild()
                raise


def _work_properties(message: WorkMessage, traceparent: str) -> Message:
    return as_message(
        message.encode(),
        message_id=f"{message.photo_id}:{message.run}:{message.stage}:{message.attempt}",
        correlation_id=message.photo_id,
        headers={"traceparent": traceparent},
    )


def as_message(
    body: bytes,
    *,
    message_id: str | None = None,
    correlation_id: str | None = None,
    headers: Headers | None = None,
    reply_to: str | None = None,
) -> Message:
    """Return *body* with the properties that every message has."""
    return Message(
        body,
        delivery_mode=DELIVERY_MODE,
        content_type=CONTENT_TYPE,
        content_encoding=CONTENT_ENCODING,
        message_id=_short(message_id) or str(uuid4()),
        correlation_id=_short(correlation_id),
        app_id=f"photo-pipeline/{__version__}",
        reply_to=reply_to,
        headers={k: v for k, v in (headers or {}).items() if v is not None},
    )


def _short(text: str | None) -> str | None:
    """Return what fits a short string of the protocol (AMQP 0-9-1, 4.2.5.3): 255 bytes."""
    return None if text is None else text.encode()[:255].decode("utf-8", "ignore")


@asynccontextmanager
async def open_publisher(
    url: str, *, name: str, names: Names, topology: Topology
) -> AsyncIterator[Publisher]:
    """Keep a publisher for as long as the block runs.

    On a connection of its own: a memory or disk alarm blocks a publishing connection as a
    whole, and must not block a consumer's acknowledgements.
    """

    async def on_up(_: Link, connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await declare(channel, topology)
        return channel

    async with open_link(url, name=f"{name} publisher", on_up=on_up) as link:
        yield Publisher(link, names)
