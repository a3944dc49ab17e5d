"""``/openapi.json``: the contract of the HTTP API (OpenAPI 3.1), from the models that answer."""

from functools import cache
from typing import Final

from openapi_pydantic import Info, License, OpenAPI, PathItem, Paths, Server, Tag
from openapi_pydantic.util import construct_open_api_with_schema_class

from photo_pipeline import __version__
from photo_pipeline.api import openapi_dead, openapi_review
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.middleware import REQUEST_ID
from photo_pipeline.api.openapi_actions import DELETE, REPROCESS
from photo_pipeline.api.openapi_bytes import ORIGINAL, RENDITION, REVIEWED
from photo_pipeline.api.openapi_list import DUPLICATES, LIST
from photo_pipeline.api.openapi_parts import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND
from photo_pipeline.api.openapi_presets import PRESETS
from photo_pipeline.api.openapi_probes import HEALTHZ, METRICS, READYZ
from photo_pipeline.api.openapi_queues import QUEUES
from photo_pipeline.api.openapi_status import STATUS
from photo_pipeline.api.openapi_stream import EVENTS, STREAM, STREAM_OF_ALL
from photo_pipeline.api.openapi_upload import UPLOAD
from photo_pipeline.domain.messages import StatusEvent

_PATHS: Final[Paths] = {
    "/upload/": PathItem(post=UPLOAD),
    "/status/{id}": PathItem(get=STATUS),
    "/photos": PathItem(get=LIST),
    "/photos/{id}": PathItem(delete=DELETE),
    "/photos/{id}/duplicates": PathItem(get=DUPLICATES),
    "/photos/{id}/original": PathItem(get=ORIGINAL),
    "/photos/{id}/{rendition}": PathItem(get=RENDITION),
    "/photos/{id}/reprocess": PathItem(post=REPROCESS),
    "/review": PathItem(get=openapi_review.LIST),
    "/review/{id}": PathItem(post=openapi_review.DECIDE),
    "/review/{id}/{rendition}": PathItem(get=REVIEWED),
    "/presets": PathItem(get=PRESETS),
    "/ws": PathItem(get=STREAM_OF_ALL),
    "/ws/{id}": PathItem(get=STREAM),
    "/events/{id}": PathItem(get=EVENTS),
    "/queues": PathItem(get=QUEUES),
    "/dead": PathItem(get=openapi_dead.LIST),
    "/dead/{id}": PathItem(get=openapi_dead.GET, delete=openapi_dead.DISCARD),
    "/dead/{id}/replay": PathItem(post=openapi_dead.REPLAY),
    "/dead/replay": PathItem(post=openapi_dead.REPLAY_GROUP),
    "/healthz": PathItem(get=HEALTHZ),
    "/readyz": PathItem(get=READYZ),
    "/metrics": PathItem(get=METRICS),
}

_ANYWHERE: Final = "\n".join(
    f"| {each.status} | `{each.code}` | {each.meaning} |"
    for each in (NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL)
)

# One line a paragraph: the documentation page keeps line breaks.
_DESCRIPTION: Final = f"""\
Upload photos, follow them through the stages of the pipeline, and fetch what was made of them.

- Bodies are JSON, unless they are pictures. \
Times are RFC 3339 in UTC; widths and heights are displayed pixels.
- A trailing slash never matters, and `HEAD` works where `GET` does, except on streams.
- `{REQUEST_ID}` names a request in the log; send your own, or take the one of the answer.
- An error is a problem detail (RFC 9457). \
Go by its `code`, which is stable; `detail` is for people. \
One with `503` says in `Retry-After` when to try again.
- What goes over RabbitMQ and over WebSockets, [/asyncapi.json](/asyncapi.json) describes.

These may be answered anywhere:

| Status | Code | Meaning |
| --- | --- | --- |
{_ANYWHERE}
"""


@cache
def openapi_document() -> str:
    """Return the document as JSON text."""
    document = OpenAPI(
        openapi="3.1.1",
        info=Info(
            title="Photo Pipeline",
            version=__version__,
            summary="Photos in; renditions, watermarks and facts out.",
            description=_DESCRIPTION,
            license=License(name="MIT", identifier="MIT"),
        ),
        servers=[Server(url="/")],
        tags=[
            Tag(name=parts.PHOTOS, description="Photos, their status and their bytes."),
            Tag(name=parts.STREAM, description="What happens to photos, as it happens."),
            Tag(name=parts.OPERATION, description="How the pipeline is doing."),
            Tag(name=parts.PROBES, description="How the process is doing."),
        ],
        paths=_PATHS,
    )
    # StatusEvent is the frame of a WebSocket, which no operation can refer to.
    complete = construct_open_api_with_schema_class(document, schema_classes=[StatusEvent])
    # Without exclude_unset a path parameter has allowEmptyValue, which OpenAPI 3.1 forbids.
    return complete.model_dump_json(by_alias=True, exclude_none=True, exclude_unset=True)
