"""Actors: a bounded mailbox with one owner, and supervisors that restart what fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from services.process.backoff import delay

M = TypeVar("M")

log = structlog.get_logger()


class Closed(Exception):
    """The mailbox takes no more messages, or has handed out its last one."""


class Mailbox(Generic[M]):
    """A bounded queue read by one owner; a full one makes senders wait."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least one message, not {capacity}")
        self._capacity = capacity
        self._messages: deque[M] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    def __len__(self) -> int:
        """Return the number of waiting messages."""
        return len(self._messages)

    async def put(self, message: M) -> None:
        """Add a message, waiting for room. Raises Closed."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or len(self._messages) < self._capacity
            )
            if self._closed:
                raise Closed
            self._messages.append(message)
            self._changed.notify_all()

    async def get_many(self, limit: int) -> list[M]:
        """Take up to `limit` messages, waiting for the first. Raises Closed after the last."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._messages))
            if not self._messages:
                raise Closed
            taken = [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]
            self._changed.notify_all()
            return taken

    async def get(self) -> M:
        """Take one message. Raises Closed when no more will come."""
        return (await self.get_many(1))[0]

    def _may_put(self) -> bool:
        return self._closed or len(self._messages) < self._capacity

    async def close(self) -> None:
        """Refuse new messages; those inside can still be taken."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class Escalated(Exception):
    """A child failed too often; its last error is the cause."""


class Supervisor:
    """Restarts children that fail, with jittered exponential backoff.

    More than `intensity` failures of one child within `window_s` end it with `Escalated`: a fault
    that a restart does not cure belongs to the level above.
    """

    def __init__(
        self,
        name: str,
        *,
        intensity: int = 5,
        window_s: float = 30.0,
        backoff: tuple[float, float] = (0.05, 2.0),
    ) -> None:
        self._name = name
        self._intensity = intensity
        self._window_s = window_s
        self._backoff = backoff
        self._children: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    def start(self, name: str, factory: Callable[[], Awaitable[None]]) -> None:
        """Run `factory()` as the child `name`; a child that returns is done and not restarted."""
        if name in self._children:
            raise ValueError(f"{self._name} already has a child {name}")
        self._children[name] = asyncio.create_task(
            self._keep(name, factory), name=f"{self._name}/{name}"
        )
        self._children[name].add_done_callback(lambda _: self._news.set())

    async def stop(self, name: str) -> None:
        """Cancel one child and wait until it is gone."""
        task = self._children.pop(name, None)
        if task:
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Return when every child has ended. Raises Escalated; the other children are cancelled."""
        try:
            while self._children:
                self._news.clear()
                for name, task in list(self._children.items()):
                    if task.done():
                        del self._children[name]
                        if not task.cancelled():
                            task.result()
                if self._children:
                    await self._news.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel all children and wait until they are gone."""
        tasks = list(self._children.values())
        self._children.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(self, name: str, factory: Callable[[], Awaitable[None]]) -> None:
        failures: deque[float] = deque()
        while True:
            try:
                await factory()
            except Exception as error:
                now = time.monotonic()
                failures.append(now)
                while failures[0] < now - self._window_s:
                    failures.popleft()
                if len(failures) > self._intensity:
                    text = (
                        f"{self._name}/{name} failed {len(failures)} times in {self._window_s:g} s"
                    )
                    raise Escalated(text) from error
                log.warning("child_restarted", child=f"{self._name}/{name}", error=repr(error))
                await asyncio.sleep(delay(len(failures), *self._backoff, random.random()))
            else:
                return
