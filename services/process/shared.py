"""One question for all who have it at the same time, and for those who come a moment later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

FRESH_S = 1.0
"""Nobody is asked again sooner, however many want to know."""

T = TypeVar("T")


class Shared(Generic[T]):
    """A question that is asked at most once in `fresh_s`, for all who want the answer.

    A failure is an answer too: all who share it get the same one.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
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
            self._stale_at = self._clock() + self._fresh_s
