"""Cut the upload before and after every single effect, start anew, and see exactly one photo."""

import asyncio
from datetime import timedelta
from typing import cast
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

from photo_pipeline.api import keys as app_keys
from photo_pipeline.api.uploads import Accepted, post_upload
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import StoreUnavailableError
from photo_pipeline.storage.idempotency import LEASE
from photo_pipeline.worker.debts import PATIENCE_S, pay_debts
from support.api import PHOTO, api_over, multipart
from support.fakes import Cut, Death, FakeIdempotencyKeys, Scissors
from support.pipeline import World

AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


class Service:
    """What survives the API, and an API that may die."""

    def __init__(self, *, key: str | None) -> None:
        self.world = World()
        self.keys = FakeIdempotencyKeys()
        self._key = key

    async def upload(self, scissors: Scissors) -> Accepted | None:
        """Upload to a fresh process; return its answer, or None if it died before that."""
        self.world.use(scissors)
        self.keys._scissors = scissors
        app = api_over(self.world, self.keys)
        try:
            response = await post_upload(self._request(app))
        except Cut:
            return None
        await app[app_keys.BACKGROUND].drain(10)
        assert isinstance(response.text, str)
        return Accepted.model_validate_json(response.text)

    def _request(self, app: web.Application) -> web.Request:
        body = StreamReader(Mock(), 2**16, loop=asyncio.get_running_loop())
        body.feed_data(multipart())
        body.feed_eof()
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        if self._key is not None:
            headers["Idempotency-Key"] = self._key
        return make_mocked_request("POST", "/upload/", headers, app=app, payload=body)

    async def recover(self) -> None:
        """Let the leases of the dead end, reconcile pay its debts, and the stages work."""
        self.keys.passed += LEASE
        self.world.use(Scissors())
        self.keys._scissors = self.world.scissors
        for document in self.world.photos._documents.values():
            if "owed_since" in document:
                document["owed_since"] -= timedelta(seconds=PATIENCE_S + 1)
        publisher = cast("Publisher", self.world.publisher)
        stores = (self.world.photos, self.world.blobs, publisher)
        await pay_debts(*stores, self.world.metrics, asyncio.Event())
        await self.world.run()

    async def check_one_photo(self, photo_id: str, where: object) -> None:
        """See that there is this photo and nothing else, done in one run."""
        assert list(self.world.photos._documents) == [photo_id], where
        photo = await self.world.photos.get(photo_id)
        assert (photo.status, photo.run) == (PhotoStatus.DONE, 1), where
        assert {slot.attempts for slot in photo.stages.values()} == {1}, where
        assert self.world.blobs.data[photo.original] == PHOTO, where
        kept = {photo.original, *(r.key for r in photo.renditions)}
        assert set(self.world.blobs.data) == kept, where
        assert len({event.event_id for event in self.world.publisher.outcomes}) == 1, where


async def test_all_effects_are_where_the_order_of_work_says() -> None:
    service = Service(key="k")
    assert await service.upload(Scissors()) is not None
    assert service.world.scissors.names == [
        *("reserve", "seal", "write cat.jpg", "insert"),
        *("publish status", "publish first", "paid"),
    ]


async def _effects(key: str | None) -> int:
    service = Service(key=key)
    await service.upload(Scissors())
    return service.world.scissors.count


@AFTER
async def test_a_repeat_makes_one_photo_wherever_the_first_was_cut(after: bool) -> None:
    effects = await _effects("k")
    for n in range(1, effects + 1):
        for m in range(effects + 1):  # 0: the repeat is not cut
            service = Service(key="k")
            answers = [
                await service.upload(Death(n, after=after)),
                await _again(service, Death(m, after=after)),
                await _again(service, Scissors()),
            ]
            await service.recover()
            told = {answer.id for answer in answers if answer}
            assert answers[-1] is not None
            assert told == {answers[-1].id}, (n, m)
            assert len({a.model_dump_json() for a in answers if a}) == 1, (n, m)
            await service.check_one_photo(answers[-1].id, (n, m))


async def _again(service: Service, scissors: Scissors) -> Accepted | None:
    service.keys.passed += LEASE
    return await service.upload(scissors)


@AFTER
async def test_without_a_key_nothing_accepted_is_lost_and_every_byte_can_be_found(
    after: bool,
) -> None:
    for n in range(1, await _effects(None) + 1):
        service = Service(key=None)
        answer = await service.upload(Death(n, after=after))
        await service.recover()
        documents = list(service.world.photos._documents)
        if documents:
            await service.check_one_photo(documents[0], n)
            assert answer is None or answer.id == documents[0], n
        else:
            assert answer is None, n
            # At most an original in a folder that says which photo's it would be: whoever looks
            # for that photo's document knows that nobody was told of it.
            found = [path.split("/") for path in service.world.blobs.data]
            assert [parts[0] for parts in found] in ([], ["originals"]), n
            assert all(parts[1] == parts[2][-2:] for parts in found), n


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_database_that_goes_away_in_between_leaves_one_photo_or_none(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(key=key)
    insert = service.world.photos.insert

    async def unknown(photo: object) -> bool:
        await insert(photo)  # type: ignore[arg-type]  # as it came
        raise StoreUnavailableError("did not answer in time")

    monkeypatch.setattr(service.world.photos, "insert", unknown)
    with pytest.raises(StoreUnavailableError):
        await service.upload(Scissors())
    monkeypatch.undo()
    if key is None:  # the client has no name for it: it must be gone
        assert service.world.photos._documents == {}
        assert service.world.blobs.data == {}
    answer = await service.upload(Scissors())
    assert answer is not None
    await service.recover()
    await service.check_one_photo(answer.id, key)
