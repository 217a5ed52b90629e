"""Small parts of making and ending a connection: credentials, delays, and tasks that won't end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from nats.aio.client import Server

from services.bus.errors import BusError, ConnectFailed, PermissionDenied
from services.bus.names import Credentials
from services.process import telemetry
from services.process.backoff import delay
from services.process.tls import ClientFiles, TlsError

FIRST_DELAY, LAST_DELAY = 0.05, 1.0
"""Seconds between attempts to connect again: doubling from the first to the last."""

MAX_DENIED = 1000
Hook = Callable[[], object]
"""Called without arguments; what it returns is awaited in its own task if it can be."""

log = telemetry.get_logger()


def read_credentials(path: Path) -> Credentials:
    """Read a credentials file. Raises ConnectFailed that says what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except (OSError, msgspec.DecodeError) as error:
        raise ConnectFailed(f"Can't read NATS credentials from {path}: {error}") from error


def options(
    url: str, name: str, inbox_prefix: str, credentials: Credentials | None, tls: ClientFiles
) -> dict[str, Any]:
    """How nats-py is to connect, without the callbacks. Raises ConnectFailed."""
    found: dict[str, Any] = {
        "servers": [part.strip() for part in url.split(",")],
        "name": name,
        "inbox_prefix": inbox_prefix,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": FIRST_DELAY,
        "reconnect_to_server_handler": next_server,
        # A peer that is there but silent (stopped, cable pulled) is given up after 10 s.
        "ping_interval": 5,
        "max_outstanding_pings": 2,
    }
    if credentials is not None:
        found |= {"user": credentials.user, "password": credentials.password}
    if tls.given:
        try:
            found["tls"] = tls.context()
        except TlsError as error:
            raise ConnectFailed(f"TLS to NATS can't be used: {error}.") from None
    return found


def next_server(servers: list[Server], info: dict[str, Any]) -> tuple[Server, float]:
    """The server tried least, and seconds to wait: 0.05 doubling to 1, jittered."""
    server = min(servers, key=lambda server: server.reconnects)
    return server, delay(server.reconnects + 1, FIRST_DELAY, LAST_DELAY, random.random())


def shown(url: str) -> str:
    """The address without the user and password it may contain."""
    parts = urlsplit(url.strip() if "//" in url else f"nats://{url.strip()}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def put_down(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until they end: nats-py swallows a cancellation here and there."""
    for _ in range(3):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            break
        await asyncio.wait(pending, timeout=0.1)
        for task in pending:
            task.cancel()
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            log.debug("bus_task_ended", error=repr(error))


def call_all(hooks: Iterable[Hook], spawn: Callable[[Awaitable[Any]], None]) -> None:
    """Call them all; `spawn` owns what is to be awaited."""
    for hook in list(hooks):
        try:
            result = hook()
        except Exception:
            # Whatever is raised here would end nats-py's reconnection.
            log.exception("bus_hook_failed", hook=repr(hook))
            continue
        if inspect.isawaitable(result):
            # Not awaited here: nats-py reconnects no further while its callback runs.
            spawn(result)


class Troubles:
    """The waiting futures and the denied subjects of one connection."""

    def __init__(self) -> None:
        self._denied: set[str] = set()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def check(self, subject: str) -> None:
        """Raise PermissionDenied if the server has refused the subject before."""
        if subject in self._denied:
            raise PermissionDenied(subject)

    @contextlib.contextmanager
    def watch(self, subject: str) -> Iterator[asyncio.Future[None]]:
        """A future that fails when the subject is denied or the connection is lost."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(subject, set())
        waiting.add(future)
        try:
            yield future
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(subject, None)
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, so that nobody is warned about it
            future.cancel()

    def deny(self, subject: str) -> bool:
        """Remember the subject and tell those who wait for it; False if it was known already."""
        fresh = subject not in self._denied
        if len(self._denied) < MAX_DENIED:
            self._denied.add(subject)
        for future in self._waiting.get(subject, ()):
            if not future.done():
                future.set_exception(PermissionDenied(subject))
        return fresh

    def lose(self, error: BusError) -> None:
        """Tell everybody; what was denied may be allowed next time."""
        self._denied.clear()
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
