"""The live feed: the last facts in memory, and who wants which.

The cost of a fact is that of its interested readers; a frame is built once for all readers of the
same subscription. Everything here is synchronous: between two facts nothing is half done.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

import msgspec

from contracts import wire
from contracts.facts import JobDone, Record
from services.gateway import visibility
from services.gateway.stream import frames
from services.gateway.stream.frames import FeedEntry, Shows
from services.gateway.stream.marks import mark_of
from services.gateway.stream.said import SaidFeed
from services.gateway.stream.subscription import (
    FeedReader,
    Key,
    Subscription,
    TaskKey,
    keys_of,
    of_task,
)
from services.log.port import Batch

TICK_S = 0.003
"""Facts may wait this long to share frames, when handing them out is much work."""
REST = 4
"""A hand-out is followed by a rest of this many times its length, at most a tick."""


class Waiter(NamedTuple):
    """Somebody who waits for the end of a task."""

    key: Key
    future: asyncio.Future[int]


class Feed:
    """One per process. Readers attach when they have caught up with `position`."""

    def __init__(self, *, facts: int, size: int, tick_s: float = TICK_S) -> None:
        self._most, self._most_bytes, self._tick_s = facts, size, tick_s
        self._ring: deque[FeedEntry] = deque()
        self._bytes = 0
        self._ring_start = 0
        self._users: dict[str, deque[FeedEntry]] = {}
        self._pending: list[FeedEntry] = []
        self._through = 0
        self._name = self._at = ""
        """Names of the facts at `_through` and at `position`."""
        self._timer: asyncio.TimerHandle | None = None
        self._rest_until = 0.0
        self._index: dict[Key, set[Subscription]] = {}
        self._progress: dict[Key, dict[FeedReader, int]] = {}
        self._unseen: dict[TaskKey, None] = {}
        self.unseen = asyncio.Event()
        """Set while there are followed tasks with news; see `take_unseen`."""
        self._waiters: dict[Key, set[asyncio.Future[int]]] = {}
        self._moved = asyncio.Event()
        self.said = SaidFeed()
        self.owners: dict[str, str | None] = {}
        """Whose each registered host is, as of the last fact."""
        self.position = 0
        """Sequence through which everything has been handed out."""
        self.live = False
        """Whether the feed has reached the head of the log once."""

    @property
    def mark(self) -> str:
        """What a cursor at `position` proves its past with; empty: nothing."""
        return mark_of(self.position, self._at)

    def begin(self, after: int, name: str = "") -> None:
        """Facts come from sequence `after` on; those up to it are in the log alone.

        `name`: of the fact there, see `log.port.name_of`.
        """
        self._ring_start = self._through = self.position = after
        self._name = self._at = name

    def publish(self, batch: Batch) -> None:
        """Take facts from the log; they go out at once, or with the next tick in busy times."""
        if batch.through > self._through:
            self._through, self._name = batch.through, batch.named
        if self.live or batch.live:
            self._pending += self._entries(batch.records)
        else:
            for record in batch.records:
                visibility.remember_owner(self.owners, record.fact)
                if isinstance(record.fact, JobDone):
                    self._ended(record.fact.user, record.fact.task, record.seq)
            self._ring_start = batch.through
        self.live = self.live or batch.live
        if self._timer is not None:
            return
        wait = self._rest_until - time.monotonic()
        if wait <= 0:
            self._flush()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._flush)

    def reset(self) -> None:
        """The log is another one: forget what was seen."""
        self._ring.clear()
        self._users.clear()
        self._pending.clear()
        self.owners.clear()
        self._bytes = self._ring_start = self._through = self.position = 0
        self._name = self._at = ""
        self.live = False

    def attach(self, subscription: Subscription) -> None:
        """Deliver live from now on; the subscription has everything through `position`."""
        subscription.cursor = self.position
        for key in subscription.keys:
            self._index.setdefault(key, set()).add(subscription)

    def detach(self, subscription: Subscription) -> None:
        """Deliver no more."""
        for key in subscription.keys:
            if members := self._index.get(key):
                members.discard(subscription)
                if not members:
                    del self._index[key]

    def covers(self, cursor: int) -> bool:
        """Whether memory holds every fact after `cursor`."""
        return cursor >= self._ring_start

    def recent(self, subscription: Subscription) -> list[FeedEntry]:
        """Return what memory holds for a subscription after its cursor, in order."""
        after = subscription.cursor
        if subscription.to in ("tasks", "task", "batch"):
            source: Iterable[FeedEntry] = reversed(self._users.get(subscription.user, ()))
        else:
            source = reversed(self._ring)
        found = [item for item in takewhile(lambda e: e.seq > after, source)]
        return [item for item in reversed(found) if subscription.wants(item)]

    async def moved(self) -> None:
        """Wait for the next facts."""
        await self._moved.wait()

    def wait_for_end(self, user: str, task: str) -> Waiter:
        """Begin to wait for a task's `job.done`; give the waiter back with `forget`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        key = ("task", user, task)
        self._waiters.setdefault(key, set()).add(future)
        return Waiter(key, future)

    def forget(self, waiter: Waiter) -> None:
        """Stop waiting."""
        if waiting := self._waiters.get(waiter.key):
            waiting.discard(waiter.future)
            if not waiting:
                del self._waiters[waiter.key]

    def release_waiters(self) -> None:
        """Let everybody who waits for a task's end go on without it."""
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_result(0)

    def want_progress(self, subscription: Subscription, more: int) -> None:
        """Count a reader in (1) or out (-1) for live progress of what it follows."""
        for key in subscription.keys:
            readers = self._progress.setdefault(key, {})
            count = readers.get(subscription.reader, 0) + more
            if count > 0:
                readers[subscription.reader] = count
            else:
                readers.pop(subscription.reader, None)
            if not readers:
                del self._progress[key]
            if key[0] == "task" and more > 0:
                self._unseen[key[1], key[2]] = None
                self.unseen.set()

    def take_unseen(self, most: int) -> list[TaskKey]:
        """Return tasks that somebody has begun to follow, or that have news, and take them out."""
        followed = [key for key in self._unseen if self.follows(*key)]
        self._unseen = dict.fromkeys(followed[most:])
        if not self._unseen:
            self.unseen.clear()
        return followed[:most]

    def follows(self, user: str, task: str) -> bool:
        """Whether somebody follows this one task."""
        return ("task", user, task) in self._progress

    def tell(self, user: str, task: str, news: wire.ProgressFrame) -> None:
        """Pass live news on to whoever follows this one task; it may be lost."""
        if readers := self._progress.get(("task", user, task)):
            frame = frames.message(news)
            for reader in readers:
                reader.offer_if_idle(frame)

    def progress(self, user: str, task: str, data: bytes) -> None:
        """Pass live progress on to whoever follows the task; it may be lost."""
        keys = of_task(user, task)
        readers = {reader for key in keys for reader in self._progress.get(key, ())}
        if not readers:
            return
        news = msgspec.json.decode(data, type=wire.Progress)
        frame = frames.message(
            wire.ProgressFrame(task, news.attempt, news.progress, news.total, news.message)
        )
        for reader in readers:
            reader.offer_if_idle(frame)

    def _entries(self, records: Iterable[Record]) -> Iterator[FeedEntry]:
        for record in records:
            fact = record.fact
            whose = visibility.audience(fact, self.owners)
            if whose.kind != "task":
                visibility.remember_owner(self.owners, fact)
            yield frames.entry(record, whose)

    def _flush(self) -> None:
        self._timer = None
        began = time.monotonic()
        pending, self._pending = self._pending, []
        self.position, self._at = self._through, self._name
        self._keep(pending)
        self._deliver(pending)
        ended = time.monotonic()
        self._rest_until = ended + min(self._tick_s, REST * (ended - began))
        self._moved.set()
        self._moved = asyncio.Event()

    def _keep(self, items: list[FeedEntry]) -> None:
        for item in items:
            whose = item.audience
            self._bytes += item.size
            if whose.kind == "task" and whose.user:
                mine = self._users.get(whose.user)
                if mine is None:
                    mine = self._users[whose.user] = deque()
                mine.append(item)
                if self._progress and self.follows(whose.user, whose.task):
                    self._unseen[whose.user, whose.task] = None
                    self.unseen.set()
                if self._waiters and item.type == "job.done":
                    self._ended(whose.user, whose.task, item.seq)
        self._ring += items
        while len(self._ring) > self._most or self._bytes > self._most_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        old = self._ring.popleft()
        whose = old.audience
        self._bytes -= old.size
        self._ring_start = old.seq
        if whose.kind == "task" and whose.user:
            mine = self._users[whose.user]
            mine.popleft()
            if not mine:
                del self._users[whose.user]

    def _ended(self, user: str, task: str, seq: int) -> None:
        for future in self._waiters.pop(("task", user, task), ()):
            if not future.done():
                future.set_result(seq)

    def _deliver(self, pending: list[FeedEntry]) -> None:
        if not self._index:
            return
        by_key: dict[Key, list[FeedEntry]] = {}
        for item in pending:
            for key in keys_of(item.audience):
                if key in self._index:
                    by_key.setdefault(key, []).append(item)
        several: dict[Subscription, list[FeedEntry]] = {}
        for key, items in by_key.items():
            built: dict[tuple[str, frozenset[str], Shows], list[bytes]] = {}
            for subscription in self._index[key]:
                if len(subscription.keys) > 1:
                    several.setdefault(subscription, []).extend(items)
                    continue
                if subscription.to == "batch":
                    # It knows by itself which tasks only look as if they were of the batch.
                    for frame in _build(subscription, items):
                        subscription.reader.offer(frame)
                    continue
                group = (subscription.name, subscription.types, subscription.shows)
                ready = built.get(group)
                if ready is None:
                    ready = built[group] = _build(subscription, items)
                for frame in ready:
                    subscription.reader.offer(frame)
        for subscription, items in several.items():
            items.sort(key=lambda item: item.seq)
            for frame in _build(subscription, items):
                subscription.reader.offer(frame)


def _build(subscription: Subscription, items: list[FeedEntry]) -> list[bytes]:
    wanted = subscription.selected(items)
    return frames.event_frames(subscription.name, wanted, subscription.shows)
