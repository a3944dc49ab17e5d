"""Talking to a service over HTTP: one try per call; whoever calls decides about the next."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs
from pydantic import ValidationError
from yarl import URL

from photo_pipeline.client.answers import (
    NoWebSocketError,
    UnexpectedAnswerError,
    UnreachableError,
    connection_trouble,
    refusal,
)
from photo_pipeline.client.files import printable
from photo_pipeline.domain.document import StatusDocument

CONNECT_S: Final = 10.0
ANSWER_S: Final = 60.0  # for an answer after the whole request is sent
SLOWEST_BYTES_PER_S: Final = 16 * 1024  # a slower upload counts as stuck
HEARTBEAT_S: Final = 30.0  # how often a stream is pinged; without an answer it counts as cut
LONGEST_CALL_S: Final = 120.0  # a replay of hundreds of photos, or a stage that takes its time
GOODBYE_S: Final = 1.0  # for the other side's close frame: nothing depends on it


@dataclass(frozen=True, slots=True)
class Service:
    """A service at an address, through one pool of connections.

    Every method raises UnreachableError when no sensible answer comes, BusyError when the
    service asks to come back later, and RefusedError when it says no.
    """

    base: URL
    session: aiohttp.ClientSession

    async def greet(self) -> None:
        """Find out whether anybody listens; any answer will do."""
        url = self.base / "healthz"
        async with (
            _translated(),
            asyncio.timeout(CONNECT_S),
            self.session.get(url, allow_redirects=False),
        ):
            pass

    async def upload(self, path: Path, *, preset: str | None, idempotency_key: str) -> str:
        """Stream the file at *path* and return the photo's id; raise OSError if unreadable."""
        file = await asyncio.to_thread(_open, path)
        try:
            async with _translated():
                return await self._send(file, path.name, preset, idempotency_key)
        finally:
            file.close()

    async def _send(self, file: IO[bytes], name: str, preset: str | None, key: str) -> str:
        # Unquoted as browsers do it (RFC 7578, 5.1.3): servers take percent signs literally.
        form = aiohttp.FormData(quote_fields=False)
        if preset is not None:
            form.add_field("preset", preset)
        form.add_field("file", file, filename=printable(name))
        limit_s = ANSWER_S + os.fstat(file.fileno()).st_size / SLOWEST_BYTES_PER_S
        async with (
            asyncio.timeout(limit_s),
            self.session.post(
                self.base / "upload" / "",
                data=form,
                headers={"Idempotency-Key": f'"{key}"'},  # as the draft has it: a quoted string
                allow_redirects=False,  # most redirects would turn the POST into a GET
            ) as response,
        ):
            match await _object(response, HTTPStatus.ACCEPTED):
                case {"id": str(photo_id)}:
                    return photo_id
                case _:
                    raise UnexpectedAnswerError("the answer to the upload names no photo")

    async def status(self, photo_id: str, *, wait_s: float = 0) -> StatusDocument:
        """Return the status document, at the outcome or after *wait_s*."""
        url = (self.base / "status" / photo_id).with_query(wait=f"{wait_s:g}")
        async with (
            _translated(),
            asyncio.timeout(wait_s + CONNECT_S),
            self.session.get(url) as response,
        ):
            return document_of(await _object(response, HTTPStatus.OK))

    async def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object that any other call is answered with."""
        url = self.base.joinpath(*(quote(part, safe="") for part in path), encoded=True)
        async with (
            _translated(),
            asyncio.timeout(LONGEST_CALL_S),
            self.session.request(
                method, url.with_query(query), json=body, allow_redirects=False
            ) as response,
        ):
            return await _object(response, HTTPStatus.OK, HTTPStatus.ACCEPTED)

    @asynccontextmanager
    async def stream(self, photo_id: str, since: int | None) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the frames of the status stream; they end when it is closed, for whatever reason.

        Raises NoWebSocketError where the way to the service lets no WebSocket through.
        """
        url = self.base / "ws" / photo_id
        if since is not None:
            url = url.with_query(since=str(since))
        closing = aiohttp.ClientWSTimeout(ws_close=GOODBYE_S)
        async with _translated():
            async with asyncio.timeout(CONNECT_S):
                socket = await self.session.ws_connect(url, heartbeat=HEARTBEAT_S, timeout=closing)
            async with socket:
                yield _texts(socket)


@asynccontextmanager
async def connected(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Service]:
    """Yield the service at *url*, once it has answered; *headers* go with every request.

    Raises UnreachableError when it does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)
    # No limit: the caller bounds uploads and streams, and a stream must never hold up an upload.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, headers=headers
    ) as session:
        service = Service(base_url(url), session)
        await service.greet()
        yield service


def base_url(url: str) -> URL:
    """Return *url* as the address below which everything lies; http is understood."""
    text = url if "://" in url else f"http://{url}"
    try:
        parsed = URL(text.rstrip("/"))
    except ValueError as error:
        raise UnreachableError(f"not a web address ({error})") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UnreachableError("not a web address")
    return parsed.with_query(None).with_fragment(None)


def shown_url(url: str) -> str:
    """Return the address as it may be shown and built upon: without a password in it."""
    try:
        return str(base_url(url).with_user(None)).rstrip("/")
    except UnreachableError:
        return url


def document_of(found: object) -> StatusDocument:
    """Parse a status document."""
    try:
        return StatusDocument.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UnexpectedAnswerError(f"status document, {place}: {first['msg']}") from error


def _open(path: Path) -> IO[bytes]:
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe may wait for ever
        raise OSError(errno.EINVAL, "not a regular file")
    # By descriptor: a form takes the name of a file that has one, and cannot write every name.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")


async def _object(response: aiohttp.ClientResponse, *expected: HTTPStatus) -> dict[str, Any]:
    """Return the JSON object of an *expected* answer; raise what any other one means."""
    body = await response.read()
    if response.status not in expected:
        raise refusal(response.status, response.headers, body)
    try:
        found = json.loads(body)
    except ValueError as error:
        kind = response.headers.get(hdrs.CONTENT_TYPE, "no content type")
        raise UnexpectedAnswerError(f"JSON expected, got {kind}") from error
    if not isinstance(found, dict):
        raise UnexpectedAnswerError("JSON object expected")
    return found


async def _texts(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[str]:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            yield message.data


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NoWebSocketError(f"HTTP {error.status}") from error
        raise UnreachableError(connection_trouble(error)) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnreachableError(connection_trouble(error)) from error
