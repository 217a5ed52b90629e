"""What the gateway's health asks others: how far the log goes, and which services answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.wire import ServiceHealth
from services.bus.all import AskAll, ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError, NoResponders
from services.bus.health import VERB
from services.log.port import Log, LogUnavailable

FRESH_S = 1.0
"""Nobody is asked again sooner, however many want to know."""
ANSWER_S = 1.0
"""How long all answers together may take."""
_NOUNS = {"results": "results service"}

T = TypeVar("T")


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


class Shared(Generic[T]):
    """A question that is asked at most once in `FRESH_S`, for all who want the answer."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._asking: asyncio.Task[T] | None = None
        self._stale_at = 0.0

    async def answer(self) -> T:
        """Return an answer that is fresh enough, or wait for the next one with everybody else."""
        task = self._asking
        if task is None or (task.done() and self._clock() >= self._stale_at):
            task = self._asking = asyncio.create_task(self._once())
        # Who goes away takes the answer from nobody.
        return await asyncio.shield(task)

    async def _once(self) -> T:
        try:
            return await self._ask()
        finally:
            self._stale_at = self._clock() + FRESH_S


class Checks:
    """The questions of one gateway."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ask_all: AskAll | None = None
        self.head = Shared(self._head)
        """Last sequence of the log; None: it does not answer."""
        self.services = Shared(self._services)

    def connect(self, bus: Bus) -> None:
        """Ask the services over this connection."""
        self._ask_all = partial(ask_all, bus, within_s=ANSWER_S)

    async def _head(self) -> int | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._log.head()
        except (TimeoutError, LogUnavailable):
            return None

    async def _services(self) -> list[ServiceAnswer]:
        if self._ask_all is None:
            return [ServiceAnswer(service) for service in subjects.SERVICES]
        asked = (self._service(service, self._ask_all) for service in subjects.SERVICES)
        return await asyncio.gather(*asked)

    async def _service(self, service: str, ask: AskAll) -> ServiceAnswer:
        nobody = ServiceAnswer(service)
        try:
            answers = await ask(subjects.command(service, VERB), b"")
            there = [msgspec.json.decode(answer, type=ServiceHealth) for answer in answers]
        except NoResponders:
            return nobody._replace(trouble=f"no {nobody.noun} is running")
        except (BusError, Rejected, msgspec.MsgspecError):
            return nobody._replace(trouble=f"the {nobody.noun} does not answer")
        return ServiceAnswer(service, tuple(sorted(there, key=lambda one: one.instance)))
