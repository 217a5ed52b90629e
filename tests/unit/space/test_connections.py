"""Real sockets at a real uvicorn with the kit's connections: who says nothing does not stay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import connections
import pytest
import uvicorn
from connections import Connection, Phase
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.system import until

SOON = dict.fromkeys((Phase.HEAD, Phase.BODY, Phase.REST, Phase.READER), 0.3)
LATE = dict.fromkeys(SOON, 600.0)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
BIG = 32 * 1024 * 1024


class Site:
    """Answers, after `go` if it is asked for that."""

    def __init__(self) -> None:
        self.port = 0
        self.go = asyncio.Event()
        self.asked = 0
        self.server: uvicorn.Server

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        if request.method == "POST":
            await request.body()
        if request.url.path == "/slow":
            await self.go.wait()
        return PlainTextResponse("x" * BIG if request.url.path == "/big" else "fine")

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**16)

    async def said(self, data: bytes) -> bytes:
        """All that is answered to this, until the other side closes."""
        reader, writer = await self.open()
        writer.write(data)
        try:
            return await until_end(reader)
        finally:
            writer.close()


async def until_end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, however it does."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(20):
            while part := await reader.read(2**16):
                found += part
    return found


@contextlib.asynccontextmanager
async def serving(limits: dict[Phase, float], most: int = 512) -> AsyncIterator[Site]:
    one = Site()

    class Quick(Connection):
        pass

    Quick.limits, Quick.most = limits, most
    app = Starlette(routes=[Route("/{path:path}", one.answer, methods=["GET", "POST"])])
    config = uvicorn.Config(
        app,
        http=Quick,
        port=0,
        host="127.0.0.1",
        log_config=None,
        lifespan="off",
        limit_concurrency=most + 1,
        timeout_keep_alive=600,
    )
    one.server = uvicorn.Server(config)
    with one.server.capture_signals():
        task = asyncio.create_task(one.server._serve())

        async def started() -> bool:
            return one.server.started

        await until(started, seconds=20, every=0.01)
        one.port = one.server.servers[0].sockets[0].getsockname()[1]
        try:
            yield one
        finally:
            one.go.set()
            one.server.should_exit = one.server.force_exit = True
            await task


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTT", id="half a head"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", id="a head without its end"),
        pytest.param(POST + b"12345", id="half a body"),
        pytest.param(
            POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked"), id="no chunk"
        ),
    ],
)
async def test_who_stops_in_the_middle_is_closed(said: bytes) -> None:
    async with serving(SOON) as site:
        assert await site.said(said) == b""


async def test_who_has_been_answered_and_says_no_more_is_closed() -> None:
    async with serving(SOON) as site:
        for more in (b"", b"GET /"):
            answer = await site.said(GET + more)
            assert answer.endswith(b"fine")


async def test_a_body_that_no_route_reads_has_its_limit_too() -> None:
    async with serving(SOON) as site:
        unread = POST.replace(b"POST", b"GET")
        assert (await site.said(unread + b"1")).endswith(b"fine")


@pytest.mark.parametrize("said", [b"G", POST + b"1"], ids=["head", "body"])
async def test_dripping_does_not_help(said: bytes) -> None:
    async with serving(SOON) as site:
        reader, writer = await site.open()
        writer.write(said)
        ended = asyncio.create_task(until_end(reader))
        drops = b"ET / HTTP/1.1\r\nX: " + b"x" * 100_000
        for drop in drops if said == b"G" else b"2345678":
            if (await asyncio.wait([ended], timeout=0.1))[0]:
                break
            with contextlib.suppress(ConnectionError):
                writer.write(bytes([drop]))
        assert await ended == b""
        assert site.asked <= 1
        writer.close()


async def test_who_does_not_read_is_given_up() -> None:
    async with serving(LATE | {Phase.READER: 0.3}) as site:
        _, writer = await site.open()
        writer.write(GET.replace(b"/ ", b"/big "))
        # The reader takes no more than its limit, so what is sent stands still.
        await gone(lambda: site.server.server_state.connections)
        assert site.asked
        writer.close()


async def test_who_reads_slowly_gets_everything() -> None:
    async with serving(SOON) as site:
        reader, writer = await site.open()
        writer.write(GET.replace(b"/ ", b"/big "))
        taken = 0
        while taken < BIG:  # More, in fact: the head is counted too.
            # A bit of what may stand still, again and again.
            await asyncio.wait(
                [asyncio.create_task(site.go.wait())], timeout=SOON[Phase.READER] / 16
            )
            async with asyncio.timeout(20):
                taken += len(await reader.readexactly(min(2**20, BIG - taken)))
        writer.close()


async def gone(what: Callable[[], Any]) -> None:
    async def is_so() -> bool:
        return not what()

    await until(is_so, seconds=20, every=0.01)


async def test_an_answer_may_take_as_long_as_it_takes() -> None:
    async with serving(SOON) as site:
        reader, writer = await site.open()
        writer.write(GET.replace(b"/ ", b"/slow "))
        waiting = asyncio.create_task(reader.readuntil(b"fine"))
        await asyncio.wait([waiting], timeout=1.0)
        assert not waiting.done()
        site.go.set()
        assert (await waiting).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_silent_clients_make_way_the_longest_silent_first() -> None:
    async with serving(LATE, most=4) as site:
        working = await site.open()
        working[1].write(GET.replace(b"/ ", b"/slow "))
        await gone(lambda: not site.asked)
        silent = [await site.open() for _ in range(8)]
        assert b" 200 " in await answered(site)
        ends = [asyncio.create_task(until_end(reader)) for reader, _ in silent]
        await asyncio.wait(ends, timeout=0.5)
        open_ = [number for number, end in enumerate(ends) if not end.done()]
        assert len(open_) <= 3
        assert open_ == list(range(8))[-len(open_) :], "those that came last"
        site.go.set()
        assert (await working[0].readuntil(b"fine")).startswith(b"HTTP/1.1 200"), "work stays"
        for _, writer in (working, *silent):
            writer.close()
        await asyncio.wait(ends)


async def test_when_everybody_works_the_next_one_is_told_to_come_back() -> None:
    async with serving(LATE, most=3) as site:
        working = [await site.open() for _ in range(3)]
        for _, writer in working:
            writer.write(GET.replace(b"/ ", b"/slow "))
        await gone(lambda: site.asked < 3)
        assert b" 503 " in await answered(site)
        site.go.set()
        for _, writer in working:
            writer.close()


async def answered(site: Site) -> bytes:
    """The head of an answer to somebody who asks now."""
    reader, writer = await site.open()
    writer.write(GET)
    try:
        async with asyncio.timeout(30):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


def test_the_limits_are_those_of_the_readme() -> None:
    assert Connection.limits[Phase.HEAD] == connections.HEAD_S == 10
    assert Connection.limits[Phase.BODY] == connections.BODY_S + connections.GRACE_S == 35
    assert Connection.limits[Phase.REST] == connections.REST_S + connections.GRACE_S == 80
    assert Connection.limits[Phase.READER] == connections.STALL_S == 30
    assert Connection.most == connections.MOST == 512
