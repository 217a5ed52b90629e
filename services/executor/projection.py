"""The executor's own view of the log: which hosts exist as of which sequence, and who cancels.

Hosts are kept in memory and, so that a restart replays nothing, in SQLite.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from contracts import subjects
from contracts.facts import (
    McpRegistered,
    McpRemoved,
    Record,
    TaskAnswered,
    TaskCancelled,
    Unknown,
)
from contracts.host import Host, clamped
from contracts.subjects import ANSWERED, CANCELLED, REGISTERED, REMOVED
from services.executor.attempt.plan import KnownHost
from services.executor.domain import LogView
from services.log.clock import LogClock
from services.log.port import Batch, Log
from services.log.projection import Change, Projection, project
from services.outside.addresses import SPACES

FILTERS = (REGISTERED, REMOVED, CANCELLED, ANSWERED)
VERSION = 2
SCHEMA = ("CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, seq INTEGER, spec BLOB)",)
"""Without a spec: the host's last registration can't be read."""
_PUT = "REPLACE INTO hosts VALUES (?, ?, ?)"
_DROP = "DELETE FROM hosts WHERE host = ?"

OnCancelled = Callable[[str, str, str], None]
"""Called with user, task and reason."""
OnAnswered = Callable[[Record, TaskAnswered], None]


def apply(records: list[Record]) -> Sequence[Change]:
    """Rows that change with these facts."""
    changes: list[Change] = []
    for record in records:
        match record.fact:
            case McpRegistered() as fact:
                row = (fact.host, record.seq, msgspec.json.encode(fact.spec))
                changes.append(Change(_PUT, [row]))
            case McpRemoved() as fact:
                changes.append(Change(_DROP, [(fact.host,)]))
            case Unknown():
                what = subjects.parse(record.subject)
                if what.type == "mcp.registered":
                    changes.append(Change(_PUT, [(what.host, record.seq, None)]))
                elif what.type == "mcp.removed":
                    changes.append(Change(_DROP, [(what.host,)]))
            case _:
                pass
    return changes


class Hosts:
    """The hosts, as far as this executor has followed the log."""

    def __init__(self, projection: Projection, spaces: str = SPACES) -> None:
        """`spaces` is the template of Spaces' addresses."""
        self._projection = projection
        self._spaces = spaces
        self._hosts: dict[str, KnownHost] = {}
        self._unread: dict[str, int] = {}
        """Hosts whose last registration can't be read, and its sequence."""
        self._position = projection.position
        self._moved = asyncio.Event()
        self.loaded = asyncio.Event()
        """Set once it is known which hosts there were at the last stop, or that nothing is."""
        self.clock = LogClock()
        self.on_cancelled: OnCancelled = lambda user, task, reason: None
        self.on_answered: OnAnswered = lambda record, fact: None
        self.on_changed: Callable[[str], None] = lambda host: None
        """Called with a host that was registered, changed or removed."""
        self.on_known: Callable[[Iterable[str]], None] = lambda hosts: None
        """Called with hosts that are new or changed, once nothing newer is known of them."""
        self._news: dict[str, None] = {}
        self.on_mismatch: Callable[[], None] = lambda: None
        """Called when the log is not the one this view is of."""
        self.followed = asyncio.Event()
        """Set once it is known which log that is."""

    @classmethod
    async def open(cls, path: Path, spaces: str = SPACES) -> Hosts:
        """Load at once what was known at the last stop. Raises ViewError, ViewUnfit."""
        self = cls(await Projection.open(path, SCHEMA, VERSION), spaces)
        await self._load()
        return self

    @property
    def position(self) -> int:
        """Sequence through which the hosts are known."""
        return self._position

    async def run(self, log: Log) -> None:
        """Follow the log for ever."""
        await project(
            log,
            self._projection,
            FILTERS,
            apply,
            load=self._load,
            on_batch=self._take,
            on_mismatch=lambda: self.on_mismatch(),
            on_reset=self._start_over,
        )

    async def close(self) -> None:
        """Close the file."""
        await self._projection.close()

    def get(self, host: str) -> KnownHost | None:
        """The host as it is now."""
        return self._hosts.get(host)

    def view(self, host: str) -> LogView:
        """What a decision about this host needs."""
        known = self._hosts.get(host)
        if known is None:
            seq = self._unread.get(host)
            return LogView(self._position, None, seq or 0, unread=seq is not None)
        return LogView(self._position, known.host, known.seq)

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until the view is complete through `seq`; False if that takes too long."""
        if self._position >= seq:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                while self._position < seq:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _load(self) -> None:
        self._reset()
        for host, seq, spec in await self._projection.query("SELECT host, seq, spec FROM hosts"):
            if spec is None:
                self._unread[host] = seq
            else:
                self._hosts[host] = self._known(seq, msgspec.json.decode(spec, type=Host))
        self._news = dict.fromkeys(self._hosts)
        self._position = self._projection.position
        self.loaded.set()

    def _take(self, batch: Batch) -> None:
        if batch.live:
            facts = [(record.seq, record.at) for record in batch.records]
            self.clock.observe(facts, time.monotonic())
        for record in batch.records:
            match record.fact:
                case McpRegistered() as fact:
                    self._unread.pop(fact.host, None)
                    self._hosts[fact.host] = self._known(record.seq, fact.spec)
                    self._news[fact.host] = None
                    self.on_changed(fact.host)
                case McpRemoved() as fact:
                    self._drop(fact.host)
                case TaskCancelled() as fact:
                    self.on_cancelled(fact.user, fact.task, fact.reason)
                case TaskAnswered() as fact:
                    self.on_answered(record, fact)
                case Unknown():
                    self._pass_over(record)
                case _:
                    pass
        self._position = max(self._position, batch.through)
        self._moved.set()
        self._moved = asyncio.Event()
        self.followed.set()
        if batch.live and self._news:
            news, self._news = self._news, {}
            self.on_known(news)

    def _known(self, seq: int, host: Host) -> KnownHost:
        return KnownHost(seq, clamped(host), self._spaces)

    def _drop(self, host: str) -> None:
        """What was known of the host is over."""
        self._hosts.pop(host, None)
        self._unread.pop(host, None)
        self.on_changed(host)

    def _pass_over(self, record: Record) -> None:
        """A registration that can't be read leaves a host that can't be used here."""
        what = subjects.parse(record.subject)
        if what.type in ("mcp.registered", "mcp.removed"):
            self._drop(what.host)
            self._news.pop(what.host, None)
        if what.type == "mcp.registered":
            self._unread[what.host] = record.seq

    def _start_over(self) -> None:
        self._reset()
        self.loaded.set()

    def _reset(self) -> None:
        self._hosts.clear()
        self._unread.clear()
        self._news.clear()
        self._position = 0
        self.clock = LogClock()
