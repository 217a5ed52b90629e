"""Who may be connected: so many in all, so many that nobody knows, so many of one address.

Nobody is turned away while somebody else only waits: who has shown no token makes room first, the
one that has waited longest, then who has nothing under way.
"""

from __future__ import annotations

import contextlib
import socket
from asyncio import Transport
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

import msgspec
import prometheus_client

from services.process import telemetry

TELL_S = 10.0
"""One line in the log for each kind of end, at most so often."""
ENDED = prometheus_client.Counter(
    "metamcp_connections_ended",
    "Connections that the gateway has ended or turned away: `silent`, `head`, `body` and `reader`"
    " were too slow, `malformed` was no HTTP, `address`, `strangers` and `full` were too many.",
    ["why"],
)

log = telemetry.get_logger()


class Most(msgspec.Struct, frozen=True):
    """How many connections there may be."""

    all: int
    """With those that are known."""
    of_address: int
    """Of one address, while nobody knows whose they are."""

    @property
    def strangers(self) -> int:
        """Of everybody whom nobody knows."""
        return max(1, self.all // 2)


class Visitor:
    """One connection."""

    def __init__(self, connections: Connections, address: str, sock: socket.socket) -> None:
        """`address`: under which it is counted; empty: under none."""
        self.address = address
        self.transport: Transport | None = None
        self.line: Line | None = None
        """Where it stands; None: it has left."""
        self.met = False
        """Whether anything on this connection has shown whose it is."""
        self._connections = connections
        self._socket = sock

    def known(self) -> None:
        """Somebody has shown whose it is: it makes room for nobody until it is `idle`."""
        self.met = True
        self._connections.hold(self)

    def idle(self) -> None:
        """Nothing is under way on it."""
        self._connections.release(self)

    def leave(self) -> None:
        """It is over."""
        self._connections.leave(self)

    def cut(self) -> None:
        """End it at once, also in the middle of TLS' handshake."""
        if self.transport is not None:
            self.transport.abort()
        else:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


Line = OrderedDict[Visitor, None]
"""Who has waited longest stands first."""


class Connections:
    """Counts the connections of one server."""

    def __init__(self, most: Most, counted: Callable[[str], str] = str) -> None:
        """`counted`: under what an address counts, empty for one that has no limit of its own."""
        self.most = most
        self._counted = counted
        self._strangers: Line = OrderedDict()
        self._guests: Line = OrderedDict()
        """Known, with nothing under way."""
        self._held: Line = OrderedDict()
        self._addresses: dict[str, Line] = {}
        """The strangers of each."""
        self._untold: Counter[str] = Counter()
        self._last: dict[str, str] = {}
        self._told: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._guests) + len(self._held)

    def enter(self, address: str, sock: socket.socket) -> Visitor | None:
        """Let a connection in, in the place of another if need be; None: there is no room."""
        visitor = Visitor(self, self._counted(address), sock)
        same = self._addresses.get(visitor.address)
        if same is not None and len(same) >= self.most.of_address:
            self._turn_out(next(iter(same)), "address")
        elif len(self._strangers) >= self.most.strangers:
            self._turn_out(next(iter(self._strangers)), "strangers")
        if len(self) >= self.most.all and not self.make_room(1):
            self.note("full", address)
            return None
        self._strange(visitor)
        return visitor

    def make_room(self, count: int) -> bool:
        """End so many of those that only wait; False: there are none."""
        found = [*_first(self._strangers, count), *_first(self._guests, count)][:count]
        for visitor in found:
            self._turn_out(visitor, "full")
        return bool(found)

    def hold(self, visitor: Visitor) -> None:
        """See `Visitor.known`."""
        if self._forget(visitor):
            self._put(visitor, self._held)

    def release(self, visitor: Visitor) -> None:
        """See `Visitor.idle`."""
        if not self._forget(visitor):
            return
        if visitor.met:
            self._put(visitor, self._guests)
        else:
            self._strange(visitor)

    def leave(self, visitor: Visitor) -> None:
        """See `Visitor.leave`."""
        self._forget(visitor)

    def note(self, why: str, address: str) -> None:
        """Count an end that was no client's wish."""
        ENDED.labels(why).inc()
        self._untold[why] += 1
        self._last[why] = address

    def tell(self, now: float) -> None:
        """Write to the log what has been counted, once in a while."""
        for why, count in list(self._untold.items()):
            if now - self._told.get(why, float("-inf")) >= TELL_S:
                self._told[why] = now
                log.warning("connections_ended", why=why, count=count, last=self._last[why])
                del self._untold[why]

    def _strange(self, visitor: Visitor) -> None:
        self._put(visitor, self._strangers)
        if visitor.address:
            self._addresses.setdefault(visitor.address, OrderedDict())[visitor] = None

    def _turn_out(self, visitor: Visitor, why: str) -> None:
        self._forget(visitor)
        self.note(why, visitor.address)
        visitor.cut()

    def _forget(self, visitor: Visitor) -> bool:
        """Take it out of where it stands; False: it has left."""
        line = visitor.line
        if line is None:
            return False
        del line[visitor]
        visitor.line = None
        if line is self._strangers and visitor.address:
            same = self._addresses[visitor.address]
            del same[visitor]
            if not same:
                del self._addresses[visitor.address]
        return True

    def _put(self, visitor: Visitor, line: Line) -> None:
        line[visitor] = None
        visitor.line = line


def _first(line: Iterable[Visitor], count: int) -> list[Visitor]:
    return [visitor for visitor, _ in zip(line, range(count), strict=False)]
