"""What the door refuses: a clear problem, nothing kept, nobody delayed."""

import asyncio
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from photo_pipeline.embedded.launcher import EmbeddedServers
from support.processes import SAMPLES, Fleet, RoleProcess, Space, new_space
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def space(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Space:
    return new_space(servers, tmp_path_factory.mktemp("refusals"))


@pytest.fixture(scope="module")
async def fleet(space: Space) -> AsyncIterator[Fleet]:
    async with Fleet(space) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def api(fleet: Fleet) -> RoleProcess:
    """One door for all: whatever it refuses must leave it as it was."""
    return await fleet.start_api()


def _form(data: bytes, filename: str = "photo.jpg", **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False)  # names as browsers write them
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", io.BytesIO(data), filename=filename)
    return form


def _huge_png() -> bytes:
    """Return a PNG whose header claims 50000 x 50000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        )

    header = struct.pack("!IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


REFUSALS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("html named .jpg", b"<!doctype html><html></html>", {}, 415, "unsupported_format"),
    ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', {}, 415, "unsupported_format"),
    ("empty", b"", {}, 422, "empty_file"),
    ("truncated header", PHOTO.read_bytes()[:30], {}, 422, "unreadable_image"),
    ("too many pixels", _huge_png(), {}, 422, "too_many_pixels"),
    ("unknown preset", PHOTO.read_bytes(), {"preset": "sepia"}, 422, "unknown_preset"),
    ("bad focal point", PHOTO.read_bytes(), {"focal_point": "2,0"}, 400, "invalid_request"),
    ("bad metadata", PHOTO.read_bytes(), {"metadata": "[1]"}, 400, "invalid_request"),
    ("NaN in metadata", PHOTO.read_bytes(), {"metadata": '{"a":NaN}'}, 400, "invalid_request"),
    ("huge field", PHOTO.read_bytes(), {"metadata": "x" * 20_000}, 400, "field_too_large"),
    ("unknown field", PHOTO.read_bytes(), {"presett": "web"}, 400, "invalid_request"),
]


async def test_every_refusal_is_a_problem_and_leaves_nothing(
    fleet: Fleet, api: RoleProcess, space: Space
) -> None:
    kept = await _kept(space)
    for name, content, fields, status, code in REFUSALS:
        data = _form(content, **fields)
        async with fleet.http.post(f"{api.url}/upload/", data=data) as answer:
            await _check_problem(answer, status, code, name)
    assert await _kept(space) == kept
    # And the door still lets a photo in.
    await fleet.upload(api, PHOTO)
    files, documents = await _kept(space)
    assert (len(files), documents) == (len(kept[0]) + 1, kept[1] + 1)


async def _check_problem(
    answer: aiohttp.ClientResponse, status: int, code: str, name: str = ""
) -> dict[str, Any]:
    problem = json.loads(await answer.text())
    assert answer.status == status, (name, problem)
    assert answer.content_type == "application/problem+json", name
    assert problem["status"] == status
    assert problem["code"] == code, (name, problem)
    assert problem["title"]
    assert problem["detail"], name
    return dict(problem)


async def _kept(space: Space) -> tuple[list[Path], int]:
    """Return what the service keeps: its files, and how many documents."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        space.environment["PHOTO_MONGO_URL"]
    )
    try:
        documents = await client.get_default_database()["photos"].count_documents({})
        return space.files(), documents
    finally:
        client.close()


async def test_what_is_no_upload_is_400(fleet: Fleet, api: RoleProcess, space: Space) -> None:
    kept = await _kept(space)
    url = f"{api.url}/upload"
    async with fleet.http.post(url, data=b"raw") as answer:
        await _check_problem(answer, 400, "invalid_request")
    empty = aiohttp.FormData()
    empty.add_field("preset", "default", content_type="text/plain")
    async with fleet.http.post(url, data=empty) as answer:
        await _check_problem(answer, 400, "invalid_request")
    two = _form(PHOTO.read_bytes())
    two.add_field("file", io.BytesIO(PHOTO.read_bytes()), filename="second.jpg")
    async with fleet.http.post(url, data=two) as answer:
        await _check_problem(answer, 400, "invalid_request")
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n\xff\xd8\xff cut",
        b"--b\r\n\x00\x01: bad\r\n\r\nx\r\n--b--\r\n",
        b"--other\r\n\r\n",
        b"",
    ):
        async with fleet.http.post(url, data=body, headers=broken) as answer:
            assert answer.status in (400, 422), body
            assert answer.content_type == "application/problem+json"
    async with fleet.http.post(
        url, data=b"", headers={"Content-Type": "multipart/form-data"}
    ) as answer:
        await _check_problem(answer, 400, "invalid_request")
    assert await _kept(space) == kept


