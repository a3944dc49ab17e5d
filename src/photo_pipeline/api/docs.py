"""The pages that explain the API: ``/docs`` (Swagger UI), ``/openapi.json``, ``/asyncapi.json``.

Everything is served from the package itself: a reader's browser asks no other host.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web
from aiohttp.helpers import ETag

from photo_pipeline.api import keys
from photo_pipeline.broker.topology import Names, Topology

_SOURCES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # Swagger UI sets style attributes
    "img-src": "'self' data: blob:",  # icons in the style sheet; pictures it has fetched
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
CSP: Final = "; ".join(f"{directive} {allowed}" for directive, allowed in _SOURCES.items())

_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_SYNC_COMPRESS_BYTES: Final = 64 * 1024  # more would hold up the event loop: done in a thread
_DIGEST_CHARACTERS: Final = 16  # hex; tells versions of a file apart, guards nothing

_PAGE: Final = "docs/index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that the page loads; ``path`` is below ``web/`` in the package."""

    path: str
    content_type: str


ASSETS: Final[Mapping[str, Asset]] = {
    "init.js": Asset("docs/init.js", "text/javascript"),
    "swagger-ui-bundle.js": Asset("vendor/swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": Asset("vendor/swagger-ui/swagger-ui.css", "text/css"),
    "favicon-32x32.png": Asset("vendor/swagger-ui/favicon-32x32.png", "image/png"),
}
"""By the name in the URL; nothing else is served."""


def docs_routes() -> list[web.RouteDef]:
    """Return the routes of the documentation."""
    return [
        web.get("/", get_root),
        web.get("/docs", get_docs),
        web.get("/docs/{asset}", get_docs_asset),
        web.get("/openapi.json", get_openapi),
        web.get("/asyncapi.json", get_asyncapi),
    ]


async def get_docs(request: web.Request) -> web.StreamResponse:
    """Answer the page."""
    response = _response(request, await asyncio.to_thread(_page), "text/html", _ASK_AGAIN)
    response.headers["Content-Security-Policy"] = CSP
    return response


async def get_docs_asset(request: web.Request) -> web.StreamResponse:
    """Answer a file of the page: to be kept for good if asked for by its digest."""
    asset = ASSETS.get(request.match_info["asset"])
    if asset is None:
        raise web.HTTPNotFound
    body = await asyncio.to_thread(_read, asset.path)
    kept = _IMMUTABLE if request.query.get("v") == _digest(body) else _ASK_AGAIN
    return _response(request, body, asset.content_type, kept)


async def get_openapi(request: web.Request) -> web.StreamResponse:
    """Answer the OpenAPI document."""
    document = await asyncio.to_thread(_openapi)
    return _response(request, document.encode(), "application/json", _ASK_AGAIN)


async def get_asyncapi(request: web.Request) -> web.StreamResponse:
    """Answer the AsyncAPI document."""
    names, topology = request.app[keys.NAMES], request.app[keys.TOPOLOGY]
    document = await asyncio.to_thread(_asyncapi, names, topology)
    return _response(request, document.encode(), "application/json", _ASK_AGAIN)


# Both documents rest on the models of OpenAPI. To import these takes a fifth of the start of every
# role, and few are ever asked for a document.


def _openapi() -> str:
    from photo_pipeline.api.openapi import openapi_document  # noqa: PLC0415

    return openapi_document()


def _asyncapi(names: Names, topology: Topology) -> str:
    from photo_pipeline.api.asyncapi import asyncapi_document  # noqa: PLC0415

    return asyncapi_document(names, topology)


def _response(
    request: web.Request, body: bytes, content_type: str, cache_control: str
) -> web.Response:
    tag = ETag(_digest(body), is_weak=True)  # weak: the same with and without compression
    if tag in (request.if_none_match or ()):
        response = web.Response(status=304)
    else:
        response = web.Response(
            body=body,
            content_type=content_type,
            charset=None if content_type.startswith("image/") else "utf-8",
            zlib_executor_size=_SYNC_COMPRESS_BYTES,
        )
        response.enable_compression()
    response.etag = tag
    response.headers[hdrs.CACHE_CONTROL] = cache_control
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    return response


@cache
def _page() -> bytes:
    """Return the page with each asset's digest in its URL: a new version is a new URL."""
    page = _read(_PAGE).decode()
    for name, asset in ASSETS.items():
        page = page.replace(f'"/docs/{name}"', f'"/docs/{name}?v={_digest(_read(asset.path))}"')
    return page.encode()


@cache
def _read(path: str) -> bytes:
    return files("photo_pipeline").joinpath("web", path).read_bytes()


@cache
def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()[:_DIGEST_CHARACTERS]


async def get_root(_: web.Request) -> web.Response:
    """Lead whoever opens the bare address to the documentation."""
    return web.Response(status=302, headers={hdrs.LOCATION: "/docs"})
