"""A reader's way from its last sequence to the live feed, without gap or repeat.

History is read from memory, or from the log by a bounded number of readers at once; never more is
read than the client has taken. No consumer exists per client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from contracts import subjects, wire
from contracts.budget import BudgetOf, usual
from contracts.facts import Record
from services.gateway import visibility
from services.gateway.stream import frames
from services.gateway.stream.feed import Feed
from services.gateway.stream.frames import FeedEntry
from services.gateway.stream.marks import mark_of
from services.gateway.stream.subscription import FeedReader, Subscription
from services.gateway.visibility import Audience
from services.log.port import Batch, Log, LogUnavailable, name_of
from services.process import telemetry

CHUNK_BYTES = 512 * 1024
"""Facts sent to one reader at once, at most; also never more than half of its queue."""
RETRY_S = 0.5

log = telemetry.get_logger()


class PacedReader(FeedReader, Protocol):
    """A connection that says when it can take more."""

    async def room(self) -> bool:
        """Wait until nothing is queued; False if it has gone."""


class Start:
    """Where a subscription begins, and what that means for the client."""

    __slots__ = ("after", "recovered", "strangers")

    def __init__(self, after: int, *, recovered: bool, strangers: Iterable[str] = ()) -> None:
        """`strangers`: tasks that only look as if they were of the batch that is followed."""
        self.after = after
        self.recovered = recovered
        self.strangers = frozenset(strangers)


BatchOf = Callable[[str, str, int], Awaitable[tuple[int | None, Iterable[str]]]]
"""Of a user's batch: the sequence of its first task, and tasks that only look as if they were of
it, as of a sequence of the log."""


async def no_batch(user: str, batch: str, at: int) -> tuple[int | None, Iterable[str]]:
    """Where there are no batches."""
    return None, ()


class Readers:
    """Places of those who read older facts: so many in all, and of them so many for one user."""

    def __init__(self, most: int, of_user: Callable[[str], int]) -> None:
        self._places = asyncio.Semaphore(most)
        self._of_user = of_user
        self._users: dict[str, asyncio.Semaphore] = {}
        self._wanted: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """Wait for a place, behind one's own and then behind others, and keep it for the block."""
        self._wanted[user] += 1
        mine = self._users.get(user)
        if mine is None:
            mine = self._users[user] = asyncio.Semaphore(self._of_user(user))
        try:
            async with mine, self._places:
                yield
        finally:
            self._wanted[user] -= 1
            if not self._wanted[user]:
                del self._wanted[user], self._users[user]


