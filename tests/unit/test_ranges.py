"""Conditional and range requests (RFC 9110, 13 and 14): one table."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from photo_pipeline.api.ranges import not_modified, wanted_part
from photo_pipeline.errors import PreconditionFailedError, RangeNotSatisfiableError

ETAG = "c0ffee"
SIZE = 100
WHOLE = (0, SIZE, False)


def _request(headers: dict[str, str], method: str = "GET") -> web.Request:
    request: Any = make_mocked_request(method, "/", headers=headers)
    assert isinstance(request, web.Request)
    return request


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({}, False),
        ({"If-None-Match": '"c0ffee"'}, True),
        ({"If-None-Match": 'W/"c0ffee"'}, True),  # weak comparison: 13.1.2
        ({"If-None-Match": '"tea", "c0ffee"'}, True),
        ({"If-None-Match": "*"}, True),
        ({"If-None-Match": '"tea"'}, False),
        ({"If-None-Match": "c0ffee"}, False),  # no entity tag
        ({"If-None-Match": ""}, False),
        ({"If-Match": '"c0ffee"'}, False),
        ({"If-Match": "*"}, False),
        ({"If-Match": '"tea", "c0ffee"', "If-None-Match": '"c0ffee"'}, True),
        # No date, so the conditions on one are ignored: 13.1.3, 13.1.4.
        ({"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"}, False),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, False),
    ],
)
def test_whether_the_client_has_the_bytes(headers: dict[str, str], known: bool) -> None:
    assert not_modified(_request(headers), ETAG) is known


@pytest.mark.parametrize("tag", ['"tea"', 'W/"c0ffee"', "c0ffee", '"tea", W/"c0ffee"'])
def test_other_bytes_than_asked_for_are_refused(tag: str) -> None:
    """Strong comparison: 13.1.1; and before If-None-Match: 13.2.2."""
    for more in ({}, {"If-None-Match": '"c0ffee"'}):
        with pytest.raises(PreconditionFailedError):
            not_modified(_request({"If-Match": tag, **more}), ETAG)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1, True)),
        ("bytes=0-9", (0, 10, True)),
        ("bytes=90-", (90, 100, True)),
        ("bytes=0-", (0, 100, True)),
        ("bytes=99-99", (99, 100, True)),
        ("bytes=90-5000", (90, 100, True)),  # the end is cut to the size: 14.1.2
        ("bytes=-1", (99, 100, True)),
        ("bytes=-5000", (0, 100, True)),  # a longer suffix is the whole
        ("BYTES=1-2", (1, 3, True)),  # units are case-insensitive
        # Invalid, or of no kind known here: ignored, 14.2.
        ("bytes=5-2", WHOLE),
        ("bytes=200-100", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=1.5-2", WHOLE),
        ("bytes=--1", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=\u0661-\u0662", WHOLE),  # digits, but not of ASCII
        ("lines=0-9", WHOLE),
        ("0-9", WHOLE),
        ("", WHOLE),
        ("bytes=0-9,20-29", WHOLE),  # several: the whole is a legal answer
        (f"bytes={'9' * 5000}-", WHOLE),  # a number that takes long to read
    ],
)
def test_which_part_is_sent(asked: str, part: tuple[int, int, bool]) -> None:
    found = wanted_part(_request({"Range": asked}), ETAG, SIZE)
    assert (found.start, found.stop, found.partial) == part
    assert found.size == SIZE


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=5000-", "bytes=-0"])
def test_a_part_behind_the_end_is_refused_with_the_size(asked: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        wanted_part(_request({"Range": asked}), ETAG, SIZE)
    assert refused.value.size == SIZE


@pytest.mark.parametrize(
    ("tag", "partial"),
    [
        ('"c0ffee"', True),
        ('"tea"', False),
        ('W/"c0ffee"', False),  # strong comparison: 13.1.5
        ("Sat, 01 Jan 2050 00:00:00 GMT", False),
        ("", False),
    ],
)
def test_a_part_is_sent_only_of_the_bytes_that_the_client_has(tag: str, partial: bool) -> None:
    request = _request({"Range": "bytes=0-9", "If-Range": tag})
    assert wanted_part(request, ETAG, SIZE).partial is partial
    # Other bytes: even a range behind their end is no error.
    beyond = _request({"Range": "bytes=100-", "If-Range": '"tea"'})
    assert not wanted_part(beyond, ETAG, SIZE).partial


def test_a_range_means_something_for_get_only() -> None:
    """RFC 9110, 14.2."""
    for asked in ("bytes=0-9", "bytes=5000-"):
        assert not wanted_part(_request({"Range": asked}, "HEAD"), ETAG, SIZE).partial
