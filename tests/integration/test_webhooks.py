"""The sender of webhooks against real receivers, and what it must never reach.

Every address in 127.0.0.0/8 is this machine: 127.0.0.2 stands for the outside, which is
allowed, and 127.0.0.1 for what is inside.
"""

import asyncio
import socket
import ssl
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from photo_pipeline import __version__
from photo_pipeline.errors import WebhookFailedError, WebhookRefusedError
from photo_pipeline.webhooks import sender
from photo_pipeline.webhooks.sender import Send, open_sender
from support.receiver import Receiver, receiving

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
OUTSIDE_ALLOWED = (ip_network(f"{OUTSIDE}/32"),)
SECRETS = "user:password@"
HEADERS = {"webhook-id": "p:2", "Content-Type": "application/json"}


@pytest.fixture
async def inside() -> AsyncIterator[Receiver]:
    async with receiving(INSIDE) as receiver:
        yield receiver


@pytest.fixture
async def outside() -> AsyncIterator[Receiver]:
    async with receiving(OUTSIDE) as receiver:
        yield receiver


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    async with open_sender(OUTSIDE_ALLOWED) as send:
        yield send


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """What a server presents that no authority vouches for, though its name is right."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", f"/CN={OUTSIDE}"),
            *("-addext", f"subjectAltName=IP:{OUTSIDE}", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


class ScriptedResolver(AbstractResolver):
    """Answers with the next list of addresses."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = deque(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.answers.popleft()
        ]

    async def close(self) -> None:
        return None


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve bytes instead of HTTP; yield the port on OUTSIDE."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await talk(reader, writer)

    server = await asyncio.start_server(serve, OUTSIDE, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _port(receiver: Receiver) -> str:
    return receiver.url.rpartition(":")[2]


async def test_body_and_headers_arrive_as_they_are(send: Send, outside: Receiver) -> None:
    body = '{"name":"é  "}'.encode()
    assert await send(f"{outside.url}/hook?a=b", body, HEADERS) == 204
    (call,) = outside.calls
    assert call.body == body
    assert call.headers["User-Agent"] == f"photo-pipeline/{__version__}"
    assert HEADERS.items() <= dict(call.headers).items()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(send: Send, outside: Receiver, status: int) -> None:
    outside.answers["/"] = deque([web.Response(status=status)])
    assert await send(outside.url, b"{}", HEADERS) == status


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_any_other_answer_may_be_repeated_and_is_told_in_short(
    send: Send, outside: Receiver, status: int
) -> None:
    text = "no\r\n  such\x00 thing" + 1000 * "x"
    outside.answers["/"] = deque([web.Response(status=status, text=text)])
    with pytest.raises(WebhookFailedError) as caught:
        await send(outside.url, b"{}", HEADERS)
    assert caught.value.retryable
    assert str(caught.value).startswith(f"{outside.url} answered {status}: no such")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(
    send: Send, outside: Receiver, inside: Receiver, status: int
) -> None:
    location = {"Location": f"{inside.url}/latest/meta-data"}
    outside.answers["/"] = deque([web.Response(status=status, headers=location)])
    with pytest.raises(WebhookFailedError, match=f"{status}: redirects are not followed"):
        await send(outside.url, b"{}", HEADERS)
    assert inside.calls == []
    assert len(outside.calls) == 1


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST"),
        *("127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0177.0.0.1"),
        *("127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1"),  # read as 127.0.0.1
        *("0.0.0.0", "0", "127.0.0.3"),  # noqa: S104  # not bound to
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]"),
        *("[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]"),
        *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254"),
        *("224.0.0.1", "255.255.255.255", "[fd00::1]", "[ff02::1]", "[fe80::1]"),
        *("user:password@127.0.0.1", "8.8.8.8@127.0.0.1", "8.8.8.8:80@127.0.0.1"),
        "8.8.8.8 &@127.0.0.1",
        *("8.8.8.8\\@127.0.0.1", "127.0.0.1\\@8.8.8.8", "a..b@localhost"),
    ],
)
async def test_nothing_inside_is_ever_reached(send: Send, inside: Receiver, host: str) -> None:
    with pytest.raises(WebhookRefusedError) as caught:
        await send(f"http://{host}:{_port(inside)}/secret?token=t", b"{}", HEADERS)
    assert not caught.value.retryable
    assert inside.calls == []
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "unix"])
async def test_no_other_scheme_is_called(send: Send, inside: Receiver, scheme: str) -> None:
    with pytest.raises(WebhookRefusedError):
        await send(f"{scheme}://{OUTSIDE}:{_port(inside)}/", b"{}", HEADERS)


