"""The API over fakes."""

from typing import cast

from aiohttp import web

from photo_pipeline.api.app import Parts, make_app
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import Hub
from photo_pipeline.api.limits import Limits
from photo_pipeline.api.rates import Rates
from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.broker.topology import Names, Topology
from photo_pipeline.domain.messages import TrialAnswer
from photo_pipeline.domain.planning import Plans
from photo_pipeline.domain.preset import make_presets
from photo_pipeline.errors import TrialUnansweredError
from photo_pipeline.health import Health
from support.casefiles import FakeDeadLetters
from support.fakes import FakeIdempotencyKeys
from support.pipeline import STAGES, World
from support.processes import SAMPLES

PHOTO = (SAMPLES / "cat-small.jpg").read_bytes()
LIMITS = Limits(
    upload_bytes=100_000, pixels=1_000_000, uploads=3, reserve_bytes=1_000_000, trial_s=1
)


async def _no_counts(_: object) -> dict[str, QueueCount]:
    return {}


async def _nothing_there(*_: object) -> int:
    return 0


async def _no_answer(*_: object) -> TrialAnswer:
    raise TrialUnansweredError


def api_over(world: World, keys: FakeIdempotencyKeys | None = None) -> web.Application:
    """Return the API of a world, as a fresh process would build it."""
    return make_app(
        Parts(
            photos=world.photos,
            blobs=world.blobs,
            dead_letters=FakeDeadLetters(),
            take_out=_nothing_there,
            ask_worker=_no_answer,
            idempotency=keys or FakeIdempotencyKeys(world.scissors),
            publisher=cast("Publisher", world.publisher),
            feed=Feed(),
            hub=Hub(world.photos),
            rates=Rates(),
            names=Names(),
            topology=Topology(exchanges=(), queues=()),
            count_queues=_no_counts,
            plans=Plans(make_presets({}, STAGES), STAGES),
            limits=LIMITS,
            health=Health(),
            metrics=world.metrics,
        )
    )


def multipart() -> bytes:
    """Return an upload of PHOTO, with the boundary ``b``."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="cat.jpg"\r\n\r\n'
    return head + PHOTO + b"\r\n--b--\r\n"
