"""``GET /ws/{id}`` in the OpenAPI document, which has words for its frames only in prose."""

from typing import Final

from openapi_pydantic import DataType, Response, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.following import HEARTBEAT_S, SEND_TIMEOUT_S
from photo_pipeline.api.openapi_examples import FRAMES
from photo_pipeline.api.openapi_parts import in_query

# One line a paragraph: the documentation page keeps line breaks.
_PROSE: Final = f"""\
Open a WebSocket (RFC 6455) that tells each change of the photo.

Every frame is a text of JSON. The first is a snapshot with the whole status document in `photo`; \
then comes one for each entry of the timeline (schema `StatusEvent`):

```
{FRAMES}
```

With `since` there is no snapshot: the frames begin with the first change after that revision. \
Revisions come in order, without a gap and without a repeat, whichever replica serves. \
After a cut, connect again with the last revision seen.

The server sends a ping every {HEARTBEAT_S:g} s and ends the stream with one of these close codes:

| Code | Reason | What to do |
| --- | --- | --- |
| 1000 | the photo is done, failed or deleted | nothing: the last frame told it |
| 1001 | this replica shuts down | connect again with `since` |
| 1011 | an error that nobody foresaw | connect again with `since` |
| 1013 | a frame was not taken within {SEND_TIMEOUT_S:g} s, or the store is away | the same, later |

This page cannot open a WebSocket: "Execute" shows how a plain request is refused.
"""

STREAM: Final = parts.operation(
    parts.STREAM,
    "streamStatus",
    "Follow a photo",
    _PROSE,
    {"101": Response(description="The WebSocket is open.")},
    (
        *(errors.InvalidRequestError, parts.BAD_REQUEST),
        *(errors.UnknownPhotoError, errors.StoreUnavailableError),
    ),
    parameters=(
        parts.ID,
        in_query(
            "since",
            "Go on after this revision.",
            Schema(type=DataType.INTEGER, minimum=0, examples=[1]),
        ),
    ),
)
