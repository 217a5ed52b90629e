"""Connections that say or take nothing are closed in time, and never keep anybody else out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from services.bus.bus import Bus
from services.gateway.connections import Connections, Most, Visitor
from services.gateway.guarded import Waits
from services.gateway.listener import announce_file
from services.gateway.server import HttpServer, address, bound
from services.keys.vault import key_path
from services.process.files import write_private
from tests.support.nats import NatsServer
from tests.support.tls import Authority
from tests.unit.gateway.fuzzing import until
from tests.unit.gateway.world import KEY, SETTINGS, TOKENS, World, world, write_tokens

QUICK = Waits(head_s=1.0, idle_s=1.0, stall_s=1.0, rate=100)
GET = b"GET /api/limits HTTP/1.1\r\nHost: x\r\n\r\n"
POST = (
    b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n%b\r\n"
)
BEARER = b"Authorization: Bearer alice-token\r\n"
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def quick(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    """A gateway that loses its patience soon."""
    async with world(tmp_path, bus, waits=QUICK) as one:
        yield one


@contextlib.asynccontextmanager
async def raw(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which nothing was said yet."""
    where = httpx.URL(url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(n for n in head.lower().split(b"\r\n") if n.startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def the_rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the gateway closes."""
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def drip(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, drop: bytes) -> bytes:
    """Say a little now and then, until the gateway has had enough; what it said."""
    reading = asyncio.create_task(the_rest(reader))
    while not reading.done():
        writer.write(drop)
        await asyncio.wait((reading,), timeout=0.2)
    return await reading


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await the_rest(reader)


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET[:-4])
    return await the_rest(reader)


async def a_dripping_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET[:-2])
    return await drip(writer, reader, b"x-a: b\r\n")


async def half_a_second_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET)
    await answer(reader)
    return await half_a_head(reader, writer)


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(POST % BEARER + b'{"type":')
    return await the_rest(reader)


async def a_dripping_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(POST % BEARER)
    return await drip(writer, reader, b" ")


async def a_body_of_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write((POST % BEARER).replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"))
    return await drip(writer, reader, b"1\r\n \r\n")


async def half_an_upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    head = (POST % BEARER).replace(b"POST /api/tasks", b"PUT /api/blobs")
    writer.write(head + b"x" * 500)
    return await the_rest(reader)


LATE = b"HTTP/1.1 408 "
KINDS: list[tuple[Callable[..., Awaitable[bytes]], str, bytes]] = [
    (silent, "silent", b""),
    (half_a_head, "head", LATE),
    (a_dripping_head, "head", LATE),
    (half_a_second_head, "head", LATE),
    (half_a_body, "body", LATE),
    # What they go on to say may reset the connection before they have read anything.
    (a_dripping_body, "body", b""),
    (a_body_of_chunks, "body", b""),
    (half_an_upload, "body", LATE),
]


@pytest.mark.parametrize(("kind", "why", "said"), KINDS, ids=[k.__name__ for k, _, _ in KINDS])
async def test_whoever_says_nothing_more_is_closed(
    quick: World, kind: Callable[..., Awaitable[bytes]], why: str, said: bytes
) -> None:
    with structlog.testing.capture_logs() as lines:
        began = time.monotonic()
        async with raw(quick.url) as (reader, writer):
            got = await kind(reader, writer)
        assert 0.9 < time.monotonic() - began < 8
        await until(lambda: any(line["event"] == "connections_ended" for line in lines))
    # Who goes on talking may find the connection closed before it has read why.
    talks_on = kind is a_dripping_head and not got
    assert got.startswith(said) or talks_on
    assert got.startswith(LATE) or not said or talks_on
    assert {line["why"] for line in lines if line["event"] == "connections_ended"} == {why}
    await until(lambda: len(quick.connections) == 0)


async def test_what_was_answered_before_its_end_need_not_be_heard_to_it(quick: World) -> None:
    async with raw(quick.url) as (reader, writer):
        writer.write((POST % b"").replace(b"/api/tasks", b"/api/nothing"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        await drip(writer, reader, b" ")
    await until(lambda: len(quick.connections) == 0)


async def test_who_does_not_read_is_cut_off(quick: World) -> None:
    ask = b"GET /docs/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    where = httpx.URL(quick.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, (where.host, where.port))
        with contextlib.suppress(OSError):
            async with asyncio.timeout(20):
                await asyncio.get_running_loop().sock_sendall(client, ask * 2000)
        await until(lambda: len(quick.connections) == 0)


async def test_a_slow_upload_that_goes_on_is_taken(quick: World) -> None:
    head = (POST % BEARER).replace(b"POST /api/tasks", b"PUT /api/blobs")
    async with raw(quick.url) as (reader, writer):
        writer.write(head)
        reading = asyncio.create_task(reader.readuntil(b"\r\n"))
        for _ in range(20):
            writer.write(b"x" * 50)
            await asyncio.wait((reading,), timeout=0.2)
        assert (await reading).startswith(b"HTTP/1.1 201 ")


async def test_who_waits_for_us_is_not_late(quick: World) -> None:
    async with quick.http() as client:
        begun = time.monotonic()
        answered = await client.post("/api/tasks?wait=4", json={"type": "t.x", "input": {}})
        assert answered.status_code == 201
        assert time.monotonic() - begun > 3.9


async def test_half_a_handshake_of_tls_is_closed(tmp_path: Path, bus: Bus) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway")
    settings = msgspec.structs.replace(SETTINGS, tls_cert=cert, tls_key=key)
    async with world(tmp_path, bus, settings, waits=QUICK) as one:
        async with raw(one.url) as (reader, writer), raw(one.url) as (other, _):
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            await until(lambda: len(one.connections) == 2)
            assert await the_rest(reader) == await the_rest(other) == b""
        await until(lambda: len(one.connections) == 0)


async def test_strangers_of_one_address_make_room_for_each_other(tmp_path: Path, bus: Bus) -> None:
    settings = msgspec.structs.replace(SETTINGS, max_address_connections=3)
    async with world(tmp_path, bus, settings) as one, contextlib.AsyncExitStack() as stack:
        known = await stack.enter_async_context(one.stream())
        unknown = await stack.enter_async_context(one.stream(None))
        first, *others = [await stack.enter_async_context(raw(one.url)) for _ in range(3)]
        assert await unknown.closed() == 1006
        async with one.http() as client:
            assert (await client.get("/api/tasks")).status_code == 200
        assert await the_rest(first[0]) == b""
        await known.follow()
        for reader, writer in others:
            writer.write(GET)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")


async def test_a_trusted_proxy_has_no_limit_of_its_own(tmp_path: Path, bus: Bus) -> None:
    settings = msgspec.structs.replace(
        SETTINGS, max_address_connections=1, trusted_proxies=("127.0.0.0/8",)
    )
    async with world(tmp_path, bus, settings) as one, contextlib.AsyncExitStack() as stack:
        for reader, writer in [await stack.enter_async_context(raw(one.url)) for _ in range(5)]:
            writer.write(GET)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")


async def test_requests_of_one_user_under_way_are_bounded(tmp_path: Path, bus: Bus) -> None:
    settings = msgspec.structs.replace(SETTINGS, max_user_connections=2)
    async with world(tmp_path, bus, settings) as one, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            _, writer = await stack.enter_async_context(raw(one.url))
            writer.write(POST % BEARER)
        await until(lambda: one.site.app._under_way["alice"] == 2)
        async with one.http() as alice, one.http("bob-token") as bob:
            refused = await alice.get("/api/tasks")
            assert (refused.status_code, refused.json()["error"]["reason"]) == (429, "rate_limited")
            assert (await bob.get("/api/tasks")).status_code == 200
    assert not one.site.app._under_way


class Held:
    """An application that knows everybody, and keeps them."""

    def __init__(self) -> None:
        self.visitors: list[Visitor] = []
        self.over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        visitor: Visitor = scope["state"]["visitor"]
        self.visitors.append(visitor)
        visitor.known()
        await self.over.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def test_without_room_there_is_an_answer_and_what_runs_goes_on() -> None:
    app, connections = Held(), Connections(Most(2, 100))
    with bound("127.0.0.1", 0) as listening:
        url = f"http://{address('127.0.0.1', listening)}"
        server = await HttpServer.start(app, listening, connections, refusal=b'{"a":1}')
        async with contextlib.AsyncExitStack() as stack:
            two = []
            for n in range(2):
                two.append(await stack.enter_async_context(raw(url)))
                two[n][1].write(GET)
                await until(lambda n=n: len(app.visitors) == n + 1)
            third = await stack.enter_async_context(raw(url))
            third[1].write(GET)
            refused = await the_rest(third[0])
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in refused
            assert refused.endswith(b'\r\n\r\n{"a":1}')
            app.over.set()
            for reader, _ in two:
                assert (await answer(reader)).endswith(b"ok")
            # Who has nothing under way any more makes room.
            fourth = await stack.enter_async_context(raw(url))
            fourth[1].write(GET)
            assert (await answer(fourth[0])).endswith(b"ok")
        await server.stop()


async def test_who_takes_the_last_of_an_answer_slowly_gets_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.gateway.guarded.CLOSE_S", 0.2)
    size = 8 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size})

    loop = asyncio.get_running_loop()
    with bound("127.0.0.1", 0) as listening, socket.socket() as client:
        server = await HttpServer.start(app, listening, Connections(Most(9, 9)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.setblocking(False)
        await loop.sock_connect(client, listening.getsockname())
        await loop.sock_sendall(client, GET)
        got, never = 0, asyncio.Event()
        while part := await loop.sock_recv(client, 1 << 20):
            got += len(part)
            if got < 1 << 20:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), 0.2)
        assert got > size
        await server.stop()


async def test_who_was_known_makes_room_after_those_who_never_were() -> None:
    connections = Connections(Most(4, 4))
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def enter() -> Visitor:
            visitor = connections.enter("1.2.3.4", ours)
            assert visitor is not None
            return visitor

        guest, held, stranger = enter(), None, None
        guest.known()
        guest.idle()
        held = enter()
        held.known()
        stranger = enter()
        another = enter()
        assert len(connections) == 4
        third = enter()
        assert stranger not in connections._strangers
        assert list(connections._strangers) == [another, third]
        another.known()
        third.known()
        enter().known()
        assert not connections._guests
        assert connections.enter("1.2.3.4", ours) is None
        held.leave()
        assert connections.enter("1.2.3.4", ours) is not None


async def test_more_silent_connections_than_open_files_keep_nobody_out(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """The whole gateway, with a limit of 1024 open files, and 1,500 connections beside it."""
    write_tokens(tmp_path, TOKENS)
    write_private(key_path(tmp_path, None), KEY)
    environ = os.environ | {
        "METAMCP_NATS_URL": nats_server.url,
        "METAMCP_DATA": str(tmp_path),
        "METAMCP_CREDENTIALS": str(nats_server.embedded.credentials_file("gateway")),
        "METAMCP_GATEWAY_PORT": "0",
        "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
        "METAMCP_ENABLE_METRICS": "false",
        "PYTHONPATH": str(ROOT),
    }
    script = 'ulimit -n 1024 && exec "$0" -m services.gateway'
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, sys.executable, env=environ, cwd=tmp_path
    )
    try:
        await until(lambda: announce_file(tmp_path).exists())
        url = msgspec.json.decode(announce_file(tmp_path).read_bytes())["url"]
        await _beside_a_crowd(url)
    finally:
        process.kill()
        await process.wait()


async def _beside_a_crowd(url: str) -> None:
    where = httpx.URL(url)
    site: Any = object.__new__(World)
    site.url = url
    async with site.stream() as stream:
        assert (await stream.receive())["op"] == "hello"
        with contextlib.ExitStack() as sockets:
            for n in range(1500):
                one = sockets.enter_context(socket.create_connection((where.host, where.port)))
                one.send((b"", GET[:-4], POST % b"", POST % BEARER)[n % 4] if n < 1400 else b"")
            for _ in range(5):
                async with site.http() as alice, site.http("bob-token") as bob:
                    assert (await alice.get("/api/tasks")).status_code == 200
                    assert (await bob.get("/api/tasks")).status_code == 200
            assert (await stream.ask("subscribe", sub="s", to="tasks"))["op"] == "ack"
