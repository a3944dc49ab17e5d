"""Check one photo: its bytes against its document, its renditions against its original."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from photo_pipeline.domain.photo import Photo, Rendition
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import ORIGINAL, Stage
from photo_pipeline.errors import BlobUnavailableError, MissingBlobError, PhotoPipelineError
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.verify.findings import Violation
from photo_pipeline.worker.executor import Checker
from photo_pipeline.worker.recipe import recipe_hash


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one photo."""

    renditions: int
    older: int
    violations: list[Violation]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoCheck:
    """Checks photos that are done; *checkers* are the sandboxes of the stages that can check."""

    blobs: Blobs
    stages: Mapping[str, Stage[Any]]
    checkers: Mapping[str, Checker]

    async def __call__(self, photo: Photo) -> Checked:
        """Return what is wrong with *photo*; raise BlobUnavailableError if it cannot be told."""
        violations: list[Violation] = []
        held: dict[str, bytes] = {}
        violations += await self._read(photo, ORIGINAL, held)
        older = renditions = 0
        for name in photo.pipeline:
            written = [rendition.name for rendition in photo.stages[name].renditions]
            for rendition in written:
                violations += await self._read(photo, rendition, held)
            renditions += len(written)
            if name in self.checkers and written:
                same = await self._check(photo, name, held, violations)
                older += 0 if same else len(written)
        return Checked(renditions, older, violations)

    async def _read(self, photo: Photo, name: str, held: dict[str, bytes]) -> list[Violation]:
        """Hold the bytes of one picture, and say in which way they are not those recorded."""
        recorded: Photo | Rendition | None = photo if name == ORIGINAL else photo.rendition(name)
        assert recorded is not None  # noqa: S101  # the name comes out of the photo
        key = recorded.original if isinstance(recorded, Photo) else recorded.key
        try:
            data = held[name] = await self.blobs.read(key)
        except MissingBlobError as error:
            return [Violation(photo.id, name, error.code, error.message)]
        return [
            Violation(photo.id, name, what, f"{is_}, not {should_be}")
            for what, is_, should_be in (
                ("bytes", len(data), recorded.bytes),
                ("sha256", hashlib.sha256(data).hexdigest(), recorded.sha256),
            )
            if is_ != should_be
        ]

    async def _check(
        self, photo: Photo, name: str, held: Mapping[str, bytes], violations: list[Violation]
    ) -> bool:
        """Look at what one stage wrote; return whether it was this version that wrote it."""
        stage, slot = self.stages[name], photo.stages[name]
        outputs = {r.name: held[r.name] for r in slot.renditions if r.name in held}
        try:
            parameters, same = self._parameters(photo, name)
            reads = stage.reads(stage.parameters.model_validate(parameters))
            if not outputs or {v.rendition for v in violations} & set(reads):
                return same  # what it was made of is gone or rotten, as told: no measure of it
            inputs = {read: held[read] for read in reads}
            receipts = await self.checkers[name].check(inputs, outputs, parameters)
        except BlobUnavailableError:
            raise
        except (PhotoPipelineError, ValueError) as error:
            code = getattr(error, "code", "invalid_preset")
            violations += [Violation(photo.id, output, code, str(error)) for output in outputs]
            return True
        for output in outputs:
            violations += _judged(photo.id, output, receipts.get(output), same=same)
        return same

    def _parameters(self, photo: Photo, name: str) -> tuple[Mapping[str, Any], bool]:
        """Return the parameters that the stage had, and whether they are surely those.

        Faces may have been found only after the renditions were made.
        """
        stage = self.stages[name]
        preset = stage.parameters.model_validate(photo.preset.stages.get(name, {}))
        known: Mapping[str, Any] = {}
        for subject in (photo.subject, replace(photo.subject, faces=())):
            known = stage.for_photo(preset, subject).model_dump(mode="json")
            if recipe_hash(photo, name, stage, known) == photo.stages[name].recipe:
                return known, True
        return known, False


def _judged(
    photo_id: str, name: str, receipt: Receipt | None, *, same: bool
) -> Iterator[Violation]:
    if receipt is None:
        yield Violation(photo_id, name, "fidelity", "the stage does not make this rendition")
        return
    yield from (Violation(photo_id, name, "privacy", leak) for leak in receipt.leaks)
    if same:
        yield from (Violation(photo_id, name, "fidelity", seen) for seen in receipt.deviations)
