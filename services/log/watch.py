"""An eye on the log behind a connection: what time it has, and whether it is still the same one.

A log that was put back from a backup under living services has another past than what they know:
nothing that they hold in memory, and nothing on its way to the log, may go into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from contracts.facts import Record
from contracts.subjects import STREAM
from services.log.clock import ServerClock
from services.log.port import LogUnavailable
from services.log.wire import Wire, epoch_seconds
from services.process.run import Fatal

RETRY_S = 0.25

At = Callable[[int], Awaitable[Record | None]]
"""Reads the fact at a sequence."""


class LogReplaced(Fatal):
    """The log is another one than before: whatever knew the other one begins anew."""

    def __init__(self, why: str) -> None:
        hint = "This service begins anew; see `metamcp doctor` for what it finds."
        super().__init__(f"The log is another one than before: {why}.", hint)


class SeenFact(NamedTuple):
    """A fact that stands in the log."""

    seq: int = 0
    fact_id: str = ""


class Past:
    """The newest fact this process has seen, and the log's creation time."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self.seen = SeenFact()

    def saw(self, seq: int, fact_id: str) -> None:
        """A fact stands in the log."""
        if seq > self.seen.seq:
            self.seen = SeenFact(seq, fact_id)

    async def check(self, seen: SeenFact, epoch: str, head: int, at: At, *, again: bool) -> None:
        """Hold what was seen before `epoch` and `head` were asked for against the log as it is now,
        and look at its newest fact.

        `again`: it may be another one even if its head says nothing. Raises LogReplaced, and what
        `at` raises.
        """
        if epoch != self._epoch:
            raise LogReplaced(f"it was created at {epoch}, not {self._epoch}")
        if head < seen.seq:
            raise LogReplaced(f"it ends at sequence {head}, and had {seen.seq} facts")
        if again and seen.fact_id:
            found = await at(seen.seq)
            # A replica that lags has none there, which proves nothing.
            if found is not None and found.fact.id != seen.fact_id:
                raise LogReplaced(f"at sequence {seen.seq} is another fact than there was")
        if head > seen.seq and (newest := await at(head)) is not None:
            self.saw(head, newest.fact.id)


class LogWatch:
    """Reads the server's clock, and lets nothing be written to a log that is another one."""

    def __init__(self, wire: Wire, at: At, same: asyncio.Event, end: Callable[[], object]) -> None:
        """`same` is set while the log is known to be the same; `end` is called when it is not."""
        self.clock = ServerClock()
        self.past = Past("")
        self.replaced: LogReplaced | None = None
        self._wire = wire
        self._info = f"{wire.bus.api}.STREAM.INFO.{STREAM}"
        self._at = at
        self._same = same
        self._end = end
        self._checking: asyncio.Task[None] | None = None
        self._connections = 0

    def begin(self, answer: dict[str, Any], sent: float) -> None:
        """Begin with the first answer about the stream, asked for at monotonic time `sent`."""
        self.past = Past(str(answer["created"]))
        self._read_clock(answer, sent)
        self._wire.bus.on_disconnected.append(self._same.clear)
        self._wire.bus.on_reconnected.append(self._reconnected)

    async def close(self) -> None:
        """Look no more."""
        bus = self._wire.bus
        with contextlib.suppress(ValueError):
            bus.on_disconnected.remove(self._same.clear)
            bus.on_reconnected.remove(self._reconnected)
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait((self._checking,))

    async def look(self, *, again: bool = False) -> None:
        """Read the clock, and end the writer when the log is another one; `again`: after a new
        connection. Raises LogUnavailable."""
        sent, seen = time.monotonic(), self.past.seen
        answer = await self._wire.api(self._info)
        self._read_clock(answer, sent)
        created, head = str(answer["created"]), int(answer["state"]["last_seq"])
        try:
            await self.past.check(seen, created, head, self._at, again=again)
        except LogReplaced as error:
            self.tell(error)

    def tell(self, error: LogReplaced) -> None:
        """The log is another one: nothing is written any more."""
        if self.replaced is None:
            self.replaced = error
            self._end()

    def _read_clock(self, answer: dict[str, Any], sent: float) -> None:
        at = epoch_seconds(str(answer["ts"]))
        self.clock.read(at, sent, time.monotonic(), time.time())

    def _reconnected(self) -> None:
        self._connections += 1
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(), name="log-check")

    async def _check(self) -> None:
        """Let facts go out again once the log behind the new connection is known to be the same."""
        while self.replaced is None and not self._same.is_set():
            connection = self._connections
            try:
                await self.look(again=True)
            except LogUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                # It may have been cut, and made anew, since the answer.
                if connection == self._connections and self._wire.bus.connected:
                    self._same.set()
