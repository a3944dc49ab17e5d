"""The stream of all photos: what it begins with, and in what order it goes on."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from photo_pipeline.api.everything import LONGEST_REPLAY, Hub, all_frames, read_since
from photo_pipeline.domain import changes
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import InvalidRequestError
from support.fakes import FakePhotos
from support.pipeline import make_photo


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "12", "2026-01-31", "2026-01-31T12:00:00", "9" * 5000),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),  # no such time in UTC
        (utc_now() - LONGEST_REPLAY - timedelta(seconds=1)).isoformat(),
    ],
)
def test_a_time_that_is_none_or_too_long_ago_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_since(text)


def test_a_time_is_read_with_its_zone() -> None:
    now = utc_now()
    assert read_since(None) is None
    for text in (now.isoformat(), now.isoformat().replace("+00:00", "Z"), f"{now:%FT%T.%f} 00:00"):
        assert read_since(text) == now


def _started(photo: Photo) -> changes.Change:
    return changes.stage_started(photo.pipeline[0], attempt=1, worker="w", at=utc_now())


async def test_a_photo_that_changes_during_the_replay_is_told_once() -> None:
    """A store that goes by the time of the last change meets it a second time."""
    photos = FakePhotos()
    photo = make_photo()
    await photos.insert(photo)

    async def met_twice(_: datetime) -> AsyncIterator[Photo]:
        yield await photos.get(photo.id)
        yield (await photos.apply(photo.id, 1, _started(photo))).photo

    photos.changed_since = met_twice  # type: ignore[method-assign, assignment]
    with Hub(photos).following() as inbox:
        inbox.put_nowait(None)
        frames = all_frames(photos, inbox, utc_now() - timedelta(minutes=1))
        told = [json.loads((await anext(frames)).text)["revision"] for _ in range(2)]
        assert told == [1, 2]
