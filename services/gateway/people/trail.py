"""Notes who came in and who was kept out. Whoever notes never waits, and never fails by it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
from prometheus_client import Counter

from contracts import subjects
from contracts.access import AccessEvent
from contracts.facts import LogKey, Record
from contracts.ids import is_user
from services.gateway.people.denials import Denial, Denials
from services.process import telemetry
from services.process.backoff import delay
from services.process.ids import new_id
from services.store.access import AGAIN_S
from services.store.stream import StoreError, Stream

MOST_WAITING = 10_000
"""Events that are not stored yet; the oldest are dropped, and counted."""
BATCH = 64
"""Events that are on their way to NATS at once."""
TICK_S = 5.0
"""How often it is looked whether denials that were only counted are due."""
DRAIN_S = 3.0
"""How long a gateway that stops waits for NATS to take what is left."""
MOST_TEXT = 256
MOST_DETAILS = 8
_FIRST_S, _LAST_S = 0.1, 5.0

DROPPED = Counter(
    "metamcp_access_events_dropped",
    "Events that never got into the stream ACCESS: NATS took none for too long.",
)

log = telemetry.get_logger()


class Trail:
    """The events of one gateway, on their way to the stream `ACCESS`."""

    def __init__(self, by: str) -> None:
        self._by = by
        self.waiting: deque[AccessEvent] = deque()
        self.some = asyncio.Event()
        """Set while something waits."""
        self.dropped = 0
        """Events since the last one that was stored which were dropped."""
        self._denials = Denials()

    def note(self, kind: str, **fields: Any) -> None:
        """Note an event: `kind` and `fields` are those of `AccessEvent`."""
        known: dict[str, Any] = {"id": new_id(), "at": time.time(), "by": self._by} | fields
        made = AccessEvent(kind=kind, **known)
        event = bounded(made)
        if len(self.waiting) >= MOST_WAITING:
            self.waiting.popleft()
            self.dropped += 1
            DROPPED.inc()
        self.waiting.append(event)
        self.some.set()
        log.info("access", kind=kind, outcome=event.outcome, user=event.user, reason=event.reason)

    def fold(self, records: Iterable[Record], now: float) -> None:
        """Note what facts say of keys. Every gateway does, by one id, so that NATS keeps one line;
        for as long as it knows the id."""
        for record in records:
            fact = record.fact
            if isinstance(fact, LogKey) and record.at > now - AGAIN_S / 2:
                details = {"replaces": fact.replaces} if fact.replaces else {}
                told = {"id": f"key-{fact.id}", "at": record.at, "details": details}
                self.note("key.rotated", subject=fact.kid, asked_by=fact.by, **told)

    def denied(self, denial: Denial) -> None:
        """Note that somebody was kept out; the same again within a minute is only counted."""
        if self._denials.add(denial, time.monotonic()):
            self._note_denied(denial, 1)

    def settle(self) -> None:
        """Note the denials that were only counted, and whose minute is over."""
        for denial, count in self._denials.due(time.monotonic()):
            self._note_denied(denial, count)

    def _note_denied(self, denial: Denial, count: int) -> None:
        fields = denial._asdict()
        details = {"missing": fields.pop("missing"), "count": str(count) if count > 1 else ""}
        told = {name: text for name, text in details.items() if text}
        self.note("denied", outcome="refused", **fields, details=told)


class TrailWriter:
    """Moves what waits in a `Trail` to the stream, in order, however often that takes."""

    def __init__(self, trail: Trail, stream: Stream) -> None:
        self._trail = trail
        self._stream = stream
        self._batch: list[AccessEvent] = []
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Do so for ever. While NATS takes nothing, events wait, and the oldest are dropped."""
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._trail.some.wait()
            self._trail.settle()
            try:
                await self.flush()
                failures = 0
            except StoreError as error:
                failures += 1
                if failures == 1:
                    log.warning("access_not_stored", error=str(error))
                await asyncio.sleep(delay(failures, _FIRST_S, _LAST_S, random.random()))

    async def close(self) -> None:
        """Store what is left before the gateway ends, if NATS takes it soon."""
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.flush()

    async def flush(self) -> None:
        """Store all that waits. Raises StoreError: the rest waits on.

        What NATS has stored and could not say so is sent again; by its id NATS knows it.
        """
        waiting = self._trail.waiting
        async with self._writing:
            while self._batch or waiting:
                while waiting and len(self._batch) < BATCH:
                    self._batch.append(waiting.popleft())
                await self._store()
                self._say_dropped()
            self._trail.some.clear()

    async def _store(self) -> None:
        tries = [asyncio.ensure_future(self._publish(event)) for event in self._batch]
        try:
            await asyncio.gather(*tries, return_exceptions=True)
        finally:
            # Also when we are told to stop: what is stored must not be sent by the next flush.
            self._batch = [
                event for event, one in zip(self._batch, tries, strict=True) if _failed(one)
            ]
        for one in tries:
            one.result()

    async def _publish(self, event: AccessEvent) -> None:
        user = event.user if is_user(event.user) else ""
        data, headers = msgspec.json.encode(event), {"Nats-Msg-Id": event.id}
        await self._stream.publish(subjects.access(event.kind, user), data, headers=headers)

    def _say_dropped(self) -> None:
        if count := self._trail.dropped:
            self._trail.dropped = 0
            self._trail.note("dropped", outcome="failed", details={"count": str(count)})


def bounded(event: AccessEvent) -> AccessEvent:
    """The event with all its texts cut to a length that NATS takes for sure. Pure."""
    texts = {
        name: _cut(value)
        for name, value in msgspec.structs.asdict(event).items()
        if isinstance(value, str)
    }
    few = list(event.details.items())[:MOST_DETAILS]
    details = {_cut(name): _cut(value) for name, value in few}
    return msgspec.structs.replace(event, **texts, details=details)


def _cut(text: str) -> str:
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()


def _failed(one: asyncio.Future[None]) -> bool:
    return not one.done() or one.cancelled() or one.exception() is not None
