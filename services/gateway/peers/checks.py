"""What the gateway asks others of themselves: how far the log goes, who answers, as what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from contracts import roles, subjects
from contracts.errors import Reason, Rejected
from contracts.health import ServiceHealth
from contracts.in_force import SettingsAnswer
from contracts.restored import AfterRestore, Restored, RestoredRequest
from contracts.task import MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES
from contracts.wire import Beat
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError, NoResponders
from services.bus.health import VERB
from services.log.port import Log, LogUnavailable
from services.process.shared import Shared

RESTORED = subjects.command("router", "restored")
ANSWER_S = 1.0
"""How long all answers together may take."""
BEAT_FRESH_S = 5.0
BEAT_KEPT_S = 600.0
"""How long an executor that has fallen silent is still told of."""
MOST_EXECUTORS = 1_000
"""Told of at once: those heard last."""
_NOUNS = {"results": "results service"}


class ServiceAnswer(NamedTuple):
    """A service, as far as it answers."""

    service: str
    there: tuple[ServiceHealth, ...] = ()
    """Its processes, by instance."""
    trouble: str = ""
    """Why there is none."""

    @property
    def noun(self) -> str:
        """What it is called in a sentence."""
        return _NOUNS.get(self.service, self.service)


class Checks:
    """The questions of one gateway."""

    def __init__(self, log: Log, bus: Bus) -> None:
        self._log = log
        self._bus = bus
        self.head = Shared(self._head)
        """Last sequence of the log; None: it does not answer."""
        self.services = Shared(self._services)

    @property
    def connected(self) -> bool:
        """Whether NATS is connected."""
        return self._bus.connected

    async def restored(self, decision: AfterRestore | None) -> Restored:
        """What the routers know of a log that was put back, and have them take the decision.

        Raises Rejected(UNAVAILABLE) if none answers.
        """
        request = msgspec.json.encode(RestoredRequest(decision))
        try:
            answers = await ask_all(self._bus, RESTORED, request)
        except BusError as error:
            text = f"no router can be asked what was put back: {error}"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        found = [msgspec.json.decode(answer, type=Restored) for answer in answers]
        # Those that wait know the most.
        return max(found, key=lambda one: (one.waits, one.ended + one.begun))

    async def settings(self, service: str) -> list[SettingsAnswer]:
        """What each process of a service runs with, by instance.

        Raises Rejected(UNAVAILABLE) if none answers.
        """
        noun = ServiceAnswer(service).noun
        try:
            answers = await ask_all(
                self._bus, subjects.command(service, "settings"), within_s=ANSWER_S
            )
            found = [msgspec.json.decode(answer, type=SettingsAnswer) for answer in answers]
        except (BusError, Rejected, msgspec.MsgspecError) as error:
            text = f"no {noun} tells its settings ({error}): see GET /api/health, and try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        return sorted(found, key=lambda one: one.instance)

    async def _head(self) -> int | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._log.head()
        except (TimeoutError, LogUnavailable):
            return None

    async def _services(self) -> list[ServiceAnswer]:
        return await asyncio.gather(*(self._service(service) for service in roles.SERVICES))

    async def _service(self, service: str) -> ServiceAnswer:
        nobody = ServiceAnswer(service)
        subject = subjects.command(service, VERB)
        try:
            answers = await ask_all(self._bus, subject, within_s=ANSWER_S)
            there = [msgspec.json.decode(answer, type=ServiceHealth) for answer in answers]
        except NoResponders:
            return nobody._replace(trouble=f"no {nobody.noun} is running")
        except (BusError, Rejected, msgspec.MsgspecError):
            return nobody._replace(trouble=f"the {nobody.noun} does not answer")
        return ServiceAnswer(service, tuple(sorted(there, key=lambda one: one.instance)))


class TaskLimits(NamedTuple):
    """What a task may bring along, whichever executor gets it."""

    files: int = MAX_FILES
    files_bytes: int = MAX_FILES_BYTES
    input_bytes: int = MAX_INPUT_BYTES


class ExecutorHeard(NamedTuple):
    """An executor, by its last beat."""

    instance: str
    alive: bool
    busy: int
    slots: int
    silent_s: float


class Executors:
    """Which executors have been heard of lately, and what they say of themselves."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, bytes]] = {}

    def hear(self, message: Any) -> None:
        """Take a beat, as NATS brings it: its subject says whose it is."""
        self._heard[message.subject] = self._clock(), message.data

    def count(self) -> int:
        """How many there are."""
        return len(self._fresh())

    def every(self) -> list[ExecutorHeard]:
        """All that have been heard of in the last minutes, by name."""
        now, found = self._clock(), list[ExecutorHeard]()
        self._forget(now)
        for heard, data in self._heard.values():
            if (beat := _beat(data)) is not None:
                silent = now - heard
                known = (beat.instance, silent <= BEAT_FRESH_S, beat.busy, beat.slots, silent)
                found.append(ExecutorHeard(*known))
        return sorted(found)

    def _fresh(self) -> list[bytes]:
        now = self._clock()
        self._forget(now)
        return [data for heard, data in self._heard.values() if heard >= now - BEAT_FRESH_S]

    def _forget(self, now: float) -> None:
        kept = {name: one for name, one in self._heard.items() if one[0] >= now - BEAT_KEPT_S}
        if len(kept) > MOST_EXECUTORS:
            newest = sorted(kept.items(), key=lambda one: one[1][0])[-MOST_EXECUTORS:]
            kept = dict(newest)
        self._heard = kept

    def limits(self) -> TaskLimits:
        """The smallest limits of those there are; while none says its own, the defaults."""
        beats = [beat for data in self._fresh() if (beat := _beat(data)) is not None]
        said = [(one.max_files, one.max_files_bytes, one.max_input_bytes) for one in beats]
        columns = zip(*said, strict=True) if said else ((), (), ())
        return TaskLimits(
            *(
                min((one for one in column if one is not None), default=default)
                for column, default in zip(columns, TaskLimits(), strict=True)
            )
        )


def _beat(data: bytes) -> Beat | None:
    try:
        return msgspec.json.decode(data, type=Beat)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
