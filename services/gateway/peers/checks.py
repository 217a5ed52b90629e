"""What the gateway's health asks others: how far the log goes, and which services answer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.wire import ServiceHealth
from services.bus.all import AskAll, ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError, NoResponders
from services.bus.health import VERB
from services.log.port import Log, LogUnavailable
from services.process.shared import Shared

ANSWER_S = 1.0
"""How long all answers together may take."""
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
