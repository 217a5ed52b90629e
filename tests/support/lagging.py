"""A replica that lags behind, at the wire: it answers all direct gets, the leader the rest."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from services.bus.client import Message
from services.log.jetstream import NatsLog
from services.log.wire import Wire
from services.store.stream import Stream
from tests.support.nats import NatsServer

DIRECT = ".DIRECT.GET."
NOTHING = Message("", "", b"", b"NATS/1.0 404 Message Not Found\r\n\r\n")


class LaggingWire:
    """What a replica has that heard of the log up to `through`."""

    def __init__(self, wire: Wire, through: int) -> None:
        self._collect = wire.collect
        self.through = through
        self.asked: list[str] = []
        """Subjects of all requests."""

    async def collect(
        self, subject: str, payload: bytes, last: Callable[[Message], bool]
    ) -> list[Message]:
        self.asked.append(subject)
        got = await self._collect(subject, payload, last)
        if DIRECT not in subject:
            return got
        known = [one for one in got if 0 < _seq(one) <= self.through]
        if not known or "batch" not in msgspec.json.decode(payload):
            return known or [NOTHING]
        end = f"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-UpTo-Sequence: {self.through}\r\n"
        return [*known, Message("", "", b"", f"{end}\r\n".encode())]


def _seq(message: Message) -> int:
    return int(message.header(b"Nats-Sequence") or 0)


def lag(log: NatsLog, through: int = 0) -> LaggingWire:
    """Have this log read from a replica that lags, as one of three."""
    lagging, leader = LaggingWire(log._wire, through), log._reader.leader
    log._wire.collect = lagging.collect  # type: ignore[method-assign]
    leader.replicated, leader.told = True, lambda answer: None  # type: ignore[method-assign]
    return lagging


@contextlib.asynccontextmanager
async def opened(server: NatsServer, role: str) -> AsyncIterator[NatsLog]:
    """The log, as one of the roles reads it."""
    async with server.connected(role) as bus, await NatsLog.open(bus) as log:
        yield log


@pytest.fixture
def deaf_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets and blobs are read from replicas that have heard of nothing yet."""
    ask, collect = Stream._ask, Stream._collect

    async def replicated(_: Stream) -> bool:
        return True

    async def asked(self: Stream, subject: str, *rest: Any) -> Msg:
        answer = await ask(self, subject, *rest)
        if DIRECT in subject:
            return Msg(self._bus.nc, headers={"Status": "404"})
        return answer

    async def collected(self: Stream, subject: str, *rest: Any, **more: Any) -> list[Message]:
        found = await collect(self, subject, *rest, **more)
        return [NOTHING] if DIRECT in subject else found

    monkeypatch.setattr(Stream, "_replicated", replicated)
    monkeypatch.setattr(Stream, "_ask", asked)
    monkeypatch.setattr(Stream, "_collect", collected)