class Owners:
    """Whose each host was, at one point of the log that moves on with its reader."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.known: dict[str, str | None] = {}

    def audiences(self, records: Sequence[Record]) -> list[Audience]:
        """Who each of the facts that follow is for; the point stays where it is."""
        later, found = dict(self.known), []
        for record in records:
            visibility.remember_owner(later, record.fact)
            found.append(visibility.audience(record.fact, later))
        return found

    def advance(self, records: Iterable[Record], seq: int) -> None:
        """Go on to this sequence; `records` may reach beyond it."""
        for record in records:
            if self.seq < record.seq <= seq:
                visibility.remember_owner(self.known, record.fact)
        self.seq = seq


class History:
    """Brings subscriptions up to date and attaches them to the feed."""

    def __init__(
        self,
        log_: Log,
        feed: Feed,
        readers: int,
        queue_bytes: int,
        budget_of: BudgetOf = usual,
        batch_of: BatchOf = no_batch,
    ) -> None:
        self._batch_of = batch_of
        self._log = log_
        self._feed = feed
        self._readers = Readers(readers, lambda user: budget_of(user).history_readers)
        self._chunk = min(CHUNK_BYTES, queue_bytes // 2)

    async def start(self, request: wire.Subscribe, user: str = "") -> Start:
        """Decide where to begin. `recovered` only if every fact after `after` will be delivered.

        What can't be resumed (another log or past, a sequence that it doesn't have) starts live.
        Raises LogUnavailable, and of a batch ViewError and ViewUnfit.
        """
        start = await self._start(request)
        if request.to != "batch":
            return start
        at = max(start.after, self._feed.position)
        first, strangers = await self._batch_of(user, request.batch or "", at)
        # There is nothing of a batch before its first task.
        after = max(start.after, at if first is None else first - 1)
        return Start(after, recovered=start.recovered, strangers=strangers)

    async def _start(self, request: wire.Subscribe) -> Start:
        if request.after == "start":
            return Start(0, recovered=True)
        feed = self._feed
        now = feed.position if feed.live else await self._log.head()
        if request.after is None:
            return Start(now, recovered=True)
        after = int(request.after)
        known = request.epoch in (None, self._log.epoch)
        # Another gateway may be ahead of this one: then the log itself knows.
        there = known and after >= 0 and (after <= now or after <= await self._log.head())
        if there and await self._proven(after, request.mark):
            return Start(after, recovered=True)
        return Start(now, recovered=False)

    async def _proven(self, seq: int, mark: str | None) -> bool:
        """Whether the fact at this sequence is the one that a cursor was made at. What brings no
        mark, as clients of before, is believed."""
        if not mark or not seq or (seq, mark) == (self._feed.position, self._feed.mark):
            return True
        found = await self._log.at(seq)
        return found is not None and mark_of(seq, name_of(found)) == mark

    async def run(self, subscription: Subscription, reader: PacedReader) -> None:
        """Send history, then attach and say so; returns then, or when the reader has gone."""
        feed, owners = self._feed, Owners(0)
        while await reader.room():
            if not feed.live or subscription.cursor > feed.position:
                # At start, or when the client has seen more at another gateway.
                await feed.moved()
            elif not feed.covers(subscription.cursor):
                await self._from_log(subscription, owners)
            elif self._from_memory(subscription):
                return

    def _from_memory(self, subscription: Subscription) -> bool:
        """Send a part of what memory holds; after the rest of it, go live in the same step."""
        found = self._feed.recent(subscription)
        part = _bounded(found, self._chunk)
        _send(subscription, part)
        if len(part) < len(found):
            subscription.cursor = part[-1].seq
            return False
        self._feed.attach(subscription)
        subscription.reader.offer(
            frames.message(wire.CaughtUp(subscription.name, subscription.cursor, self._feed.mark))
        )
        return True

    async def _from_log(self, subscription: Subscription, owners: Owners) -> None:
        """Read one batch up to the feed's position and send a bounded part of it.

        `owners` goes along: to read all registrations for each part would take for ever.
        """
        after, until = subscription.cursor, self._feed.position
        if after >= until:
            await self._feed.moved()
            return
        try:
            if subscription.to == "hosts":
                await self._catch_up(owners, subscription.user, after)
            batch = await self._read(subscription, after, until)
        except LogUnavailable as error:
            log.warning("history_read_retried", error=str(error))
            await asyncio.sleep(RETRY_S)
            return
        pairs = zip(batch.records, owners.audiences(batch.records), strict=True)
        items = [frames.entry(record, audience) for record, audience in pairs]
        wanted = [item for item in items if subscription.wants(item)]
        part = _bounded(wanted, self._chunk)
        _send(subscription, part)
        subscription.cursor = part[-1].seq if len(part) < len(wanted) else batch.through
        if subscription.to == "hosts":
            owners.advance(batch.records, subscription.cursor)

    async def _read(self, subscription: Subscription, after: int, until: int) -> Batch:
        async with self._readers.place(subscription.user):
            async for batch in self._log.scan(_filters(subscription), after, until):
                return batch
        return Batch([], until, live=False)

    async def _catch_up(self, owners: Owners, user: str, seq: int) -> None:
        """Read registrations up to where a subscription begins."""
        while owners.seq < seq:
            async with self._readers.place(user):
                async for batch in self._log.scan((subjects.REGISTERED,), owners.seq, seq):
                    owners.advance(batch.records, batch.through)
                    break


def _send(subscription: Subscription, items: list[FeedEntry]) -> None:
    for frame in frames.event_frames(subscription.name, items, subscription.shows):
        subscription.reader.offer(frame)


def _bounded(items: list[FeedEntry], limit: int) -> list[FeedEntry]:
    """The first of them, up to `limit` bytes and at least one."""
    size = 0
    for count, item in enumerate(items):
        size += len(item.text)
        if size > limit and count:
            return items[:count]
    return items


def _filters(subscription: Subscription) -> tuple[str, ...]:
    match subscription.to:
        case "tasks":
            return subjects.of_user(subscription.user)
        case "batch":
            # The server finds no beginning of a token: the rest is left out here.
            return subjects.of_user(subscription.user)
        case "operations":
            return subjects.operations_of(subscription.user)
        case "task":
            return subjects.of_task(subscription.user, subscription.task)
        case "hosts":
            return (*subjects.HOSTS, *subjects.preferences_of(subscription.user))
        case "all":
            return (">",)
