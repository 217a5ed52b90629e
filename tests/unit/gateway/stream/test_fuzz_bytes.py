"""Made-up bytes on the websocket's port: what is no websocket ends, and all else goes on.

Nothing of it is random: the same bytes are sent in each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from services.gateway.stream.socket import StreamSocket
from tests.unit.gateway.fuzzing import (
    fill,
    happen,
    holds,
    nobody_listens,
    nothing_unhandled,
    read_by_bob,
    serves,
    until,
)
from tests.unit.gateway.world import World

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

HEAD = (
    b"GET /api/stream HTTP/1.1",
    b"Host: here",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Sec-WebSocket-Protocol: metamcp.v1",
    b"Authorization: Bearer bob-token",
)
CLOSES = {1002, 1007, 1009, 4400, 4401, 4406}
"""What a client can bring about; those below 4000 are RFC 6455's, for what breaks its rules."""
SAYINGS = (
    b'{"op":"subscribe","ref":1,"sub":"a","after":"start"}',
    b'{"op":"subscribe","ref":2,"sub":"b","to":"hosts","after":"start"}',
    b'{"op":"subscribe","ref":3,"sub":"c","to":"task","task":"hers","after":"start"}',
    b'{"op":"unsubscribe","ref":4,"sub":"a"}',
    b'{"op":"submit","ref":5,"task":{"type":"t.x"}}',
    b'{"op":"cancel","ref":6,"task":"her-open"}',
    b'{"op":"auth","ref":7,"token":"alice-token"}',
    b"{",
    b"",
    b"\xff",
    b'{"op":"\xc3"}',
)


class Bytes(NamedTuple):
    """What a client sends: the lines of its request, and whatever it then has to say."""

    head: bytes
    parts: list[bytes]


