"""What was found after a soak, and what follows from it; no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from photo_pipeline.domain.messages import outcome_event
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.soak.disk import Disk

_TERMINAL: Final = frozenset({PhotoStatus.DONE, PhotoStatus.FAILED})
"""Without DELETED: nobody deletes anything here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is there when nothing moves any more.

    ``accepted`` holds the checksum of each upload that was answered with 202, by photo id;
    ``heard`` how often which event of a photo was delivered; ``owed`` the photos whose first
    message is still to be sent; ``left`` the messages in each queue.
    """

    wanted: int
    accepted: Mapping[str, str]
    photos: Mapping[str, Photo]
    heard: Mapping[str, Mapping[str, int]]
    nonsense: int
    disk: Disk
    owed: frozenset[str]
    left: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A photo that has not reached its outcome, and where it is."""

    photo_id: str
    status: str
    stage: str | None
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The proof, or what speaks against it."""

    wanted: int
    accepted: int
    unanswered: int  # photos of uploads whose answer was lost
    terminal: int
    lost: Mapping[str, Sequence[str]]
    stuck: Sequence[Stuck]
    duplicates: Mapping[str, Sequence[str]]
    failed: Mapping[str, str]
    unnamed: Sequence[str]
    left: Mapping[str, int]
    nonsense: int
    redeliveries: int
    abandoned_uploads: int
    temporary: int

    @property
    def proven(self) -> bool:
        """Whether there is no difference at all."""
        return self.accepted == self.wanted == self.terminal and not (
            self.lost or self.stuck or self.duplicates or any(self._other_differences())
        )

    @property
    def line(self) -> str:
        """The proof in one line, with every other difference behind it."""
        equals = "=" if self.accepted == self.terminal else "!="
        counts = (
            f"{self.accepted} in {equals} {self.terminal} terminal",
            f"{len(self.lost)} lost",
            f"{len(self.stuck)} stuck",
            f"{len(self.duplicates)} duplicate outcomes",
        )
        return ", ".join([*counts, *self._other_differences()])

    def _other_differences(self) -> Iterator[str]:
        if self.accepted != self.wanted:
            yield f"{self.wanted - self.accepted} of {self.wanted} never accepted"
        if self.failed:
            yield f"{len(self.failed)} failed"
        if self.unnamed:
            yield f"{len(self.unnamed)} files that no document names"
        if self.left:
            yield f"{sum(self.left.values())} messages left"
        if self.nonsense:
            yield f"{self.nonsense} outcomes that do not parse"

    def details(self) -> Iterator[str]:
        """Yield one line for each single difference."""
        for photo_id, reasons in self.lost.items():
            yield f"lost       {photo_id}  {'; '.join(reasons)}"
        for stuck in self.stuck:
            yield f"stuck      {stuck.photo_id}  {stuck.status} at {stuck.stage}: {stuck.where}"
        for photo_id, events in self.duplicates.items():
            yield f"duplicate  {photo_id}  {', '.join(events)}"
        for photo_id, reason in self.failed.items():
            yield f"failed     {photo_id}  {reason}"
        for key in self.unnamed:
            yield f"unnamed    {key}"
        for queue, messages in self.left.items():
            yield f"left       {messages} in {queue}"

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        return {
            "proof": self.line,
            "proven": self.proven,
            "photos": self.wanted,
            "accepted": self.accepted,
            "accepted_without_answer": self.unanswered,
            "terminal": self.terminal,
            "lost": {photo_id: list(why) for photo_id, why in self.lost.items()},
            "stuck": [
                {"id": s.photo_id, "status": s.status, "stage": s.stage, "where": s.where}
                for s in self.stuck
            ],
            "duplicate_outcomes": {p: list(events) for p, events in self.duplicates.items()},
            "failed": dict(self.failed),
            "unnamed_files": list(self.unnamed),
            "messages_left": dict(self.left),
            "malformed_outcomes": self.nonsense,
            "redelivered_outcomes": self.redeliveries,
            "originals_of_cut_uploads": self.abandoned_uploads,
            "temporary_files": self.temporary,
        }


def judge(evidence: Evidence) -> Verdict:
    """Return what follows from *evidence*."""
    photos = evidence.photos
    ended = {i: photo for i, photo in photos.items() if photo.status in _TERMINAL}
    ids = sorted({*evidence.accepted, *photos})
    return Verdict(
        wanted=evidence.wanted,
        accepted=len(evidence.accepted),
        unanswered=len(set(photos) - set(evidence.accepted)),
        terminal=len(ended.keys() & evidence.accepted.keys()),
        lost={i: why for i in ids if (why := list(_losses(i, evidence)))},
        stuck=[_stuck(photo, evidence) for i, photo in photos.items() if i not in ended],
        duplicates={i: sorted(heard) for i, heard in evidence.heard.items() if len(heard) > 1},
        failed={
            i: f"{photo.error.code}: {photo.error.message}" if photo.error else "without a reason"
            for i, photo in ended.items()
            if photo.status is PhotoStatus.FAILED
        },
        unnamed=evidence.disk.unnamed,
        left={queue: messages for queue, messages in evidence.left.items() if messages},
        nonsense=evidence.nonsense,
        redeliveries=sum(sum(h.values()) - len(h) for h in evidence.heard.values()),
        abandoned_uploads=len(evidence.disk.unanswered),
        temporary=evidence.disk.temporary,
    )


def _losses(photo_id: str, evidence: Evidence) -> Iterator[str]:
    """Yield what of an accepted photo is not there any more: document, bytes or outcome."""
    photo = evidence.photos.get(photo_id)
    if photo is None:
        yield "accepted, and no document"
        return
    yield from evidence.disk.damaged.get(photo_id, ())
    if photo.status in _TERMINAL:
        event_id = outcome_event(photo).event_id
        if event_id not in evidence.heard.get(photo_id, {}):
            yield f"{photo.status}, and nobody was told ({event_id})"
    if photo.status is PhotoStatus.DONE and not list(photo.renditions):
        yield "done, and no rendition"


def _stuck(photo: Photo, evidence: Evidence) -> Stuck:
    stage = photo.position.stage if photo.position else None
    if photo.id in evidence.owed:
        where = "owed its first message"
    elif any(evidence.left.values()):
        where = ", ".join(f"{n} left in {queue}" for queue, n in evidence.left.items() if n)
    else:
        where = "in no queue"
    if photo.position:
        where = f"{photo.position.status} since {photo.position.since:%H:%M:%S}, {where}"
    return Stuck(photo.id, photo.status.value, stage, where)
