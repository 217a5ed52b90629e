"""One reading of each request, one spelling of each path: a proxy in front may know no other."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest
import structlog
from websockets.exceptions import InvalidStatus

from services.gateway.paths import is_canonical
from tests.unit.gateway.fuzzing import until
from tests.unit.gateway.world import World

NEXT = b"GET /api/limits HTTP/1.1\r\nHost: smuggled\r\n\r\n"
POST = b"POST /api/tasks HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /api/limits HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
TWO_WAYS = {
    "length and coding": POST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "coding and length": POST + CHUNKED + b"Content-Length: 0\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    "two codings": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "bare LF everywhere": GET.replace(b"\r\n", b"\n") + b"\n",
    "a bare LF in a line": GET + b"A: b\nTransfer-Encoding: chunked\r\n\r\n",
    "a bare LF at the end": GET + b"\n",
    "a bare CR": GET + b"A: b\rC: d\r\n\r\n",
    "a bare LF after chunks": POST + CHUNKED + b"\r\n0\r\n\n",
    "a bare LF in a trailer": POST + CHUNKED + b"\r\n0\r\nA: b\n\r\n",
    "a bare LF before chunks": POST + CHUNKED + b"\r\n0\n\r\n",
    "a space before the colon": GET + b"Content-Length : 0\r\n\r\n",
    "a folded line": GET + b"Content-Length:\r\n 0\nA: b\r\n\r\n",
    "a body of a handshake": b"GET /api/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 5\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


async def said(gateway: World, data: bytes) -> bytes:
    """All that comes back until the gateway closes."""
    where = httpx.URL(gateway.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    try:
        writer.write(data)
        got = b""
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionResetError):
                while part := await reader.read(65536):
                    got += part
        return got
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("request_", TWO_WAYS.values(), ids=TWO_WAYS)
async def test_what_can_be_read_in_two_ways_is_refused_and_closes(
    gateway: World, request_: bytes
) -> None:
    got = await said(gateway, request_ + NEXT)
    # An answer to the body's beginning may have been given before its end was seen.
    assert got.count(b"HTTP/1.1 400 ") == 1 or got.startswith(b"HTTP/1.1 401 ")
    assert b" 200 " not in got


async def test_bodies_may_have_any_line_ends(gateway: World) -> None:
    async with gateway.http() as client:
        for body in (b'{"type":\n"t.x",\n"input":{}}', b'{"type":\r"t.x","input":{}}\n'):
            answer = await client.post("/api/tasks", content=body)
            assert answer.status_code == 201

            async def parts(body: bytes = body) -> object:
                for n in range(0, len(body), 5):
                    yield body[n : n + 5]

            assert (await client.post("/api/tasks", content=parts())).status_code == 201


ODD = [
    "//api/tasks",
    "/api//tasks",
    "/api/tasks/",
    "/api/tasks//",
    "/./api/tasks",
    "/api/./tasks",
    "/api/x/../tasks",
    "/api/tasks/.",
    "/api/tasks/..",
    "/api%2ftasks",
    "/api%2Ftasks",
    "/%61pi/tasks",
    "/api/t%61sks",
    "/api/%2e/tasks",
    "/api/x/%2e%2e/tasks",
    "/api/x/.%2E/tasks",
    "/api\\tasks",
    "/api%5ctasks",
    "/api%5Ctasks",
    "/api/tasks%",
    "/api/tasks%2",
    "/api/tasks;x=1",
    "/API/tasks",
    "http://x/api/tasks",
    "api/tasks",
    "*",
    "/api/tasks#x",
    "/mcp//",
    "//mcp",
    "/%6dcp",
]


@pytest.mark.parametrize("path", ODD)
async def test_a_path_has_one_spelling(gateway: World, path: str) -> None:
    line = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    got = await said(gateway, f"{line}Authorization: Bearer alice-token\r\n\r\n".encode())
    assert got.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b'"success":false' in got or got.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["//api/stream", "/api/stream/", "/api/%73tream"])
async def test_so_has_the_websocket(gateway: World, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with gateway.stream(path=path):
            pass
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/mcp", "/api/tasks", "/api/tasks/a_b-C9", "/docs/openapi.json", "/.well-known/x"]
)
def test_ordinary_paths_are_canonical(path: str) -> None:
    assert is_canonical(path.encode())


@pytest.mark.parametrize("path", ["/a%20b", "/a%c3%a9", "/a%C3%A9", "/a%00", "/a:b@c", "/%25"])
def test_what_has_to_be_escaped_may_be(path: str) -> None:
    assert is_canonical(path.encode())


async def test_what_is_no_http_is_counted_and_not_told_one_by_one(
    gateway: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"), structlog.testing.capture_logs() as lines:
        for _ in range(20):
            assert (await said(gateway, b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        upgrade = GET + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"
        assert b" 200 " in await said(gateway, upgrade)
        await until(lambda: any(line["event"] == "connections_ended" for line in lines))
    assert not caplog.records
    told = [line for line in lines if line["event"] == "connections_ended"]
    assert [line["why"] for line in told] == ["malformed"]
