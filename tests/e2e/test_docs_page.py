"""The documentation page in a real browser."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from aiohttp import BodyPartReader, web
from playwright.async_api import Browser, Page, async_playwright, expect

from photo_pipeline.api.routes import routes
from photo_pipeline.metrics import Metrics

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OPERATIONS = 24
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""A grey PNG of one pixel."""


@dataclass
class Seen:
    """What the browser complained about and whom it asked."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def parts() -> dict[str, bytes]:
    """The parts of the last upload, by name."""
    return {}


@pytest.fixture
async def url(parts: dict[str, bytes]) -> AsyncIterator[str]:
    async def note(request: web.Request) -> web.Response:
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            parts[part.name or ""] = bytes(await part.read())
        return web.json_response({"id": "1"}, status=202)

    app = web.Application()
    app.add_routes(r for r in routes(Metrics()) if r.path.startswith(("/docs", "/openapi.json")))
    app.router.add_post("/upload/", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that shares neither cache nor cookies with another."""
    async with await browser.new_context() as context:
        yield await context.new_page()


@pytest.fixture
def seen(page: Page) -> Seen:
    seen = Seen()
    page.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    return seen


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
async def test_shows_every_operation_and_asks_no_other_host(
    url: str, page: Page, seen: Seen, path: str
) -> None:
    answer = await page.goto(url + path)
    assert answer is not None
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    await expect(page.locator(".opblock")).to_have_count(OPERATIONS)
    upload = page.locator(".opblock-post", has_text="/upload/")
    await expect(upload.locator(".opblock-summary-method")).to_have_text("POST")
    await expect(upload.locator(".opblock-summary-path")).to_have_text("/upload/")
    assert seen == Seen(hosts={urlsplit(url).netloc})


async def test_tries_an_upload_out(
    url: str, page: Page, seen: Seen, parts: dict[str, bytes]
) -> None:
    await page.goto(url + "/docs")
    upload = page.locator(".opblock-post", has_text="/upload/")
    await upload.locator(".opblock-summary-control").click()
    chooser = upload.locator("input[type=file]")
    await expect(chooser).to_have_count(0)
    await upload.get_by_role("button", name="Try it out").click()
    await expect(chooser).to_be_visible()
    await chooser.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": PIXEL})
    await upload.get_by_role("button", name="Execute").click()
    answer = upload.locator(".live-responses-table tbody .response-col_status")
    await expect(answer).to_contain_text("202")
    # What the form is filled with by itself must mean the same as nothing.
    assert parts == {"file": PIXEL, "preset": b"default", "focal_point": b"", "metadata": b"{}"}
    assert seen.complaints == []


async def test_shows_a_picture_that_was_fetched(url: str, page: Page, seen: Seen) -> None:
    await page.route(
        "**/photos/*/original", lambda route: route.fulfill(body=PIXEL, content_type="image/png")
    )
    await page.goto(url + "/docs")
    original = page.locator(".opblock", has_text="/photos/{id}/original")
    await original.locator(".opblock-summary-control").click()
    await original.get_by_role("button", name="Try it out").click()
    await original.get_by_role("button", name="Execute").click()
    picture = original.locator(".live-responses-table img")
    await expect(picture).to_have_js_property("naturalWidth", 1)
    assert seen.complaints == []
