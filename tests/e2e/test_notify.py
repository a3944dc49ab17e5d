"""Webhooks by a real process: who hears what, how often, and what becomes of the rest."""

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web

from photo_pipeline.domain.messages import OutcomeEvent
from support.outcomes import Watcher, watching_outcomes
from support.pipeline import TRACE, make_outcome
from support.processes import ROOT, SAMPLES, Fleet, Space
from support.receiver import Call, Receiver, receiving
from support.waiting import until

SECRET = "whsec_c2VjcmV0IG9mIDI0IHJhbmRvbSBieXRl"  # noqa: S105
ATTEMPTS = 4  # the first and one after each of the space's retry delays


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def watcher(space: Space) -> AsyncIterator[Watcher]:
    async with watching_outcomes(space) as watcher:
        yield watcher


@pytest.fixture
def is_genuine() -> Callable[[Call], bool]:
    """The check that the README tells receivers to make, as written there."""
    part = (ROOT / "README.md").read_text().split("## Webhooks")[1].split("\n## ")[0]
    (program,) = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  # our own README
    return lambda call: bool(names["is_genuine"](call.headers, call.body, SECRET))


def _to(*urls: str) -> Mapping[str, str]:
    return {
        "PHOTO_WEBHOOK_URLS": ",".join(urls),
        "PHOTO_WEBHOOK_SECRET": SECRET,
        "PHOTO_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    }


def _broken(times: int) -> deque[web.Response]:
    return deque(web.Response(status=503, text="out of order") for _ in range(times))


async def _dead(watcher: Watcher) -> tuple[bytes, Mapping[str, Any]]:
    (letter,) = await until(lambda: watcher.dead("processed_images.notify"))
    return letter


async def test_an_upload_is_told_once_signed_as_the_readme_says(
    fleet: Fleet, watcher: Watcher, receiver: Receiver, is_genuine: Callable[[Call], bool]
) -> None:
    api = await fleet.start_api("api,workers")
    notify = await fleet.start("notify", environment=_to(f"{receiver.url}/hook"))
    photo_id = await fleet.upload(api, SAMPLES / "cat-small.jpg")
    (call,) = await until(lambda: receiver.heard("/hook"))
    (event,) = await until(watcher.events)
    assert call.body == event.encode()
    assert (event.photo_id, event.type, event.photo.status) == (photo_id, "photo.done", "done")
    assert call.headers["webhook-id"] == event.event_id
    assert call.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"00-\w{32}-\w{16}-\w\d", call.headers["traceparent"])
    assert is_genuine(call)
    assert not is_genuine(Call(call.path, call.headers, call.body + b" "))
    assert await notify.terminate() == 0
    assert SECRET not in notify.log.read_text()


async def test_an_event_is_told_again_until_it_is_accepted(
    fleet: Fleet, watcher: Watcher, receiver: Receiver, is_genuine: Callable[[Call], bool]
) -> None:
    receiver.answers["/hook"] = _broken(3)
    await fleet.start("notify", environment=_to(f"{receiver.url}/hook"))
    event = make_outcome()
    await watcher.tell(event)
    calls = await until(lambda: receiver.heard("/hook", ATTEMPTS))
    assert {c.body for c in calls} == {event.encode()}
    assert {c.headers["webhook-id"] for c in calls} == {event.event_id}
    assert {c.headers["traceparent"] for c in calls} == {TRACE}
    assert all(is_genuine(call) for call in calls)
    await _told(watcher, receiver, "/hook")
    assert len(receiver.to("/hook")) == ATTEMPTS + 1
    assert await watcher.dead("processed_images.notify") == []


async def _told(watcher: Watcher, receiver: Receiver, path: str) -> None:
    """Tell one event more and wait for it: what was to come before it has come."""
    event = make_outcome()
    await watcher.tell(event)

    async def heard() -> bool:
        return event.encode() in {call.body for call in receiver.to(path)}

    await until(heard)