async def test_too_large_a_body_is_refused_with_flat_memory(
    fleet: Fleet, api: RoleProcess, space: Space
) -> None:
    kept = await _kept(space)
    process = psutil.Process(api.pid)
    before = process.memory_info().rss
    peak = before

    async def endless(size: int) -> AsyncIterator[bytes]:
        nonlocal peak
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.jpg"\r\n\r\n'
        yield PHOTO.read_bytes()[:1024]
        chunk = bytes(MIB)
        for _ in range(size // MIB):
            yield chunk
            peak = max(peak, process.memory_info().rss)
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    # Chunked: nobody knows how much will come, so it is cut while streaming.
    status, body = await _post_until_answered(api.url, endless(200 * MIB), headers)
    assert status == 413, body
    assert json.loads(body)["code"] == "body_too_large"
    assert peak - before < 40 * MIB
    # With its length told: refused before the body is read.
    length = {**headers, "Content-Length": str(200 * MIB)}
    status, body = await _post_until_answered(api.url, endless(0), length)
    assert status == 413, body
    assert await _kept(space) == kept


async def _post_until_answered(
    url: str, body: AsyncIterator[bytes], headers: dict[str, str]
) -> tuple[int, str]:
    """Send a request by hand and stop sending when the answer comes, as a browser does."""
    port = int(url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chunked = "Content-Length" not in headers
    if chunked:
        headers = {**headers, "Transfer-Encoding": "chunked"}
    lines = [
        "POST /upload/ HTTP/1.1",
        "Host: localhost",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answering = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    async for chunk in body:
        if answering.done():
            break
        writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        await writer.drain()
    head = (await asyncio.wait_for(answering, 20)).decode()
    length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
    text = (await reader.readexactly(length)).decode()
    writer.close()
    return int(head.split()[1]), text


async def test_a_client_that_hangs_up_leaves_nothing(api: RoleProcess, space: Space) -> None:
    kept = await _kept(space)

    async def begun() -> bool:
        return space.files() != kept[0]

    async def clean() -> bool:
        return await _kept(space) == kept

    port = int(api.url.rsplit(":", 1)[1])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /upload/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    )
    writer.write(PHOTO.read_bytes())
    await writer.drain()
    await until(begun, every_s=0.01)
    writer.transport.abort()
    await until(clean)


async def test_a_photo_may_come_in_tiny_pieces(fleet: Fleet, api: RoleProcess) -> None:
    """A slow client, or a proxy, cuts the body wherever it likes."""
    head = (
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    photo = PHOTO.read_bytes()
    pieces = [start, photo[:1], photo[1:2], photo[2:3], photo[3:20], photo[20:], b"\r\n--b--\r\n"]
    port = int(api.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    for piece in [*pieces, b""]:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"202"
    writer.close()


async def test_a_body_that_is_not_what_its_encoding_says_is_400(
    fleet: Fleet, api: RoleProcess
) -> None:
    headers = {
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Encoding": "gzip",
    }
    async with fleet.http.post(f"{api.url}/upload/", data=b"--b\r\nno gzip", headers=headers) as a:
        await _check_problem(a, 400, "invalid_request")


async def test_a_name_is_kept_and_given_back(fleet: Fleet, api: RoleProcess) -> None:
    form = _form(PHOTO.read_bytes(), "../日本 é.jpg")
    async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
        accepted = await answer.json()
    assert accepted["filename"] == "日本 é.jpg"
    async with fleet.http.get(f"{api.url}{accepted['links']['original']}") as answer:
        assert answer.content_disposition is not None
        assert answer.content_disposition.filename == "日本 é.jpg"
        assert "public" not in answer.headers["Cache-Control"]


async def test_a_refused_range_is_not_cached_as_the_picture(fleet: Fleet, api: RoleProcess) -> None:
    photo_id = await fleet.upload(api, PHOTO)
    url = f"{api.url}/photos/{photo_id}/original"
    async with fleet.http.get(url, headers={"Range": "bytes=99999999-"}) as answer:
        assert answer.status == 416
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.content_type != "image/jpeg"
    async with fleet.http.get(url, headers={"If-Match": '"other"'}) as answer:
        assert answer.status == 412
        assert answer.headers["Cache-Control"] == "no-store"


async def test_the_bare_address_leads_to_the_documentation(fleet: Fleet, api: RoleProcess) -> None:
    async with fleet.http.get(f"{api.url}/") as answer:
        assert answer.status == 200
        assert answer.url.path == "/docs"


async def test_what_is_not_there_is_404(fleet: Fleet, api: RoleProcess) -> None:
    for path, code in {
        "/status/nothing": "unknown_photo",
        "/photos/nothing/original": "unknown_photo",
        "/photos/nothing/640": "unknown_photo",
        "/ws/nothing": "unknown_photo",
    }.items():
        for slash in ("", "/"):
            async with fleet.http.get(f"{api.url}{path}{slash}") as answer:
                await _check_problem(answer, 404, code)
    async with fleet.http.get(f"{api.url}/nowhere") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
    async with fleet.http.get(f"{api.url}/upload/") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert answer.content_type == "application/problem+json"


async def test_a_rendition_that_is_not_made_yet_is_409(fleet: Fleet, api: RoleProcess) -> None:
    photo_id = await fleet.upload(api, PHOTO)
    for name, status, code in [
        ("640", 409, "not_ready"),
        ("2048-watermarked", 409, "not_ready"),
        ("poster", 404, "unknown_rendition"),
    ]:
        async with fleet.http.get(f"{api.url}/photos/{photo_id}/{name}") as answer:
            await _check_problem(answer, status, code)


async def test_a_status_can_be_asked_for_conditionally(fleet: Fleet, api: RoleProcess) -> None:
    photo_id = await fleet.upload(api, PHOTO, metadata='{"album": "cats"}', focal_point="0.5,0.25")
    url = f"{api.url}/status/{photo_id}/"
    async with fleet.http.get(url) as answer:
        document = await answer.json()
        etag = answer.headers["ETag"]
    assert etag == f'"{document["revision"]}"'
    assert document["metadata"] == {"album": "cats"}
    assert document["focal_point"] == [0.5, 0.25]
    assert document["status"] == "queued"
    for known in (etag, f"W/{etag}", f'"0", {etag}', "*"):
        async with fleet.http.get(url, headers={"If-None-Match": known}) as answer:
            assert answer.status == 304, known
    async with fleet.http.get(url, headers={"If-None-Match": '"0"'}) as answer:
        assert answer.status == 200
    for wait in ("-1", "61", "soon", "nan", "1_0", "1e1"):
        async with fleet.http.get(url, params={"wait": wait}) as answer:
            await _check_problem(answer, 400, "invalid_request", wait)


async def test_the_database_being_away_is_503_and_keeps_nothing(
    fleet: Fleet,
) -> None:
    away = {"PHOTO_MONGO_URL": "mongodb://127.0.0.1:1/none"}
    api = await fleet.start_api(environment=away, ready=False)
    await fleet.until_ready(api, ready=False)

    async def alive() -> bool:
        try:
            async with fleet.http.get(f"{api.url}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await until(alive)

    async def refused() -> None:
        form = _form(PHOTO.read_bytes())
        async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
            await _check_problem(answer, 503, "store_unavailable")
            assert int(answer.headers["Retry-After"]) > 0

    async def not_ready() -> None:
        async with fleet.http.get(f"{api.url}/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["checks"]["mongodb"] != "ok"

    await asyncio.gather(refused(), not_ready())  # each is the driver's patience long


async def test_the_storage_being_away_is_503(fleet: Fleet, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    api = await fleet.start_api(environment={"PHOTO_STORAGE_URL": blocked.as_uri()}, ready=False)
    await fleet.until_ready(api, ready=False)

    async def refused() -> bool:
        try:
            async with fleet.http.post(
                f"{api.url}/upload/", data=_form(PHOTO.read_bytes())
            ) as answer:
                await _check_problem(answer, 503, "storage_unavailable")
                return True
        except aiohttp.ClientConnectorError:
            return False

    await until(refused)
