"""Processes of the engine, in its own environment: few, side by side, replaced when one is lost.

A request that kills or holds up its process fails alone; one that is cancelled takes its process
with it, so that nothing goes on for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
from mcp.server.mcpserver.exceptions import ToolError

from services.process.child import begun, gone

FILE_S = 20.0
"""The longest that one request may take."""
START_S = 60.0
MOST_ANSWER = 64 * 1024 * 1024
MOST_REQUESTS = 2000
"""Then a process is replaced: what libraries keep for ever is given back."""
_ROOT = Path(__file__).parents[4]
_MAIN = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from services.registry.builtin.code.engine.worker import main; main()"
)
_LAST_WORDS = 2000


class Declined(Exception):
    """The engine can't do this as it was asked; the message says why, and what to do."""


class NotStarted(ToolError):
    """No process of the engine can be started, so that no tool can do anything."""


class Lost(Exception):
    """There is no answer: `reason` is `crashed`, `time_limit` or `failed`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Workers:
    """As many processes as work is done side by side; each is started when it is first needed."""

    def __init__(self, python: Path, count: int | None = None, file_s: float = FILE_S) -> None:
        """`python`: of the engine's environment. `file_s`: seconds that a request may take."""
        self.count = count or max(1, min(2, os.cpu_count() or 1))
        self._python = python
        self._file_s = file_s
        self._free = asyncio.Semaphore(self.count)
        self._idle: list[_Worker] = []

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Have one request done. Raises Declined, Lost and NotStarted."""
        async with self._free:
            worker = self._idle.pop() if self._idle else await _started(self._python)
            async with _ended_unless_well(worker):
                told = await worker.ask({"do": do, **request}, self._file_s)
                if worker.requests < MOST_REQUESTS:
                    worker.well = True
                    self._idle.append(worker)
        if (refused := told.get("refused")) is not None:
            raise Declined(refused)
        if (failed := told.get("failed")) is not None:
            raise Lost("failed", failed)
        answer: dict[str, Any] = told["answer"]
        return answer

    async def close(self) -> None:
        """End all processes that do nothing just now."""
        while self._idle:
            await self._idle.pop().end()


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.well = False
        self.requests = 0
        self._process = process
        self._words = b""
        self._closed = False
        assert process.stderr is not None
        self._reading = asyncio.create_task(self._listen(process.stderr))

    async def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.well = False
        self.requests += 1
        assert self._process.stdin is not None
        data = msgspec.json.encode(request)
        try:
            async with asyncio.timeout(seconds):
                self._process.stdin.write(struct.pack(">I", len(data)) + data)
                await self._process.stdin.drain()
                return await self.frame()
        except TimeoutError:
            raise Lost("time_limit", f"the engine took longer than {seconds:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            await gone(self._process)
            raise Lost("crashed", f"the engine {self._how()}{await self.said()}") from None

    async def frame(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            (size,) = struct.unpack(">I", await self._process.stdout.readexactly(4))
        except asyncio.IncompleteReadError:
            self._closed = True
            raise
        if size > MOST_ANSWER:
            raise Lost("failed", f"its answer has {size:,} bytes, more than {MOST_ANSWER:,}")
        data = await self._process.stdout.readexactly(size)
        return msgspec.json.decode(data, type=dict[str, Any])

    def _how(self) -> str:
        match self._process.returncode:
            case None:
                return "does not listen any more"
            case code if code < 0:
                return f"ended with signal {-code}"
            case code:
                return f"ended with status {code}"

    async def end(self) -> None:
        with anyio.CancelScope(shield=True):
            if self._closed:
                # It ends by itself. To kill it meanwhile would take its status from who waits.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 5)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await gone(self._process)

    async def said(self) -> str:
        """The end of what the process has said, which has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), 1)
        words = " ".join(self._words.decode("utf-8", "replace").split())[-300:]
        return f": {words}" if words else ""

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while part := await stream.read(_LAST_WORDS):
            self._words = (self._words + part)[-_LAST_WORDS:]


@contextlib.asynccontextmanager
async def _ended_unless_well(worker: _Worker) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if not worker.well:
            await worker.end()


async def _started(python: Path) -> _Worker:
    process = await begun(
        *(str(python), "-I", "-X", "utf8", "-c", _MAIN, str(_ROOT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "RUST_BACKTRACE": "0"},
    )
    worker = _Worker(process)
    try:
        async with _ended_unless_well(worker):
            async with asyncio.timeout(START_S):
                await worker.frame()
            worker.well = True
    except (TimeoutError, asyncio.IncompleteReadError):
        raise NotStarted(f"the engine does not start{await worker.said()}") from None
    return worker
