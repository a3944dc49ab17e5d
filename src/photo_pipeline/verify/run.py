"""Run a verification: every photo of a store, some at a time, whatever the store's size."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import PhotoPipelineError, UnknownPhotoError
from photo_pipeline.settings import Settings
from photo_pipeline.stages import load
from photo_pipeline.storage.files import open_blobs
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos, Selection
from photo_pipeline.verify.findings import Findings
from photo_pipeline.verify.photo import Checked, PhotoCheck
from photo_pipeline.worker.executor import sandbox

PAGE: Final = 50
"""Documents in memory at a time, some 10 kB each: their pictures take far more."""
REFRESH_S: Final = 0.2


class Check(Protocol):
    """Whatever can check one photo."""

    async def __call__(self, photo: Photo) -> Checked:
        """Return what is wrong with *photo*."""


async def verify(settings: Settings, *, photo_id: str | None, jobs: int, as_json: bool) -> int:
    """Check the store that *settings* name and print what is wrong; return the exit status.

    Everything, or the photo *photo_id*; *jobs* photos at a time. Needs MongoDB and the photo
    storage, not RabbitMQ, and writes nothing.
    """
    async with AsyncExitStack() as stack:
        photos = MongoPhotos(
            await stack.enter_async_context(open_database(settings.store.mongo_url))
        )
        check = await stack.enter_async_context(_checking(settings, jobs))
        findings = Findings()
        with _progress(findings):
            await check_all(photos, check, findings, photo_id=photo_id, jobs=jobs)
    findings.violations.sort(key=str)
    if as_json:
        print(json.dumps(findings.document(), indent=2))  # noqa: T201  # the result
    else:
        for violation in findings.violations:
            print(violation)  # noqa: T201
        print(findings.summary())  # noqa: T201
    return 1 if findings.violations else 0


@asynccontextmanager
async def _checking(settings: Settings, jobs: int) -> AsyncIterator[PhotoCheck]:
    stages = {name: load(name) for name in PIPELINE}
    work = settings.work.model_copy(update={"concurrency": jobs})
    async with AsyncExitStack() as stack:
        checkers = {
            name: await stack.enter_async_context(sandbox(name, work))
            for name, stage in stages.items()
            if stage.check is not None
        }
        blobs = open_blobs(settings.store.storage_url)
        yield PhotoCheck(blobs=blobs, stages=stages, checkers=checkers)


async def check_all(
    photos: Photos, check: Check, findings: Findings, *, photo_id: str | None, jobs: int
) -> None:
    """Check every photo of *photos* that is done, or just *photo_id*, into *findings*."""
    waiting = _chosen(photos, photo_id)

    async def work() -> None:
        # The lock is the order of an asynchronous generator: it gives one at a time.
        while True:
            async with turn:
                photo = await anext(waiting, None)
            if photo is None:
                return
            await _check_one(photos, check, photo, findings)

    turn = asyncio.Lock()
    try:
        async with aclosing(waiting), asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(work())
    except ExceptionGroup as raised:
        # One job's trouble ends all: a store that does not answer, or no such photo.
        if known := raised.subgroup(PhotoPipelineError):
            raise known.exceptions[0] from raised
        raise


async def _check_one(photos: Photos, check: Check, photo: Photo, findings: Findings) -> None:
    if photo.status is not PhotoStatus.DONE:
        findings.skipped[photo.status] += 1
        return
    checked = await check(photo)
    if checked.violations and not await _unchanged(photos, photo):
        findings.changed += 1  # reprocessed or deleted: what is gone, should be
        return
    findings.photos += 1
    findings.renditions += checked.renditions
    findings.older += checked.older
    findings.violations += checked.violations


async def _unchanged(photos: Photos, photo: Photo) -> bool:
    try:
        return (await photos.get(photo.id)).revision == photo.revision
    except UnknownPhotoError:
        return False


async def _chosen(photos: Photos, photo_id: str | None) -> AsyncGenerator[Photo, None]:
    """Yield photos page by page, newest first: no cursor is kept open over hours of work."""
    if photo_id is not None:
        yield await photos.get(photo_id)
        return
    before: str | None = None
    while page := await photos.page(Selection(statuses=tuple(PhotoStatus), before=before), PAGE):
        for photo in page:
            yield photo
        before = page[-1].id


@contextmanager
def _progress(findings: Findings) -> Iterator[None]:
    """Show, on a terminal, how far it is; on standard error, so that the result can be piped."""
    if not sys.stderr.isatty():
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        refreshing = asyncio.create_task(_refresh(progress, findings))
        try:
            yield
        finally:
            refreshing.cancel()


async def _refresh(progress: Progress, findings: Findings) -> None:
    task = progress.add_task(findings.summary(), total=None)
    while True:
        progress.update(task, description=findings.summary())
        await asyncio.sleep(REFRESH_S)
