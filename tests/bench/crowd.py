"""Many websocket clients in a process of their own, so cheap that their own wait stays small.

Of each fact they note its sequence, its log time, when it reached their socket, when it was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import re
import selectors
import socket
import struct
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.bench.measure import PATIENCE_S, allow_many_files

SUBSCRIBE = b'{"op":"subscribe","ref":1,"sub":"a","to":"tasks"}'
FACT = re.compile(rb'"seq":(\d+),"at":([0-9.e+]+),"event"')
READ = 64 * 1024
SO_TIMESTAMPNS = 35
"""Linux: the kernel says when bytes arrived, in a clock that is also the log's."""
TIMESPEC = struct.Struct("qq")
NOTE = socket.CMSG_SPACE(TIMESPEC.size)


class Arrival(NamedTuple):
    """One fact at one client; times in seconds since the epoch."""

    seq: int
    at: float
    """When the log stored it."""
    arrived: float
    """When the kernel had its frame for the client."""
    read: float
    """When the client had it; the wait since `arrived` is the clients' own."""


class Client:
    """One connection that follows its user's tasks."""

    def __init__(self, url: str, token: str) -> None:
        """Connect, and ask for the upgrade."""
        where = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.connect((where.hostname, where.port))
        self.socket.setblocking(False)
        uri = parse_uri(url.replace("http", "ws", 1) + "/api/stream")
        self._protocol = ClientProtocol(
            uri, subprotocols=[Subprotocol("metamcp.v1")], max_size=None
        )
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        self._protocol.send_request(request)
        self._send()
        self.caught_up = False

    def read(self, into: array[float]) -> int:
        """Read what is there and note its facts; answers how many. Raises RuntimeError at an end.

        Facts that arrived in several pieces and are read as one get the time of the last piece.
        """
        data, notes, _, _ = self.socket.recvmsg(READ, NOTE)
        now = time.time()
        arrived = now
        for _, kind, value in notes:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = TIMESPEC.unpack(value)
                arrived = seconds + nanoseconds / 1e9
        protocol = self._protocol
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        facts = 0
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                for seq, at in FACT.findall(event.data):
                    into.extend((int(seq), float(at), arrived, now))
                    facts += 1
                self.caught_up = self.caught_up or b'"op":"caught_up"' in event.data
            elif isinstance(event, Response):
                if protocol.handshake_exc is not None:
                    raise protocol.handshake_exc
                protocol.send_text(SUBSCRIBE)
            elif not data or protocol.close_rcvd is not None:
                raise RuntimeError(f"the gateway has closed a client: {protocol.close_rcvd}")
        self._send()
        return facts

    def _send(self) -> None:
        """Send what the protocol has to say: the request, pongs."""
        if out := b"".join(self._protocol.data_to_send()):
            self.socket.sendall(out)


class Crowd:
    """The clients and what they have noted; runs until the other end of the pipe is closed."""

    def __init__(self, pipe: Connection, url: str) -> None:
        self._pipe = pipe
        self._url = url
        self._clients: list[Client] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, selectors.EVENT_READ)
        self._noted: array[float] = array("d")
        self._received = 0
        self._wanted: int | None = None

    def run(self) -> None:
        """Obey: `open` (tokens, one client each), `until` (so many facts in all), `close`."""
        with contextlib.suppress(EOFError):
            while True:
                if self._turn():
                    self._obey(*self._pipe.recv())

    def _turn(self) -> bool:
        """Read whatever is there; True if there is a command too."""
        told = False
        for key, _ in self._selector.select(PATIENCE_S):
            if key.data is None:
                told = True
            else:
                self._received += key.data.read(self._noted)
        self._answer()
        return told

    def _obey(self, verb: str, value: Any) -> None:
        match verb:
            case "open":
                for token in value:
                    self._open(token)
                self._pipe.send(len(self._clients))
            case "until":
                self._wanted = value
                self._answer()
            case "close":
                self._close()
                self._pipe.send(0)

    def _open(self, token: str) -> None:
        client = Client(self._url, token)
        self._clients.append(client)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        while not client.caught_up:
            self._turn()

    def _answer(self) -> None:
        """Hand over the notes once all that is waited for has come."""
        if self._wanted is not None and self._received >= self._wanted:
            self._wanted = None
            self._pipe.send(self._noted.tobytes())
            self._noted = array("d")

    def _close(self) -> None:
        for client in self._clients:
            self._selector.unregister(client.socket)
            client.socket.close()
        self._clients.clear()


def run(pipe: Connection, url: str) -> None:
    """What the process runs."""
    allow_many_files()
    Crowd(pipe, url).run()


class Clients:
    """The crowd as the benchmark sees it."""

    def __init__(self, pipe: Connection, pid: int) -> None:
        self.pid = pid
        self._pipe = pipe

    async def open(self, tokens: Sequence[str]) -> None:
        """Open a client with each of the tokens; returns when all have caught up."""
        await self._ask("open", tokens)

    async def until(self, facts: int) -> list[Arrival]:
        """Wait until so many facts have come since the start; those not handed over before."""
        numbers = array("d")
        numbers.frombytes(await self._ask("until", facts))
        rows = zip(*(numbers[column::4] for column in range(4)), strict=True)
        return [Arrival(int(seq), at, arrived, read) for seq, at, arrived, read in rows]

    async def close(self) -> None:
        """Drop all connections."""
        await self._ask("close", None)

    async def _ask(self, verb: str, value: object) -> Any:
        self._pipe.send((verb, value))
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(self._pipe.recv)


@contextlib.asynccontextmanager
async def crowd(url: str) -> AsyncIterator[Clients]:
    """A process without clients yet; it ends with the block."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=run, args=(theirs, url), daemon=True)
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield Clients(ours, process.pid)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        ours.close()
