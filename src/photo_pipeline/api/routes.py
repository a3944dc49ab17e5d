"""The table of routes: every one with its handler, in one place."""

from typing import Final

from aiohttp import web

from photo_pipeline.api.bytes import get_original, get_rendition, get_reviewed
from photo_pipeline.api.dead import get_dead, get_dead_letter
from photo_pipeline.api.dead_replay import (
    delete_dead_letter,
    post_replay,
    post_replay_group,
)
from photo_pipeline.api.docs import docs_routes
from photo_pipeline.api.duplicates import get_duplicates
from photo_pipeline.api.health import health_routes
from photo_pipeline.api.photos import get_photos, get_status
from photo_pipeline.api.presets import get_presets
from photo_pipeline.api.queues import get_queues
from photo_pipeline.api.removal import delete_photo
from photo_pipeline.api.reprocess import post_reprocess
from photo_pipeline.api.review import get_review, post_review
from photo_pipeline.api.slashes import with_slashes
from photo_pipeline.api.sse import get_events
from photo_pipeline.api.stream import get_stream, get_stream_of_all
from photo_pipeline.api.uploads import post_upload
from photo_pipeline.metrics import Metrics

# Not what is a call of its own, or that would seem to take GET and DELETE.
_DEAD_LETTER: Final = "/dead/{id:(?!replay(?:/|$))[^/]+}"


def routes(metrics: Metrics) -> list[web.RouteDef]:
    """Return every route of the API."""
    table = [
        web.post("/upload", post_upload),
        web.get("/status/{id}", get_status),
        web.get("/photos", get_photos),
        web.get("/photos/{id}/original", get_original),
        web.get("/photos/{id}/duplicates", get_duplicates),
        # Not what is a call of its own, or that would seem to take GET.
        web.get("/photos/{id}/{rendition:(?!reprocess(?:/|$))[^/]+}", get_rendition),
        web.delete("/photos/{id}", delete_photo),
        web.post("/photos/{id}/reprocess", post_reprocess),
        web.get("/ws", get_stream_of_all, allow_head=False),
        web.get("/ws/{id}", get_stream, allow_head=False),
        web.get("/events/{id}", get_events, allow_head=False),
        web.get("/review", get_review),
        web.post("/review/{id}", post_review),
        web.get("/review/{id}/{rendition}", get_reviewed),
        web.get("/presets", get_presets),
        web.get("/queues", get_queues),
        web.get("/dead", get_dead),
        web.post("/dead/replay", post_replay_group),
        web.get(_DEAD_LETTER, get_dead_letter),
        web.delete(_DEAD_LETTER, delete_dead_letter),
        web.post("/dead/{id}/replay", post_replay),
        *health_routes(metrics),
        *docs_routes(),
    ]
    return with_slashes(table)
