"""What was noted of who came in, read back from the stream `ACCESS`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import msgspec

from contracts import subjects
from contracts.access import AccessEvent
from services.gateway.access.identity import Principal
from services.process import telemetry
from services.store.stream import Stored, Stream

PAGE = 500
MOST_SCANNED = 20_000
"""Events that are looked at for one page; where the next one begins is told."""
LATE_S = 60.0
"""How much later than its gateway noted it an event may be called stored, by another clock."""
POLL_S = 0.5

log = telemetry.get_logger()


class AccessLine(AccessEvent, frozen=True, kw_only=True, omit_defaults=False):
    """An event as it is read: every field is there, whatever it is."""

    seq: int
    """In the stream: where to go on."""
    time: str
    """`at`, as ISO 8601 in UTC."""


class AccessQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; None: any."""

    user: str | None = None
    kind: str | None = None
    outcome: str | None = None
    since: float | None = None
    """Seconds since the epoch, by the gateway's clock."""
    until: float | None = None

    @property
    def subject(self) -> str:
        """The filter of NATS."""
        return subjects.access(self.kind or "*", "*" if self.user is None else self.user)

    def wants(self, event: AccessEvent) -> bool:
        """Whether this is one of them."""
        return (
            self.user in (None, event.user)
            and self.kind in (None, event.kind)
            and self.outcome in (None, event.outcome)
            and (self.since is None or event.at >= self.since)
            and (self.until is None or event.at < self.until)
        )


class AccessLog:
    """Reads the stream. Raises StoreError."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.followers = 0
        self.holds: Callable[[Principal], bool] = lambda principal: True
        """Whether what somebody who follows has shown is still good; the gateway sets it."""
        self.over = asyncio.Event()
        """Set when the gateway stops: whoever follows comes back elsewhere."""

    async def newest(self) -> int:
        """The sequence of the newest event; 0 if there is none."""
        found = await self._stream.last(subjects.access("*", "*"))
        return 0 if found is None else found.seq

    async def page(
        self, query: AccessQuery, after: int, count: int
    ) -> tuple[list[AccessLine], int | None]:
        """Up to `count` events after a sequence, oldest first, and where to go on; None: that was
        all."""
        found: list[AccessLine] = []
        since = None if after or query.since is None else query.since - LATE_S
        for _ in range(0, MOST_SCANNED, PAGE):
            stored = await self._stream.read(query.subject, after + 1, PAGE, since=since)
            since = None
            for one in stored:
                if len(found) == count:
                    return found, after
                after = one.seq
                if (line := _line(one)) is not None and query.wants(line):
                    found.append(line)
            if len(stored) < PAGE:
                return found, None
        return found, after

    async def page_back(
        self, query: AccessQuery, before: int | None, count: int
    ) -> tuple[list[AccessLine], int | None]:
        """Up to `count` events before a sequence, newest first, and where to go on; None: that was
        all."""
        found: list[AccessLine] = []
        whole = subjects.access("*", "*")
        first = next((one.seq for one in await self._stream.read(whole, 1, 1)), 1)
        end = await self.newest() + 1
        below = end if before is None else min(before, end)
        for _ in range(0, MOST_SCANNED, PAGE):
            low = max(first, below - PAGE)
            stored = await self._stream.read(query.subject, low, PAGE)
            for one in reversed([one for one in stored if one.seq < below]):
                if len(found) == count:
                    return found, below
                below = one.seq
                if (line := _line(one)) is None:
                    continue
                if query.since is not None and line.at < query.since - LATE_S:
                    return found, None
                if query.wants(line):
                    found.append(line)
            below = low
            if below <= first:
                return found, None
        return found, below

    async def follow(
        self, query: AccessQuery, after: int, *, quiet_s: float
    ) -> AsyncIterator[list[AccessLine]]:
        """Yield events as they come, until `over`; none of them after so many seconds of silence.

        What is looked at is the newest sequence, twice a second.
        """
        silent_s = 0.0
        while not self.over.is_set():
            newest = await self.newest()
            if newest < after:
                # Another stream, or an older state of it.
                after = 0
            lines: list[AccessLine] = []
            if newest > after:
                lines, more = await self.page(query, after, PAGE)
                after = max(newest, after) if more is None else more
                after = max([after, *(line.seq for line in lines)])
            silent_s = 0.0 if lines else silent_s + POLL_S
            if lines or silent_s >= quiet_s:
                silent_s = 0.0
                yield lines
            if not lines:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self.over.wait()


def shown(event: AccessEvent, seq: int) -> AccessLine:
    """The event with its place and its time for people. Pure."""
    time = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    fields = msgspec.structs.asdict(event)
    return AccessLine(**fields, seq=seq, time=time.replace("+00:00", "Z"))


_event: msgspec.json.Decoder[AccessEvent] = msgspec.json.Decoder(AccessEvent)


def _line(stored: Stored) -> AccessLine | None:
    try:
        return shown(_event.decode(stored.data), stored.seq)
    except (msgspec.DecodeError, OverflowError, ValueError, OSError) as error:
        log.warning("access_event_unreadable", seq=stored.seq, error=str(error))
        return None
