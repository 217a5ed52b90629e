"""A bound on what is under way at once."""

from __future__ import annotations

import asyncio


class Seats:
    """So many at once. Who needs several gets them in one step, so nobody holds some and waits."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._turn = asyncio.Lock()
        self._given = asyncio.Event()

    async def take(self, least: int, most: int) -> int:
        """Wait in turn until `least` are free, then take up to `most`; return how many."""
        async with self._turn:
            while self._free < least:
                self._given.clear()
                await self._given.wait()
            taken = min(most, self._free)
            self._free -= taken
            return taken

    def give(self, count: int) -> None:
        """Give some back."""
        self._free += count
        self._given.set()

    async def __aenter__(self) -> None:
        """Take one."""
        await self.take(1, 1)

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.give(1)
