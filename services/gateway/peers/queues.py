"""What the routers say of their queue, and of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from contracts.errors import Reason, Rejected
from contracts.queue import QueueAnswer, QueueRequest
from contracts.subjects import command
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError

QUEUE = command("router", "queue")
ANSWER_S = 2.0
"""How long all answers together may take."""
MOST_AT_ONCE = 16
"""Such questions at a time; more wait."""


class Queues:
    """The questions of one gateway."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def routers(self, request: QueueRequest) -> list[QueueAnswer]:
        """What each router answers, by instance. Raises Rejected(UNAVAILABLE): none does."""
        try:
            async with self._places:
                payload = msgspec.json.encode(request)
                answers = await ask_all(self._bus, QUEUE, payload, within_s=ANSWER_S)
            found = [msgspec.json.decode(answer, type=QueueAnswer) for answer in answers]
        except (BusError, Rejected, msgspec.MsgspecError) as error:
            text = f"no router tells its queue ({error}): see GET /api/health, and try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        return sorted(found, key=lambda one: one.instance)

    async def queue(self, request: QueueRequest) -> QueueAnswer:
        """What the active router answers. Raises Rejected(UNAVAILABLE)."""
        return active(await self.routers(request))


def active(answers: Sequence[QueueAnswer]) -> QueueAnswer:
    """The answer of the router that decides. Raises Rejected(UNAVAILABLE). Pure."""
    found = [one for one in answers if one.active]
    if not found:
        text = "no router is active, so nothing leaves the queue: try again in a moment"
        raise Rejected(Reason.UNAVAILABLE, text)
    # Two may think so for a moment: the later term counts.
    return max(found, key=lambda one: one.term)
