"""``GET /queues``: where photos wait, for an operator at a glance."""

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from photo_pipeline.api import keys
from photo_pipeline.api.problems import json_response
from photo_pipeline.api.rates import Rates
from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.pipeline import SUBSCRIBERS
from photo_pipeline.domain.status import StageStatus
from photo_pipeline.storage.photos import Standings


class StageQueue(BaseModel):
    """One stage: its queue, and the photos that stand at it."""

    stage: str
    queue: str
    ready: int = Field(description="Messages that wait.")
    running: int = Field(description="Photos being worked on.")
    retrying: int = Field(description="Photos that wait for another attempt.")
    dead: int = Field(description="Dead letters.")
    consumers: int
    rate: float = Field(description="Photos a second that were done in the last minute.")
    oldest_s: float | None = Field(
        description="Seconds that the photo which waits longest for its first attempt has waited."
    )


class SubscriberQueue(BaseModel):
    """One subscriber to the outcomes."""

    subscriber: str
    queue: str
    ready: int
    dead: int
    consumers: int


class Queues(BaseModel):
    """Every queue of the pipeline, stages in their order."""

    stages: list[StageQueue]
    subscribers: list[SubscriberQueue]


async def get_queues(request: web.Request) -> web.Response:
    """Answer the state of every queue; 503 while RabbitMQ or MongoDB is away."""
    app = request.app
    names = app[keys.NAMES]
    pipeline = app[keys.PLANS].pipeline
    work = {name: names.stage_queue(name) for name in pipeline}
    outcomes = {name: names.subscriber_queue(name) for name in SUBSCRIBERS}
    dead = {name: names.dead_queue(name) for name in pipeline}
    dead |= {name: names.dead_queue(names.subscriber_key(name)) for name in SUBSCRIBERS}
    counts = await app[keys.COUNT_QUEUES]([*work.values(), *outcomes.values(), *dead.values()])
    standings = await app[keys.PHOTOS].standings()
    answer = Queues(
        stages=[
            _stage(name, counts[queue], counts[dead[name]], queue, standings, app[keys.RATES])
            for name, queue in work.items()
        ],
        subscribers=[
            SubscriberQueue(
                subscriber=name,
                queue=queue,
                ready=counts[queue].ready,
                dead=counts[dead[name]].ready,
                consumers=counts[queue].consumers,
            )
            for name, queue in outcomes.items()
        ],
    )
    return json_response(answer, headers={hdrs.CACHE_CONTROL: "no-store"})


def _stage(
    name: str,
    count: QueueCount,
    dead: QueueCount,
    queue: str,
    standings: Standings,
    rates: Rates,
) -> StageQueue:
    def standing(status: StageStatus) -> int:
        found = standings.get((name, status))
        return found.photos if found else 0

    pending = standings.get((name, StageStatus.PENDING))
    return StageQueue(
        stage=name,
        queue=queue,
        ready=count.ready,
        running=standing(StageStatus.RUNNING),
        retrying=standing(StageStatus.RETRYING),
        dead=dead.ready,
        consumers=count.consumers,
        rate=rates.per_second(name),
        oldest_s=max((utc_now() - pending.since).total_seconds(), 0) if pending else None,
    )
