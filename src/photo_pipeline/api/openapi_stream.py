"""The status streams in the OpenAPI document, which has words for their frames only in prose."""

from typing import Final

from openapi_pydantic import DataType, MediaType, Response, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.everything import LONGEST_REPLAY, SNAPSHOT_PHOTOS
from photo_pipeline.api.following import HEARTBEAT_S, SEND_TIMEOUT_S
from photo_pipeline.api.openapi_examples import FRAMES, FRAMES_OF_ALL, SERVER_SENT
from photo_pipeline.api.openapi_parts import answer, in_header, in_query
from photo_pipeline.api.sse import LAST_EVENT_ID, RECONNECT_MS

_GO_ON: Final = "connect again with `since`"


def _closing(*ends: tuple[int, str, str]) -> str:
    table = "\n".join(f"| {code} | {reason} | {then} |" for code, reason, then in ends)
    return f"""\
The server sends a ping every {HEARTBEAT_S:g} s and ends the stream with one of these close codes:

| Code | Reason | What to do |
| --- | --- | --- |
{table}

This page cannot open a WebSocket: "Execute" shows how a plain request is refused.
"""


_ANY_TIME: Final = (
    (1001, "this replica shuts down", _GO_ON),
    (1011, "an error that nobody foresaw", _GO_ON),
    (1013, f"a frame was not taken within {SEND_TIMEOUT_S:g} s, or the store is away", "the same"),
)

# One line a paragraph: the documentation page keeps line breaks.
_ONE: Final = f"""\
Open a WebSocket (RFC 6455) that tells each change of the photo.

Every frame is a text of JSON. The first is a snapshot with the whole status document in `photo`; \
then comes one for each entry of the timeline (schema `StatusEvent`):

```
{FRAMES}
```

With `since` there is no snapshot: the frames begin with the first change after that revision. \
Revisions come in order, without a gap and without a repeat, whichever replica serves. \
After a cut, connect again with the last revision seen.

{_closing((1000, "the photo is done, failed or deleted", "nothing: it was told"), *_ANY_TIME)}"""

_ALL: Final = f"""\
Open a WebSocket (RFC 6455) that tells each change of every photo.

The first frame is a snapshot with the summaries of the newest {SNAPSHOT_PHOTOS} photos; \
then comes a frame for each change of any photo (schema `StatusEvent`):

```
{FRAMES_OF_ALL}
```

With `since`, a time, there is no snapshot: the frames begin with the changes from then on. \
Of each photo the revisions come in order and without a gap; the order of changes of different \
photos means nothing. After a cut, connect again with the `at` of the last frame seen, and drop \
the revisions that you have.

{_closing(*_ANY_TIME)}"""

_SSE: Final = f"""\
Answer the same frames as the WebSocket of the photo, as Server-Sent Events (WHATWG HTML, 9.2): \
for browsers' `EventSource`, and where a proxy lets no WebSocket through.

The id of an event is the photo's revision. After a cut an `EventSource` comes again by itself \
after {RECONNECT_MS} ms and sends it in `{LAST_EVENT_ID}`, which counts more than `since`. \
The answer ends with the frame that tells the end of the photo; whoever comes again then gets \
`204`, at which an `EventSource` stops. A comment is sent every {HEARTBEAT_S:g} s.
"""

_OPEN: Final = {"101": Response(description="The WebSocket is open.")}
_SINCE: Final = in_query(
    "since",
    "Go on after this revision.",
    Schema(type=DataType.INTEGER, minimum=0, examples=[1]),
)
_REFUSALS: Final = (
    *(errors.InvalidRequestError, errors.UnknownPhotoError, errors.StoreUnavailableError),
)

STREAM: Final = parts.operation(
    parts.STREAM,
    "streamStatus",
    "Follow a photo",
    _ONE,
    _OPEN,
    (*_REFUSALS, parts.BAD_REQUEST),
    parameters=(parts.ID, _SINCE),
)

STREAM_OF_ALL: Final = parts.operation(
    parts.STREAM,
    "streamAll",
    "Follow all photos",
    _ALL,
    _OPEN,
    (errors.InvalidRequestError, parts.BAD_REQUEST),
    parameters=(
        in_query(
            "since",
            "Go on from this time (RFC 3339), which is at most "
            f"{LONGEST_REPLAY.total_seconds():g} s ago.",
            Schema(type=DataType.STRING, schema_format="date-time"),
        ),
    ),
)

_EVENTS: Final = Schema(
    # Of no type: OpenAPI 3.1 has no word for a stream of events, each of which is data and id.
    description="Events as of WHATWG HTML, 9.2; `data` is a frame, `id` its revision."
)

EVENTS: Final = parts.operation(
    parts.STREAM,
    "streamEvents",
    "Follow a photo by Server-Sent Events",
    _SSE,
    {
        "200": answer(
            "The events.",
            {"text/event-stream": MediaType(media_type_schema=_EVENTS, example=SERVER_SENT)},
        ),
        "204": answer("You have seen the end."),
    },
    _REFUSALS,
    parameters=(
        parts.ID,
        in_header(LAST_EVENT_ID, "Go on after this revision; an `EventSource` sends it.", "1"),
        _SINCE,
    ),
)