def packed(
    opcode: int, data: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """One websocket frame (RFC 6455, 5.2), whatever it is worth."""
    size = len(data)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = length[0] | (0x80 if masked else 0)
    return bytes([first, second]) + length[1:] + (b"\0" * 4 if masked else b"") + data


def split(opcode: int, data: bytes, at: int) -> bytes:
    """A message in three parts, with a ping between them."""
    parts = data[:at], data[at : 2 * at], data[2 * at :]
    return b"".join(
        (
            packed(opcode, parts[0], fin=False),
            packed(9, b"between"),
            packed(0, parts[1], fin=False),
            packed(0, parts[2]),
        )
    )


# What is long is made when it is drawn: Hypothesis shows the alternatives of what went wrong.
SAID = st.sampled_from(SAYINGS) | st.just(b" ").map(lambda one: one * 70_000)
CODES = st.sampled_from([1000, 1001, 1005, 1006, 1015, 3000, 4000, 999, 5000, 0, 65535])
RAW = (
    b"\x81",
    b"\x81\xfe\x00",
    b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + b"\0" * 4,
    b"\x81\xff" + (2**63).to_bytes(8, "big") + b"\0" * 4,
    b"\x81\xff" + (2**20 + 1).to_bytes(8, "big") + b"\0" * 4,
    b"\x81\xfe\x00\x02\0\0\0\0{}",
    b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 50,
    b"GET / HTTP/1.1\r\n\r\n",
)
PARTS = st.one_of(
    st.builds(packed, st.just(1), SAID),
    st.builds(packed, st.just(1), SAID),
    st.builds(packed, st.just(2), SAID),
    st.builds(split, st.sampled_from([1, 2]), SAID, st.integers(0, 20)),
    st.builds(packed, st.sampled_from([9, 10]), st.binary(max_size=125)),
    st.builds(
        packed,
        st.integers(0, 15),
        SAID,
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 1, 4, 7]),
        masked=st.sampled_from([True, True, False]),
    ),
    st.builds(
        lambda code, why: packed(8, code.to_bytes(2, "big") + why),
        CODES,
        st.sampled_from([b"", b"bye", b"\xff", b"x" * 123, b"x" * 124]),
    ),
    st.builds(packed, st.just(8), st.binary(max_size=1)),
    st.sampled_from(RAW),
    st.binary(max_size=40),
)
LINES = st.sampled_from(
    [
        b"Sec-WebSocket-Key: x",
        b"Sec-WebSocket-Version: 12",
        b"Sec-WebSocket-Protocol: ,;",
        b"Sec-WebSocket-Protocol: other",
        b'Sec-WebSocket-Extensions: permessage-deflate; x="',
        b"Connection: ;,",
        b"Upgrade: h2c",
        b"Origin: http://evil.example",
        b"Origin: \xff",
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: Bearer wrong",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Host: there",
        b"Expect: 100-continue",
        b": x",
        b"X : y",
        b"X: \x00",
        b" folded",
    ]
) | st.sampled_from([9000, 70_000]).map(lambda size: b"X: " + b"y" * size)
FIRST = st.sampled_from(
    [
        b"POST /api/stream HTTP/1.1",
        b"G\xc9T /api/stream HTTP/1.1",
        b"GET /api/stream HTTP/1.0",
        b"GET /api/stream HTTP/2.0",
        b"GET /api/stream",
        b"GET * HTTP/1.1",
        b"GET //api/stream HTTP/1.1",
        b"GET http://there/api/stream HTTP/1.1",
        b"GET /api/str%65am?ticket=%ff HTTP/1.1",
        b"GET /api/stream?ticket=a&ticket=b HTTP/1.1",
        b"GET /api/stream\xff HTTP/1.1",
        b"GET /mcp HTTP/1.1",
        b"PRI * HTTP/2.0",
    ]
) | st.just(9000).map(lambda size: b"GET /api/stream?x=" + b"y" * size + b" HTTP/1.1")


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A request to open a websocket, with something wrong with it."""
    lines = list(HEAD)
    match draw(st.integers(0, 3)):
        case 0:
            lines[0] = draw(FIRST)
        case 1:
            del lines[draw(st.integers(1, len(lines) - 1))]
        case 2:
            lines.insert(draw(st.integers(1, len(lines))), draw(LINES))
        case _:
            return draw(
                st.binary(max_size=60) | st.sampled_from([b"\x16\x03\x01\x02\x00\x01", b""])
            )
    return b"\r\n".join(lines) + b"\r\n\r\n"


GOOD = b"\r\n".join(HEAD) + b"\r\n\r\n"
TALKS = st.builds(Bytes, st.just(GOOD), st.lists(PARTS, max_size=8))
STARTS = st.builds(Bytes, heads(), st.lists(PARTS, max_size=2))


@contextlib.asynccontextmanager
async def plain(
    gateway: World,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection."""
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answered(gateway: World, sent: Bytes) -> bytes:
    """Send everything, then half-close; the answer is everything that has come."""
    got = b""
    async with plain(gateway) as (reader, writer):
        with contextlib.suppress(OSError):
            writer.write(sent.head)
            if sent.head == GOOD:
                got = await reader.readuntil(b"\r\n\r\n")
            for part in sent.parts:
                writer.write(part)
                await writer.drain()
            await happen(gateway)
            writer.write_eof()
        with contextlib.suppress(OSError):
            while more := await reader.read(65536):
                got += more
    return got


def spoken(data: bytes) -> list[Frame]:
    """The frames that a server has sent."""
    client = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [one for one in client.events_received() if isinstance(one, Frame)]


def check(sent: Bytes, got: bytes) -> str:
    """See that an answer is in order; the answer is what it came to."""
    head, _, rest = got.partition(b"\r\n\r\n")
    if not head:
        return "nothing"
    status = int(head.split(b" ", 2)[1])
    assert head.startswith(b"HTTP/1.1 ")
    assert status < 500
    if status != 101:
        return str(status)
    how = "open"
    for one in spoken(rest):
        if one.opcode is Opcode.TEXT:
            read_by_bob(bytes(one.data).decode())
        if one.opcode is Opcode.CLOSE:
            code = Close.parse(one.data).code
            echoed = any(part.endswith(packed(8, bytes(one.data))) for part in sent.parts)
            assert echoed or code in CLOSES
            how = "echoed" if echoed else str(code)
    return how


def sockets() -> int:
    return len(os.listdir("/proc/self/fd"))


async def played(gateway: World, cases: st.SearchStrategy[Bytes], examples: int) -> set[str]:
    """Play made-up bytes; the answer is everything that they came to."""
    seen: set[str] = set()

    async def play(sent: Bytes) -> None:
        before = sockets()
        seen.add(check(sent, await answered(gateway, sent)))
        await until(lambda: nobody_listens(gateway) and sockets() == before)

    await fill(gateway)
    await holds(play, cases, examples)
    await serves(gateway)
    return seen