async def test_of_two_urls_the_good_one_is_called_once_and_the_broken_one_in_vain(
    fleet: Fleet, watcher: Watcher, receiver: Receiver
) -> None:
    receiver.answers["/broken"] = _broken(ATTEMPTS)
    urls = (f"{receiver.url}/good", f"{receiver.url.replace('//', '//u:pw@')}/broken?token=t")
    notify = await fleet.start("notify", environment=_to(*urls))
    event = make_outcome()
    await watcher.tell(event)
    body, headers = await _dead(watcher)
    assert OutcomeEvent.decode(body) == event
    assert headers["x-error-code"] == "webhook_failed"
    assert headers["x-error-message"] == f"{receiver.url} answered 503: out of order"
    assert headers["x-attempt"] == ATTEMPTS
    assert headers["traceparent"] == TRACE
    assert len(receiver.to("/broken")) == ATTEMPTS
    assert len(receiver.to("/good")) == 1
    log = notify.log.read_text()
    assert "event.failed" in log
    assert not [secret for secret in ("pw@", "token", SECRET) if secret in log]


async def test_a_restart_in_between_calls_nobody_twice(
    fleet: Fleet, watcher: Watcher, receiver: Receiver
) -> None:
    receiver.answers["/broken"] = _broken(2)
    environment = {
        **_to(f"{receiver.url}/good", f"{receiver.url}/broken"),
        "PHOTO_RETRY_DELAYS_S": "0.2,3,0.8",
    }
    first = await fleet.start("notify", environment=environment)
    await watcher.tell(event := make_outcome())
    await until(lambda: receiver.heard("/broken", 2))
    assert await first.terminate() == 0
    await fleet.start("notify", environment=environment)
    await watcher.tell(event)  # and the event itself comes again, as after a lost confirm
    calls = await until(lambda: receiver.heard("/broken", 3))
    assert {call.body for call in calls} == {event.encode()}
    await _told(watcher, receiver, "/good")
    assert len(receiver.to("/good")) == 2
    assert await watcher.dead("processed_images.notify") == []


async def test_a_slow_receiver_holds_up_no_other_url_and_no_other_event(
    fleet: Fleet, watcher: Watcher, receiver: Receiver
) -> None:
    await fleet.start("notify", environment=_to(f"{receiver.url}/slow", f"{receiver.url}/quick"))
    events = [make_outcome() for _ in range(10)]
    for event in events:
        await watcher.tell(event)
    quick = await until(lambda: receiver.heard("/quick", len(events)))
    slow = await until(lambda: receiver.heard("/slow", len(events)))
    assert not receiver.held.is_set()
    expected = {event.encode() for event in events}
    assert {call.body for call in quick} == {call.body for call in slow} == expected
    receiver.held.set()
    assert await watcher.dead("processed_images.notify") == []


async def test_a_url_that_leads_inside_is_refused_once(
    fleet: Fleet, watcher: Watcher, receiver: Receiver
) -> None:
    environment = {**_to(f"{receiver.url}/hook"), "PHOTO_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8"}
    await fleet.start("notify", environment=environment)
    await watcher.tell(make_outcome())
    _, headers = await _dead(watcher)
    assert headers["x-error-code"] == "webhook_refused"
    assert "127.0.0.1 is not a public address" in headers["x-error-message"]
    assert headers["x-attempt"] == 1
    assert receiver.calls == []


async def test_without_a_url_events_pass(fleet: Fleet, watcher: Watcher) -> None:
    await watcher.tell(make_outcome())
    notify = await fleet.start("notify")

    async def handled() -> bool:
        async with fleet.http.get(f"{notify.url}/metrics") as answer:
            return 'result="handled",subscriber="notify"} 1.0' in await answer.text()

    await until(handled)
    assert await notify.terminate() == 0
    assert "processed_images.notify" not in " ".join(await watcher.left())
    assert notify.log.read_text().count("webhooks.off") == 1
