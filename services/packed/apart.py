"""Work on files that takes a while, in a thread: it can be called off, and then has stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

GoOn = Callable[[], None]
"""Called between two steps of the work; raises if it is to stop."""

T = TypeVar("T")


class _CalledOff(Exception):
    """Nobody waits for it any more."""


async def apart(work: Callable[[GoOn], T]) -> T:
    """Run the work in a thread. Cancelled, this returns once the work has stopped."""
    off = threading.Event()

    def go_on() -> None:
        if off.is_set():
            raise _CalledOff

    running = asyncio.create_task(asyncio.to_thread(work, go_on))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        off.set()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise
