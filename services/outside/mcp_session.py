"""One MCP session, from start to end: a connection to a server, and the SDK's client on it.

One task enters and leaves the client, for the SDK's sake; calls are made from other tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mcp import Client
from mcp_types import Implementation

from services.outside.mcp_listing import lenient
from services.process.version import SHORT, TITLE, version

_OURSELVES = Implementation(name=SHORT, title=TITLE, version=version())
STOP_S = 5.0
"""How long a server may let us wait for its goodbye."""
AUTO, HANDSHAKE = "auto", "legacy"
"""How the SDK begins: it finds out which protocol era the server is of, or knows it for the older
one."""


class TooLate(Exception):
    """The server has not answered within its start budget."""


class Line(Protocol):
    """The connection of one session: a process with its pipes, or a URL."""

    gone: asyncio.Event
    """Set when the server is known to be gone."""

    @property
    def fault(self) -> str:
        """How the server has broken the protocol, for which it was left; empty: it has not."""

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""

    async def stop(self, *, kindly: bool) -> str:
        """Let go of the server; the answer says how it ended, empty if there is nothing to say."""

    def last_words(self, count: int = 5) -> str:
        """The last lines that the server said outside the protocol."""


Connect = Callable[[], Awaitable[Line]]
"""Starts or finds the server. Raises OSError with words for people."""


class McpSession:
    """A session that begins at once; whoever needs it waits for `settled`."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        budget_s: float,
        *,
        delay_s: float = 0.0,
        mode: str = AUTO,
        **options: Any,
    ) -> None:
        """`name` is its task's. `delay_s` is waited first; from then on `budget_s` is the time for
        all up to the first answer. `mode`: how to begin. `options` are the SDK client's."""
        self.mode = mode
        """How it has begun in the end."""
        self.line: Line | None = None
        self.client: Client | None = None
        """There once the server has answered."""
        self.failure: Exception | None = None
        """Why it did not start, or how it was lost; None: it was ended, or runs."""
        self.how = ""
        """How the server ended, as the line says it."""
        self.left_out: dict[str, str] = {}
        """Tools of the latest list that can't be read, and why."""
        self.dying = False
        """No more calls: it is ending, or over."""
        self.settled = asyncio.Event()
        """Set when the server has answered, or when it is over."""
        self.over = asyncio.Event()
        self._budget_s = budget_s
        self._end = asyncio.Event()
        self._began = self._ended = time.monotonic()
        self._owner = asyncio.create_task(self._own(connect, delay_s, options), name=name)
        # Not in the task itself, which may be cancelled before it begins.
        self._owner.add_done_callback(self._finish)

    @property
    def next_mode(self) -> str:
        """How to begin the next time: a server that was silent may want to hear something else."""
        if self.client is None and isinstance(self.failure, TooLate):
            return HANDSHAKE if self.mode == AUTO else AUTO
        return self.mode

    def end(self) -> None:
        """Have it end, and wait for nothing."""
        self.dying = True
        if not self._end.is_set():
            self._end.set()
            # Whoever waits for its end must see one.
            asyncio.get_running_loop().call_later(2 * STOP_S, self._owner.cancel)

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        if not (self.dying or self.settled.is_set()):
            # It is still starting, which may take long, and looks at nothing else.
            self._owner.cancel()
        self.end()
        _, late = await asyncio.wait([self._owner], timeout=STOP_S)
        for task in late:
            task.cancel()
            await asyncio.wait([task])

    @property
    def fault(self) -> str:
        """How the server has broken the protocol; empty: it has not."""
        return self.line.fault if self.line is not None else ""

    def lived_s(self) -> float:
        """Seconds from start to end."""
        return self._ended - self._began

    def last_words(self, count: int = 5) -> str:
        """The last lines that the server said outside the protocol."""
        return self.line.last_words(count) if self.line is not None else ""

    async def _greet(self, client: Client) -> None:
        """What is done before others may call; it is part of the start."""

    def _told(self) -> None:
        """Called when it is over."""

    async def _own(self, connect: Connect, delay_s: float, options: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(delay_s)
            self._began = time.monotonic()
            await self._serve(connect, options)
        except Exception as error:
            self.failure = error
        finally:
            self.dying = True
            if self.line is not None:
                self.how = await self.line.stop(kindly=self.failure is None)
            self._ended = time.monotonic()

    def _finish(self, _: asyncio.Task[None]) -> None:
        self.dying = True
        self.over.set()
        self.settled.set()
        self._told()

    async def _serve(self, connect: Connect, options: dict[str, Any]) -> None:
        """Hold the client until the server is gone or somebody says that it is to end."""
        limit = asyncio.timeout(self._budget_s)
        try:
            async with limit:
                try:
                    await self._talk(await connect(), limit, options)
                except Exception:
                    if not self._startled():
                        raise
                    assert self.line is not None
                    await self.line.stop(kindly=False)
                    self.mode = HANDSHAKE
                    await self._talk(await connect(), limit, options)
        except Exception as error:
            if not limit.expired():
                raise
            raise TooLate(f"did not answer within {self._budget_s:g} s") from error

    def _startled(self) -> bool:
        """Whether it may have ended because the first thing that it heard was of the newer era."""
        gone = self.line is not None and self.line.gone.is_set()
        return gone and self.mode == AUTO and self.client is None and not self._end.is_set()

    async def _talk(self, line: Line, limit: asyncio.Timeout, options: dict[str, Any]) -> None:
        self.line = line
        async with Client(
            line.streams(), client_info=_OURSELVES, mode=self.mode, **options
        ) as client:
            # The SDK would hold answers against the server's own schema, with patterns that
            # backtrack, in this loop.
            client.session.validate_tool_result = _unjudged  # type: ignore[method-assign]
            self.left_out = lenient(client.session)
            await self._greet(client)
            limit.reschedule(None)
            self.client = client
            self.settled.set()
            await _first(line.gone, self._end)
            self.dying = True


async def _unjudged(name: str, result: Any) -> None:
    """Answers are taken as they are; see `schemas`."""


def root(error: BaseException) -> BaseException:
    """The innermost error of a group: the one that says something."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _first(*events: asyncio.Event) -> None:
    """Wait for any of these."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
