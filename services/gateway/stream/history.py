"""A reader's way from its last sequence to the live feed, without gap or repeat.

History is read from memory, or from the log by a bounded number of readers at once; never more is
read than the client has taken. No consumer exists per client.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from contracts import subjects, wire
from services.gateway import domain
from services.gateway.stream import frames
from services.gateway.stream.feed import Feed, FeedReader, Subscription
from services.gateway.stream.frames import FeedEntry
from services.log.port import Batch, Log, LogUnavailable
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

    __slots__ = ("after", "recovered")

    def __init__(self, after: int, *, recovered: bool) -> None:
        self.after = after
        self.recovered = recovered


class History:
    """Brings subscriptions up to date and attaches them to the feed."""

    def __init__(self, log_: Log, feed: Feed, readers: int, queue_bytes: int) -> None:
        self._log = log_
        self._feed = feed
        self._slots = asyncio.Semaphore(readers)
        self._chunk = min(CHUNK_BYTES, queue_bytes // 2)

    async def start(self, request: wire.Subscribe) -> Start:
        """Decide where to begin. `recovered` only if every fact after `after` will be delivered.

        What can't be resumed (another log, or a sequence that it doesn't have) starts live.
        Raises LogUnavailable.
        """
        if request.after == "start":
            return Start(0, recovered=True)
        feed = self._feed
        now = feed.position if feed.live else await self._log.head()
        if request.after is None:
            return Start(now, recovered=True)
        after = int(request.after)
        known = request.epoch in (None, self._log.epoch)
        # Another gateway may be ahead of this one: then the log itself knows.
        if known and after >= 0 and (after <= now or after <= await self._log.head()):
            return Start(after, recovered=True)
        return Start(now, recovered=False)

    async def run(self, subscription: Subscription, reader: PacedReader) -> None:
        """Send history, then attach and say so; returns then, or when the reader has gone."""
        feed = self._feed
        while await reader.room():
            if not feed.live or subscription.cursor > feed.position:
                # At start, or when the client has seen more at another gateway.
                await feed.moved()
            elif not feed.covers(subscription.cursor):
                await self._from_log(subscription)
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
            frames.message(wire.CaughtUp(subscription.name, subscription.cursor))
        )
        return True

    async def _from_log(self, subscription: Subscription) -> None:
        """Read one batch up to the feed's position and send a bounded part of it."""
        after, until = subscription.cursor, self._feed.position
        if after >= until:
            await self._feed.moved()
            return
        try:
            owners = await self._owners_at(after) if subscription.to == "hosts" else {}
            batch = await self._read(_filters(subscription), after, until)
        except LogUnavailable as error:
            log.warning("history_read_retried", error=str(error))
            await asyncio.sleep(RETRY_S)
            return
        items: list[FeedEntry] = []
        for record in batch.records:
            domain.remember_owner(owners, record.fact)
            items.append(frames.entry(record, domain.audience(record.fact, owners)))
        wanted = [item for item in items if subscription.wants(item)]
        part = _bounded(wanted, self._chunk)
        _send(subscription, part)
        subscription.cursor = part[-1].seq if len(part) < len(wanted) else batch.through

    async def _read(self, filters: tuple[str, ...], after: int, until: int) -> Batch:
        async with self._slots:
            async for batch in self._log.scan(filters, after, until):
                return batch
        return Batch([], until, live=False)

    async def _owners_at(self, seq: int) -> dict[str, str | None]:
        """Whose each host was at that point of the log."""
        owners: dict[str, str | None] = {}
        async with self._slots:
            async for batch in self._log.scan((subjects.REGISTERED,), 0, seq):
                for record in batch.records:
                    domain.remember_owner(owners, record.fact)
        return owners


def _send(subscription: Subscription, items: list[FeedEntry]) -> None:
    for frame in frames.event_frames(subscription.name, [item.text for item in items]):
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
        case "task":
            return subjects.of_task(subscription.user, subscription.task)
        case "hosts":
            return (*subjects.HOSTS, subjects.preferences(subscription.user, "*"))
        case "all":
            return (">",)
