"""The role switch: what each role is made of, and how a process runs some of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

import structlog

from photo_pipeline import __version__, subscribers
from photo_pipeline.api.app import Parts, make_app, serving
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import sequencing
from photo_pipeline.api.limits import Limits
from photo_pipeline.api.rates import Rates
from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.consume import consuming
from photo_pipeline.broker.deadqueue import DeadQueues
from photo_pipeline.broker.deliveries import Handler
from photo_pipeline.broker.deliveries import Limits as DeliveryLimits
from photo_pipeline.broker.inspect import count, looking
from photo_pipeline.broker.listen import listening
from photo_pipeline.broker.trial import ask
from photo_pipeline.domain.casefile import case_id
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.errors import SettingsError
from photo_pipeline.imaging.opening import limit_pixels
from photo_pipeline.lifecycle import stop_on_signals
from photo_pipeline.resources import Shared, open_shared, read_plans
from photo_pipeline.settings import Settings
from photo_pipeline.stages import load
from photo_pipeline.worker.consumer import StageConsumer
from photo_pipeline.worker.debts import EVERY_S as DEBTS_EVERY_S
from photo_pipeline.worker.debts import pay_debts
from photo_pipeline.worker.executor import sandbox
from photo_pipeline.worker.failures import Failures
from photo_pipeline.worker.filing import PREFETCH, Filing
from photo_pipeline.worker.lost import EVERY_S as LOST_EVERY_S
from photo_pipeline.worker.lost import Search, put_back
from photo_pipeline.worker.reconcile import Chore, reconcile
from photo_pipeline.worker.recorder import Recorder
from photo_pipeline.worker.subscriber import SubscriberConsumer
from photo_pipeline.worker.sweep import EVERY_S as SWEEP_EVERY_S
from photo_pipeline.worker.sweep import sweeping
from photo_pipeline.worker.trial import Trials

log = structlog.get_logger()


TRIAL_MARGIN_S: Final = 5.0  # beside the stage's own time limit: to be fetched, and to load

Address = str | None
Role = Callable[[Shared], AbstractAsyncContextManager[Address]]
"""A role runs as long as its block; it yields the web address at which it serves, if any."""


@asynccontextmanager
async def api_role(shared: Shared) -> AsyncIterator[Address]:
    """Serve HTTP and the status stream."""
    settings = shared.settings
    limit_pixels(settings.work.max_pixels)
    rates = Rates()
    async with sequencing(shared.photos) as hub:
        feed = Feed(hub.offer, rates.note)
        async with listening(
            settings.broker.amqp_url,
            shared.names.status,
            feed.on_body,
            name=f"api@{shared.worker}",
            topology=shared.topology,
        ) as link:
            app = make_app(
                Parts(
                    photos=shared.photos,
                    blobs=shared.blobs,
                    idempotency=shared.idempotency,
                    dead_letters=shared.dead_letters,
                    take_out=DeadQueues(settings.broker.amqp_url, shared.names, case_id).take_out,
                    ask_worker=partial(ask, settings.broker.amqp_url, shared.names),
                    publisher=shared.publisher,
                    feed=feed,
                    hub=hub,
                    rates=rates,
                    names=shared.names,
                    topology=shared.topology,
                    count_queues=partial(count, link),
                    plans=read_plans(settings),
                    limits=Limits(
                        upload_bytes=settings.http.max_upload_bytes,
                        pixels=settings.work.max_pixels,
                        uploads=settings.http.max_uploads,
                        reserve_bytes=settings.http.storage_reserve_bytes,
                        trial_s=settings.work.stage_timeout_s + TRIAL_MARGIN_S,
                    ),
                    health=shared.health,
                    metrics=shared.metrics,
                )
            )
            async with serving(
                app,
                settings.http.http_host,
                settings.http.http_port,
                settings.process.shutdown_grace_s,
            ) as address:
                with shared.health.watching("status feed", link.check):
                    yield address


@asynccontextmanager
async def stage_role(name: str, shared: Shared) -> AsyncIterator[Address]:
    """Consume the queue of one stage."""
    settings = shared.settings
    recorder = Recorder(photos=shared.photos, publisher=shared.publisher)
    stage = load(name)
    async with sandbox(name, settings.work) as executor:
        if missing := stage.missing():
            log.warning("stage.incomplete", stage=name, missing=dict(missing))
        consumer = StageConsumer(
            name=name,
            stage=stage,
            recorder=recorder,
            blobs=shared.blobs,
            publisher=shared.publisher,
            executor=executor,
            failures=Failures(
                stage=name,
                recorder=recorder,
                publisher=shared.publisher,
                worker=shared.worker,
                retry_delays_s=settings.broker.retry_delays_s,
            ),
            metrics=shared.metrics,
            worker=shared.worker,
        )
        async with _taking_from(
            shared,
            name,
            shared.names.stage_queue(name),
            Trials(consumer=consumer, photos=shared.photos, publisher=shared.publisher),
            prefetch=settings.work.concurrency,
        ):
            yield None


@asynccontextmanager
async def subscriber_role(name: str, shared: Shared) -> AsyncIterator[Address]:
    """Consume the queue of one outcome subscriber."""
    settings = shared.settings
    tools = subscribers.Tools(
        settings=settings,
        photos=shared.photos,
        blobs=shared.blobs,
        deliveries=shared.deliveries,
        metrics=shared.metrics,
    )
    queue = shared.names.subscriber_queue(name)
    prefetch = subscribers.prefetch_of(name, default=settings.work.concurrency)
    async with subscribers.load(name)(tools) as handle:
        consumer = SubscriberConsumer(
            name=name,
            key=shared.names.subscriber_key(name),
            handle=handle,
            publisher=shared.publisher,
            metrics=shared.metrics,
            worker=shared.worker,
            retry_delays_s=settings.broker.retry_delays_s,
        )
        async with _taking_from(shared, name, queue, consumer, prefetch=prefetch):
            yield None


@asynccontextmanager
async def _taking_from(
    shared: Shared, name: str, queue: str, handler: Handler, *, prefetch: int
) -> AsyncIterator[None]:
    settings = shared.settings
    async with consuming(
        settings.broker.amqp_url,
        queue,
        handler,
        name=f"{name}@{shared.worker}",
        topology=shared.topology,
        limits=DeliveryLimits(
            prefetch=prefetch,
            handling_s=settings.work.handling_s,
            grace_s=settings.process.shutdown_grace_s,
        ),
        writable=shared.publisher.writable,
    ) as running:
        with shared.health.watching(f"{name} consumer", running.check):
            yield


@asynccontextmanager
async def reconcile_role(shared: Shared) -> AsyncIterator[Address]:
    """Put right what was left half done."""
    stop = asyncio.Event()
    indexed = (shared.photos, shared.deliveries, shared.idempotency, shared.dead_letters)
    url, name = shared.settings.broker.amqp_url, f"reconcile@{shared.worker}"
    filing = Filing(dead_letters=shared.dead_letters, photos=shared.photos, metrics=shared.metrics)
    # Should the loop die, the group ends the block, and with it the process: nobody would
    # notice a reconcile that only looks alive.
    async with (
        _taking_from(shared, "filing", shared.names.dead_files, filing, prefetch=PREFETCH),
        looking(url, name=name, topology=shared.topology) as link,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(reconcile(_chores(shared, link), stop, indexed=indexed))
        try:
            yield None
        finally:
            stop.set()


def _chores(shared: Shared, link: Link) -> tuple[Chore, ...]:
    settings, photos, blobs = shared.settings, shared.photos, shared.blobs
    search = Search(
        queues={name: shared.names.stage_queue(name) for name in PIPELINE},
        retry_s=max(settings.broker.retry_delays_s),
        stage_s=settings.work.stage_timeout_s,
    )
    publisher, metrics = shared.publisher, shared.metrics
    pay = partial(pay_debts, photos, blobs, publisher, metrics)
    find = partial(put_back, search, photos, publisher, partial(count, link), metrics)
    return (
        Chore("debts", DEBTS_EVERY_S, pay),
        Chore("lost messages", LOST_EVERY_S, find),
        Chore("orphans", SWEEP_EVERY_S, sweeping(photos, blobs, metrics)),
    )


ROLES: Final[Mapping[str, Role]] = {
    "api": api_role,
    **{name: partial(stage_role, name) for name in PIPELINE},
    **{name: partial(subscriber_role, name) for name in SUBSCRIBERS},
    "reconcile": reconcile_role,
}

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "workers": PIPELINE,
    "subscribers": SUBSCRIBERS,
    "all": tuple(ROLES),
}


def expand_roles(wanted: str) -> tuple[str, ...]:
    """Return the roles that a comma-separated list of roles and groups names, each once.

    Raises SettingsError that says which are known.
    """
    names = [part.strip() for part in wanted.split(",") if part.strip()]
    unknown = [name for name in names if name not in ROLES and name not in GROUPS]
    if unknown or not names:
        known = ", ".join((*ROLES, *GROUPS))
        raise SettingsError(
            f"--role: no such role: {', '.join(unknown) or '(none)'}; known: {known}"
        )
    expanded = (role for name in names for role in GROUPS.get(name, (name,)))
    return tuple(dict.fromkeys(expanded))


async def run_roles(
    roles: Iterable[str],
    settings: Settings,
    stop: asyncio.Event,
    on_ready: Callable[[Address], None] = lambda _: None,
) -> None:
    """Run *roles* side by side until *stop*; they then drain side by side as well.

    *on_ready* is called once, when all have started, with the web address if there is one.
    When a role fails, the others are stopped as if asked to, and its error is raised.
    """
    roles = tuple(roles)
    log.info("process.starting", roles=",".join(roles), version=__version__)
    addresses: list[Address] = []

    async def hold(role: str, shared: Shared) -> None:
        try:
            async with ROLES[role](shared) as address:
                addresses.append(address)
                if len(addresses) == len(roles):
                    shared.health.started()
                    on_ready(next(filter(None, addresses), None))
                await stop.wait()
        finally:
            stop.set()

    async with open_shared(settings) as shared:
        results = await asyncio.gather(
            *(hold(role, shared) for role in roles), return_exceptions=True
        )
    for role, result in zip(roles, results, strict=True):
        if isinstance(result, BaseException):
            log.error("role.failed", role=role, error=str(result) or type(result).__name__)
            raise result
    log.info("process.stopped")


async def run_until_signal(roles: Iterable[str], settings: Settings) -> None:
    """Run *roles* until SIGINT or SIGTERM."""
    with stop_on_signals() as stop:
        await run_roles(roles, settings, stop)