async def test_made_up_talks(gateway: World) -> None:
    seen = await played(gateway, TALKS, 150)
    assert seen >= {"open", "echoed", "1002", "1007", "1009"}


async def test_made_up_requests(gateway: World) -> None:
    seen = await played(gateway, STARTS, 100)
    assert seen >= {"nothing", "open", "400", "404", "405", "414", "431", "4406"}


@pytest.mark.parametrize(
    ("sent", "came_to"),
    [
        (Bytes(GOOD, [packed(1, b"\xff")]), "1007"),
        (Bytes(GOOD, [packed(1, b"\xff") + packed(8, b"")]), "echoed"),
        (Bytes(GOOD, [packed(1, b"\xff") * 2 + packed(3, b"")]), "1002"),
        (Bytes(GOOD.replace(b"/api/stream", b"/api/nothing"), []), "404"),
    ],
    ids=["alone", "and a close", "and what is no frame", "no stream"],
)
async def test_a_mistake_of_a_client_is_no_error_of_ours(
    gateway: World, sent: Bytes, came_to: str
) -> None:
    with nothing_unhandled():
        assert check(sent, await answered(gateway, sent)) == came_to


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"X: " + b"y" * 9000, 431),
        (b"\r\n".join([b"X: y"] * 130), 431),
        (b"Transfer-Encoding: chunked", 400),
    ],
    ids=["long", "many", "chunked"],
)
async def test_a_handshake_that_can_not_be_read_is_answered(
    gateway: World, more: bytes, status: int
) -> None:
    async with plain(gateway) as (reader, writer):
        writer.write(b"\r\n".join((*HEAD, more)) + b"\r\n\r\n")
        async with asyncio.timeout(30):
            assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)


async def test_empty_parts_of_a_message_take_no_room(gateway: World) -> None:
    async with plain(gateway) as (reader, writer):
        writer.write(GOOD)
        await reader.readuntil(b"\r\n\r\n")
        (server,) = (one.socket for one in gateway.site.streams.connections)
        writer.write(packed(1, SAYINGS[3][:9], fin=False) + packed(0, b"", fin=False) * 5000)
        writer.write(packed(9, b"all read?"))
        await reader.readuntil(b"all read?")
        assert len(server.frames) == 1
        writer.write(packed(0, SAYINGS[3][9:]))
        assert b"not_found" in await reader.readuntil(b"4}")


@contextlib.asynccontextmanager
async def stalled(gateway: World) -> AsyncIterator[tuple[StreamSocket, asyncio.StreamWriter]]:
    """A client that reads nothing any more, and the server's side of it; buffers are small."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.setblocking(False)
    where = urlsplit(gateway.url)
    await asyncio.get_running_loop().sock_connect(own, (where.hostname, where.port))
    _, writer = await asyncio.open_connection(sock=own, limit=1)
    writer.write(GOOD)
    await until(lambda: bool(gateway.site.streams.connections))
    (server,) = (one.socket for one in gateway.site.streams.connections)
    there = server.transport.get_extra_info("socket")
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        writer.write(packed(9, b"x" * 125) * 2000)
        await until(lambda: not server.writable.is_set())
        yield server, writer
    finally:
        writer.transport.abort()


async def test_who_pings_and_does_not_read_fills_no_memory(gateway: World) -> None:
    async with stalled(gateway) as (server, writer):
        writer.write(packed(9, b"x" * 125) * 10_000)
        writer.write(packed(1, b'{"op":"submit","ref":1,"task":{"type":"t.x"}}'))
        await until(lambda: gateway.site.feed.position == 1)
        assert server.transport.get_write_buffer_size() < 512 * 1024


@pytest.mark.parametrize("who", ["the client", "the server"])
async def test_who_closes_and_does_not_read_is_cut_off(
    gateway: World, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr("services.gateway.stream.socket.CLOSE_S", 0.2)
    async with stalled(gateway) as (server, writer):
        if who == "the server":
            server.shut(4000, "stopping")
        writer.write(packed(8, (4000).to_bytes(2, "big")))
        await until(lambda: server.disconnected)
