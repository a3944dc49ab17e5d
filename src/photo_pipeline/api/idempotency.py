"""``Idempotency-Key``: the same upload sent again is the same photo.

After draft-ietf-httpapi-idempotency-key-header: 409 while the first one is in work, 422 for
another upload under the key. What has been accepted is told by the status document alone: a key
whose photo has one is answered again, whatever died before it could note that.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import uuid4

import structlog
from aiohttp import StreamReader, web
from multidict import CIMultiDictProxy

from photo_pipeline.api.form import Form
from photo_pipeline.domain.photo import Photo, new_photo_id
from photo_pipeline.domain.preset import DEFAULT_PRESET
from photo_pipeline.errors import (
    InvalidRequestError,
    KeyReusedError,
    PhotoPipelineError,
    RequestInProgressError,
    StoreUnavailableError,
    UnknownPhotoError,
)
from photo_pipeline.storage.blobs import Upload
from photo_pipeline.storage.idempotency import LEASE, IdempotencyKeys
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

KEY: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

LONGEST_KEY: Final = 255  # characters: any identifier, and no place to keep things
RENEWAL_S: Final = LEASE.total_seconds() / 3

_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # RFC 8941, 3.3.3
_BARE: Final = re.compile(r"[!#-~][ -~]*")


def idempotency_key(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the key of a request, if it has one.

    The draft has it as a quoted string (RFC 8941); most clients leave the quotes out, and mean
    the same. Raises InvalidRequestError unless it is one, of 1 to LONGEST_KEY printable ASCII
    characters.
    """
    values = headers.getall(KEY, [])
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequestError(f"send one {KEY}")
    value = values[0].strip(" \t")
    if quoted := _QUOTED.fullmatch(value):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = value if _BARE.fullmatch(value) else ""
    if not 1 <= len(key) <= LONGEST_KEY:
        raise InvalidRequestError(f"{KEY} must be 1 to {LONGEST_KEY} printable ASCII characters")
    return key


def fingerprint_of(form: Form, upload: Upload) -> str:
    """Return what makes two uploads the same: their bytes, their name and what is to be done."""
    preset = form.preset or DEFAULT_PRESET
    parts = (upload.sha256, form.filename, preset, form.focal_point, form.metadata)
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An upload's right to its photo's id. Without a key it is nobody else's concern."""

    photo_id: str
    fingerprint: str | None = None  # of the upload that came under the key before
    accepted: Photo | None = None  # what that upload has become
    key: str | None = None
    holder: str = ""

    def check(self, fingerprint: str) -> None:
        """Raise KeyReusedError if another upload came under the key before."""
        _check_same(self.fingerprint, fingerprint)

    async def seal(self, keys: IdempotencyKeys, fingerprint: str) -> None:
        """Let nothing but this upload come under the key from now on.

        Raises RequestInProgressError if somebody else has taken over, KeyReusedError if another
        upload was quicker.
        """
        if self.key is None:
            return
        standing = await keys.seal(self.key, holder=self.holder, fingerprint=fingerprint)
        if standing is None:
            raise RequestInProgressError("the same upload, sent again, has overtaken this one")
        _check_same(standing, fingerprint)


def _check_same(standing: str | None, fingerprint: str) -> None:
    if standing not in (None, fingerprint):
        raise KeyReusedError("another upload came under this key before")


@asynccontextmanager
async def claiming(
    request: web.Request, keys: IdempotencyKeys, photos: Photos
) -> AsyncIterator[Claim]:
    """Yield the claim of an upload; while the block runs and bytes come, nobody else gets it.

    A block that ends with an error gives the key back. Raises InvalidRequestError for a key that
    is none, RequestInProgressError, StoreUnavailableError.
    """
    key = idempotency_key(request.headers)
    if key is None:
        yield Claim(photo_id=new_photo_id())
        return
    claim = await _claim(key, keys, photos)
    try:
        async with _renewing(keys, key, claim.holder, request.content):
            yield claim
    except (Exception, asyncio.CancelledError):
        # Shielded: a client that hangs up must not make its next try wait.
        await asyncio.shield(_release(keys, key, claim.holder))
        raise


async def _claim(key: str, keys: IdempotencyKeys, photos: Photos) -> Claim:
    holder = uuid4().hex
    found = await keys.reserve(key, holder=holder, photo_id=new_photo_id())
    accepted = await _existing(photos, found.photo_id) if found.fingerprint else None
    if not found.held and accepted is None:
        raise RequestInProgressError("the first request with this key is in work")
    return Claim(
        photo_id=found.photo_id,
        fingerprint=found.fingerprint,
        accepted=accepted,
        key=key,
        holder=holder,
    )


async def _existing(photos: Photos, photo_id: str) -> Photo | None:
    try:
        return await photos.get(photo_id)
    except UnknownPhotoError:
        return None


@asynccontextmanager
async def _renewing(
    keys: IdempotencyKeys, key: str, holder: str, body: StreamReader
) -> AsyncIterator[None]:
    """Renew the lease as long as *body* comes, and then while we work on it.

    Of a client that has been cut off we may hear nothing at all: it will send again, and then
    should not wait for us to notice.
    """

    async def renew() -> None:
        seen = -1
        while True:
            await asyncio.sleep(RENEWAL_S)
            if body.total_bytes == seen and not body.is_eof():
                continue
            seen = body.total_bytes
            try:
                await keys.renew(key, holder=holder)
            except StoreUnavailableError as error:
                log.warning("upload.lease_not_renewed", error=error.message)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def _release(keys: IdempotencyKeys, key: str, holder: str) -> None:
    try:
        await keys.release(key, holder=holder)
    except PhotoPipelineError as error:
        log.warning("upload.lease_not_released", error=error.message)