@pytest.mark.parametrize("addresses", [(INSIDE, OUTSIDE), (OUTSIDE, INSIDE), (OUTSIDE, "::1")])
async def test_a_name_is_refused_when_one_of_its_addresses_is(
    inside: Receiver, addresses: Sequence[str]
) -> None:
    async with receiving(OUTSIDE, int(_port(inside))) as outside:
        async with open_sender(OUTSIDE_ALLOWED, resolver=ScriptedResolver(addresses)) as send:
            with pytest.raises(WebhookRefusedError):
                await send(f"http://mixed.example:{_port(inside)}/", b"{}", HEADERS)
        assert inside.calls == outside.calls == []


async def test_a_name_that_moves_inside_is_not_followed(inside: Receiver) -> None:
    """DNS rebinding: the first answer is asked for, checked and used; the next one is refused."""
    resolver = ScriptedResolver([OUTSIDE], [INSIDE])
    url = f"http://rebinding.example:{_port(inside)}/"
    async with (
        receiving(OUTSIDE, int(_port(inside))) as outside,
        open_sender(OUTSIDE_ALLOWED, resolver=resolver) as send,
    ):
        assert await send(url, b"{}", HEADERS) == 204
        assert len(resolver.answers) == 1, "one connection asks once"
        with pytest.raises(WebhookRefusedError, match=r"rebinding.example.*127\.0\.0\.1 is not"):
            await send(url, b"{}", HEADERS)
        assert len(outside.calls) == 1
        assert inside.calls == []


async def test_the_socket_refuses_what_no_resolver_has_checked(
    send: Send, inside: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blind(
        _: object, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await ScriptedResolver([INSIDE]).resolve(host, port, family)

    monkeypatch.setattr(sender._CheckedResolver, "resolve", blind)
    with pytest.raises(WebhookRefusedError):
        await send(f"http://some.example:{_port(inside)}/", b"{}", HEADERS)
    assert inside.calls == []


async def test_a_proxy_of_the_environment_is_not_used(
    outside: Receiver, inside: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", inside.url)
    monkeypatch.setenv("HTTP_PROXY", inside.url)
    async with open_sender(OUTSIDE_ALLOWED) as send:
        assert await send(f"{outside.url}/", b"{}", HEADERS) == 204
    assert inside.calls == []


async def test_a_slow_receiver_is_left_in_time(outside: Receiver) -> None:
    async with open_sender(OUTSIDE_ALLOWED, timeout_s=0.3) as send:
        started = time.monotonic()
        with pytest.raises(WebhookFailedError, match="no answer in time"):
            await send(f"{outside.url}/slow", b"{}", HEADERS)
        assert 0.25 < time.monotonic() - started < 5


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200", b"not HTTP at all\r\n\r\n"])
@pytest.mark.parametrize("then", ["hangs", "ends"])
async def test_whatever_a_receiver_sends_the_call_ends(says: bytes, then: str) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if then == "ends":
            writer.close()

    async with talking(talk) as port, open_sender(OUTSIDE_ALLOWED, timeout_s=0.3) as send:
        with pytest.raises(WebhookFailedError) as caught:
            await send(f"http://{SECRETS}{OUTSIDE}:{port}/?token=t", b"{}", HEADERS)
    assert f"http://{OUTSIDE}:{port}" in str(caught.value)
    assert "password" not in str(caught.value)
    assert "token" not in str(caught.value)


async def test_an_answer_that_never_ends_is_judged_by_its_status() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        first = b"200 OK" if len(heard) == 0 else b"500 Broken"
        heard.append(first)
        writer.write(b"HTTP/1.1 " + first + b"\r\nContent-Length: 100000000\r\n\r\n")

    heard: list[bytes] = []
    async with talking(talk) as port, open_sender(OUTSIDE_ALLOWED, timeout_s=0.5) as send:
        url = f"http://{OUTSIDE}:{port}/"
        assert await send(url, b"{}", HEADERS) == 200
        with pytest.raises(WebhookFailedError, match="answered 500"):
            await send(url, b"{}", HEADERS)


async def test_nobody_there_and_no_such_name_may_be_repeated(send: Send) -> None:
    with socket.socket() as taken:
        taken.bind((OUTSIDE, 0))
        port = taken.getsockname()[1]
        with pytest.raises(WebhookFailedError, match="Cannot connect"):
            await send(f"http://{OUTSIDE}:{port}/?token=t", b"{}", HEADERS)
    with pytest.raises(WebhookFailedError, match=r"no-such-name\.invalid"):
        await send("http://no-such-name.invalid/?token=t", b"{}", HEADERS)


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    send: Send, self_signed: ssl.SSLContext
) -> None:
    called: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        called.append(await reader.readline())

    async with talking(talk, tls=self_signed) as port:
        with pytest.raises(WebhookFailedError, match="certificate"):
            await send(f"https://{OUTSIDE}:{port}/?token=t", b"{}", HEADERS)
    assert called == []
