"""What becomes of the task when whoever waits for its end goes away: it goes on, or is cancelled.

A client that times out, cancels its call, closes or dies may come back; so a task goes on unless it
was said that it should not (`on_leave`).
"""

from __future__ import annotations

import asyncio

from contracts.errors import Rejected
from services.gateway.actor import Desk
from services.log.port import LogUnavailable
from services.process import telemetry

log = telemetry.get_logger()


class Leaving:
    """Cancels tasks whose clients have left. One per gateway."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._closing = False
        self._cancelling: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """From now on a cut connection is our own doing and cancels nothing."""
        self._closing = True

    def cancel(self, user: str, task: str) -> None:
        """Ask soon to end a task; nobody waits for that."""
        if self._closing:
            return
        cancelling = asyncio.create_task(self._cancel(user, task))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _cancel(self, user: str, task: str) -> None:
        try:
            await self._desk.cancel(user, task)
        except (Rejected, LogUnavailable) as error:
            log.info("mcp_call_not_cancelled", task=task, error=str(error))
