"""Who waits for an answer on which subject, so that bad news reaches them before their timeout."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from services.bus.errors import BusError, PermissionDenied

MAX_DENIED = 1000


class Troubles:
    """The waiting futures and the denied subjects of one connection, told apart in lower case."""

    def __init__(self) -> None:
        self._denied: set[str] = set()
        self._waiting: dict[str, dict[asyncio.Future[None], str]] = {}

    def check(self, subject: str) -> None:
        """Raise PermissionDenied if the server has refused the subject before."""
        if subject.lower() in self._denied:
            raise PermissionDenied(subject)

    @contextlib.contextmanager
    def watch(self, subject: str) -> Iterator[asyncio.Future[None]]:
        """A future that fails when the subject is denied or the connection is lost."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(subject.lower(), {})
        waiting[future] = subject
        try:
            yield future
        finally:
            del waiting[future]
            if not waiting:
                self._waiting.pop(subject.lower(), None)
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, so that nobody is warned about it
            future.cancel()

    def deny(self, subject: str) -> bool:
        """Remember the subject and tell those who wait for it; False if it was known already."""
        fresh = subject not in self._denied
        if len(self._denied) < MAX_DENIED:
            self._denied.add(subject)
        for future, exact in self._waiting.get(subject, {}).items():
            if not future.done():
                future.set_exception(PermissionDenied(exact))
        return fresh

    def lose(self, error: BusError) -> None:
        """Tell everybody; what was denied may be allowed next time."""
        self._denied.clear()
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
