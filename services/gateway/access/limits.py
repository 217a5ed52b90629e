"""How many requests one user, or one address, may make, whichever gateway they are sent to.

A gateway counts in memory and tells the others twice a second, so they may let through at most
what arrives meanwhile: no request waits for NATS, and one gateway alone counts exactly.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from services.gateway.access.identity import Principal
from services.process import telemetry
from services.process.ids import new_id
from services.store.blobs import StoreError
from services.store.kv import Bucket, KvChange

MOST_KEYS = 100_000
MOST_GATEWAYS = 64
EXCHANGE_S = 0.5
LONGEST_S = 30 * 86_400
"""How long NATS keeps a report at most, whatever the window."""
_REPORT_KEYS = 1_000
"""So that a report fits into a value of NATS KV."""

log = telemetry.get_logger()


class Report(msgspec.Struct, frozen=True):
    """What one gateway has counted in one window, for the keys that have changed."""

    by: str
    """Which run of which gateway."""
    window: int
    counts: dict[str, int]
    """By the short form of the key."""
    limit: str = "requests"
    """Which limit it is about."""


_report: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class RateLimit:
    """A sliding window, estimated from two fixed ones: `requests` per `window_s` seconds.

    Windows are those of the clock on the wall, since gateways must mean the same ones.
    """

    def __init__(
        self, requests: int, window_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.window_s = window_s
        self._requests = requests
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._changed: set[str] = set()
        self._heard: dict[int, dict[str, dict[str, int]]] = {}

    @property
    def counts(self) -> bool:
        """Whether there is a limit at all."""
        return self._requests > 0

    def over(self, principal: Principal | None, client: tuple[str, int] | None) -> float:
        """Count a request; 0 if it may pass, else seconds until one may."""
        if principal is not None and principal.operator:
            return 0.0
        if principal is not None:
            return self.count(f"user {principal.user}")
        return self.count(f"address {client[0] if client else ''}")

    def count(self, key: str) -> float:
        """Count one for this key; 0 if it may pass, else seconds until one may."""
        if not self._requests:
            return 0.0
        now = self._clock() / self.window_s
        window = int(now)
        seen, count, before = self._counts.pop(key, (window, 0, 0))
        if seen != window:
            count, before = 0, count if seen == window - 1 else 0
        there, there_before = self._elsewhere(key, window)
        passed, here, last = now - window, count + there, before + there_before
        over = here + last * (1 - passed) >= self._requests
        self._counts[key] = (window, count if over else count + 1, before)
        if not over:
            self._changed.add(key)
        if len(self._counts) > MOST_KEYS:
            self._changed.discard(self._counts.popitem(last=False)[0])
        return self._wait(passed, here, last) * self.window_s if over else 0.0

    def _wait(self, passed: float, here: int, last: int) -> float:
        """Windows until a request may pass, if nobody makes one until then.

        `passed` of this window is over; `here` counts in it, `last` in the one before, which weighs
        less and less.
        """
        if here < self._requests:
            return 1 - (self._requests - here) / last - passed
        return 1 - passed + 1 - self._requests / here

    def reports(self, by: str) -> list[Report]:
        """What has changed since the last time; it is not said again."""
        counts: dict[int, dict[str, int]] = defaultdict(dict)
        for key in self._changed:
            window, count, before = self._counts[key]
            counts[window][short(key)] = count
            if before:
                counts[window - 1][short(key)] = before
        self._changed = set()
        return [Report(by, w, part) for w in sorted(counts) for part in _parts(counts[w])]

    def hear(self, report: Report) -> None:
        """Take in what another gateway has counted; the same again, or older, changes nothing."""
        window = int(self._clock() / self.window_s)
        for old in [w for w in self._heard if abs(w - window) > 1]:
            del self._heard[old]
        if abs(report.window - window) > 1:
            return
        heard = self._heard.setdefault(report.window, {})
        for key, count in report.counts.items():
            if key not in heard and len(heard) >= MOST_KEYS:
                continue
            by = heard.setdefault(key, {})
            if report.by in by or len(by) < MOST_GATEWAYS:
                by[report.by] = max(count, by.get(report.by, 0))

    def _elsewhere(self, key: str, window: int) -> tuple[int, int]:
        """What others have counted in this window and in the one before."""
        if not self._heard:
            return 0, 0
        name = short(key)
        now, before = (self._heard.get(w, {}).get(name, {}) for w in (window, window - 1))
        return sum(now.values()), sum(before.values())


class Exchange:
    """Tells the other gateways what is counted here, and hears what they count.

    While NATS is away each gateway counts for itself. What an earlier run of this one has counted
    is there until its window is over, so a restart is no way around the limit.
    """

    def __init__(self, limit: RateLimit, bucket: Bucket, **others: RateLimit) -> None:
        """`limit` counts requests; each of `others` what its name says."""
        self._limits = {"requests": limit, **others}
        self._bucket = bucket
        self._run = new_id()
        self._waiting: deque[Report] = deque()
        self._told = self._heard = 0

    async def once(self) -> None:
        """Say what is new here, then hear all that is new elsewhere. Raises StoreError."""
        try:
            await self._tell()
            while changes := await self._bucket.changes(self._heard):
                self._heard = changes[-1].revision
                for change in changes:
                    self._hear(change)
        except StoreError:
            self._heard = 0
            raise

    async def run(self) -> None:
        """Do so twice a second, for ever."""
        away = False
        while True:
            try:
                await self.once()
                away = False
            except StoreError as error:
                if not away:
                    log.warning("limits_not_shared", error=str(error))
                away = True
            await asyncio.sleep(EXCHANGE_S)

    async def _tell(self) -> None:
        if not self._waiting:
            for name, limit in self._limits.items():
                reports = limit.reports(self._run)
                self._waiting.extend(msgspec.structs.replace(one, limit=name) for one in reports)
        while self._waiting:
            # Under a key of its own: said again after trouble, it is still the same report.
            report = self._waiting[0]
            key, value = f"{self._run}_{self._told}", msgspec.json.encode(report)
            kept_s = min(2 * self._limits[report.limit].window_s, LONGEST_S)
            await self._bucket.put(key, value, ttl_s=math.ceil(kept_s))
            self._waiting.popleft()
            self._told += 1

    def _hear(self, change: KvChange) -> None:
        if change.value is None:
            return
        try:
            report = _report.decode(change.value)
        except msgspec.DecodeError as error:
            log.warning("limit_report_unreadable", key=change.key, error=str(error))
            return
        if report.by != self._run and (limit := self._limits.get(report.limit)) is not None:
            limit.hear(report)


def short(key: str) -> str:
    """A key as others are told of it: no two are the same, and none is the name of somebody."""
    return base64.urlsafe_b64encode(hashlib.blake2b(key.encode(), digest_size=12).digest()).decode()


def _parts(counts: dict[str, int]) -> Iterator[dict[str, int]]:
    left = iter(counts.items())
    while part := dict(islice(left, _REPORT_KEYS)):
        yield part
