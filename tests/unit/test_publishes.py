"""Every publish there is: persistent, confirmed, and mandatory wherever it must arrive."""

import ast
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from aio_pika import Message

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.publisher import CONFIRM_TIMEOUT_S, Publisher
from photo_pipeline.broker.topology import Names
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.messages import first_message, latest_event
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import BlobUnavailableError, UnroutableError
from support.fakes import FakePhotos, FakePublisher
from support.pipeline import TRACE, World, make_outcome, make_photo
from support.processes import ROOT

NAMES = Names("p.")
EVERYWHERE = {"key": "first", "message_id": "m", "photo_id": "p"}
HEADERS = {"traceparent": TRACE}

Send = Callable[[Publisher], Awaitable[None]]

PUBLISHES: Mapping[str, tuple[Send, str, str, bool]] = {
    # The call, its exchange and routing key, and whether nobody taking it is an error.
    "work": (
        lambda p: p.work(first_message(make_photo()), traceparent=TRACE),
        NAMES.work,
        "first",
        True,
    ),
    "retry": (
        lambda p: p.retry(first_message(make_photo()), delay_s=5, traceparent=TRACE),
        NAMES.retry(5),
        "first",
        True,
    ),
    "repeat": (
        lambda p: p.repeat(b"{}", delay_s=5, headers=HEADERS, **EVERYWHERE),
        NAMES.retry(5),
        "first",
        True,
    ),
    "resend": (
        lambda p: p.resend(b"{}", headers=HEADERS, **EVERYWHERE),
        NAMES.work,
        "first",
        True,
    ),
    "bury": (
        lambda p: p.bury(b"{}", headers=HEADERS, **EVERYWHERE),
        NAMES.dead,
        "first",
        True,
    ),
    # A fanout and a topic exchange: nobody being bound is no error there.
    "outcome": (lambda p: p.outcome(make_outcome(), traceparent=TRACE), NAMES.outcomes, "", False),
    "status": (
        lambda p: p.status(latest_event(make_photo(id="x")), traceparent=TRACE),
        NAMES.status,
        "x",
        False,
    ),
}
ASKS = {"check", "up", "writable"}
"""The methods of a publisher that publish nothing."""

BESIDE_THE_WORK = {"reply"}
"""What nobody depends on: the answer to a trial goes to a queue that lives for that answer."""


@dataclass
class Exchanges:
    """Stands for link, channel and exchanges: notes what is published."""

    published: list[tuple[str, Message, str, Mapping[str, Any]]] = field(default_factory=list)

    async def unblocked_channel(self, timeout_s: float) -> "Exchanges":
        return self

    async def get_exchange(self, name: str, *, ensure: bool) -> "_Exchange":
        return _Exchange(name, self)


@dataclass
class _Exchange:
    name: str
    noted: Exchanges

    async def publish(self, message: Message, key: str, **options: Any) -> None:
        self.noted.published.append((self.name, message, key, options))


def test_every_method_is_audited() -> None:
    public = {
        name
        for name, _ in inspect.getmembers(Publisher, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - ASKS - BESIDE_THE_WORK == set(PUBLISHES)


@pytest.mark.parametrize("name", PUBLISHES)
async def test_a_publish_is_persistent_confirmed_and_mandatory(name: str) -> None:
    send, exchange, key, mandatory = PUBLISHES[name]
    noted = Exchanges()
    await send(Publisher(cast("Link", noted), NAMES))
    ((to, message, routing_key, options),) = noted.published
    assert (to, routing_key) == (exchange, key)
    # The confirm is waited for, and not for ever.
    assert options == {"mandatory": mandatory, "timeout": CONFIRM_TIMEOUT_S}
    assert message.delivery_mode == 2
    assert message.content_type == "application/json"
    assert message.message_id
    assert message.correlation_id
    assert message.headers["traceparent"] == TRACE


def _calls(method: str) -> Iterator[str]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == method:
                yield path.name


@pytest.mark.parametrize("method", ["publish", "basic_publish"])
def test_nobody_else_publishes(method: str) -> None:
    # A trial asks a worker for its opinion: nothing of a photo depends on it.
    allowed = ["publisher.py", "trial.py"] if method == "publish" else []
    assert list(_calls(method)) == allowed


async def test_a_retry_that_was_returned_is_sent_again_later() -> None:
    """The queue of its delay was deleted: the photo must not end while it is declared again."""
    world = World()
    world.failures["first"].append(BlobUnavailableError())
    photo = make_photo()
    await world.accept(photo)
    retry = world.publisher.retry

    async def returned(*_: object, **__: object) -> None:
        world.publisher.retry = retry  # type: ignore[method-assign]
        raise UnroutableError("no queue")

    world.publisher.retry = returned  # type: ignore[method-assign]
    assert not await world.deliver("first", world.publisher.queues["first"][0])
    assert world.publisher.dead == {}
    await world.run()
    assert (await world.photos.get(photo.id)).status is PhotoStatus.DONE


async def test_a_first_message_that_was_returned_stays_owed() -> None:
    photos, publisher = FakePhotos(), FakePublisher()
    photo = make_photo()
    await photos.insert(photo)

    async def returned(*_: object, **__: object) -> None:
        raise UnroutableError("no queue")

    publisher.work = returned  # type: ignore[method-assign]
    with pytest.raises(UnroutableError):
        await dispatch(photo, photos, cast("Publisher", publisher))
    later = utc_now() + timedelta(seconds=1)
    assert [owed.id async for owed in photos.owed(before=later)] == [photo.id]
