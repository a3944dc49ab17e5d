"""The HTTP client of webhooks: bounded in time, and unable to reach a private address.

An address is checked where it is used: each one that a name resolves to, and each one that a
socket is made for. A name is resolved once per connection and what was checked is what is
connected to, so a name that changes its address in between gains nothing (DNS rebinding).
Addresses written as numbers never see a resolver, but they do need a socket.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from photo_pipeline import __version__
from photo_pipeline.errors import WebhookFailedError, WebhookRefusedError
from photo_pipeline.webhooks.addresses import Network, may_be_reached

TIMEOUT_S: Final = 15.0
"""From the first look at the name to the status line of the answer. As Standard Webhooks
advises (15 to 30 s); below the grace period of a stop, so that a call in work can end."""

CONNECT_TIMEOUT_S: Final = 5.0  # leaves time for a second address when the first is silent
SUCCESS: Final = range(200, 300)  # RFC 9110, 15.3
REDIRECTION: Final = range(300, 400)  # RFC 9110, 15.4
TOLD_BYTES: Final = 200  # of an answer that refuses: enough for a person


class Send(Protocol):
    """Send one webhook."""

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """POST *body* to *url* and return the status, 200 to 299.

        Raises WebhookRefusedError when the URL may not be called, and WebhookFailedError for any
        other answer or none. Neither tells more of the URL than where it leads.
        """


class _CheckedResolver(AbstractResolver):
    """Refuses a name as a whole when one of its addresses is refused, in whatever order."""

    def __init__(self, resolver: AbstractResolver, allowed: Sequence[Network]) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            _check(result["host"], self._allowed)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _checked_socket(allowed: Sequence[Network], info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = info
    _check(address[0], allowed)
    return socket.socket(family, kind, protocol)


def _check(address: str, allowed: Sequence[Network]) -> None:
    if not may_be_reached(address, allowed):
        raise WebhookRefusedError(
            f"{address} is not a public address; PHOTO_WEBHOOK_ALLOWED_NETWORKS can allow it"
        )


@asynccontextmanager
async def open_sender(
    allowed: Sequence[Network],
    *,
    timeout_s: float = TIMEOUT_S,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Send]:
    """Yield the client; it may reach public addresses and those of the *allowed* networks."""
    checked = _CheckedResolver(resolver or aiohttp.DefaultResolver(), allowed)
    connector = aiohttp.TCPConnector(
        resolver=checked,
        socket_factory=partial(_checked_socket, allowed),
        use_dns_cache=False,
        # The receiver may close a kept connection in the very moment of the next call, and
        # nobody knows then whether a POST has arrived.
        force_close=True,
        limit=0,  # waiting for a turn would count as the receiver's time; prefetch is the limit
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": f"photo-pipeline/{__version__}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # nobody reads much of an answer
            trust_env=False,  # a proxy would connect to whatever it is told
        ) as session:
            yield partial(_send, session)
    finally:
        await checked.close()


async def _send(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> int:
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status in SUCCESS:
                return answer.status
            raise WebhookFailedError(f"{place(url)} {await _told(answer)}")
    except WebhookRefusedError as error:
        raise WebhookRefusedError(f"{place(url)}: {error.message}") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise WebhookRefusedError(f"{place(url)}: not a URL that can be called") from None
    except TimeoutError:
        raise WebhookFailedError(f"{place(url)}: no answer in time") from None
    except aiohttp.ClientResponseError as error:
        # Its text would quote the whole URL.
        raise WebhookFailedError(f"{place(url)}: {error.message}") from None
    except aiohttp.ClientError as error:
        raise WebhookFailedError(f"{place(url)}: {str(error) or type(error).__name__}") from None


async def _told(answer: aiohttp.ClientResponse) -> str:
    """Return what an answer that is no success says, in one line."""
    if answer.status in REDIRECTION:
        return f"answered {answer.status}: redirects are not followed"
    try:
        begins = await answer.content.read(TOLD_BYTES)
    except (aiohttp.ClientError, TimeoutError):
        begins = b""
    words = " ".join(begins.decode("utf-8", "replace").split())
    text = "".join(character for character in words if character.isprintable())
    return f"answered {answer.status}: {text}" if text else f"answered {answer.status}"


def place(url: str) -> str:
    """Return scheme, host and port of *url*: the rest may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
