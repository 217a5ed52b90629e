"""Programs in a niced process of their own: what they cost is theirs, and they end with the block.

The process imports `module`, runs `function(arguments, say)` and prints what it says as JSON lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from services.process.child import bound

ROOT = Path(__file__).resolve().parents[2]
NICE = 19
START_S = 150.0
END_S = 5.0

Say = Callable[..., None]
"""Called with named values; the latest of each is kept on the other side."""


class Aside:
    """The process as those see it who started it."""

    def __init__(self, process: asyncio.subprocess.Process, first: dict[str, Any]) -> None:
        self._process = process
        self.first = first
        """What it said first."""
        self.said = dict(first)
        """The latest of all that it has said, by name."""
        self.news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def until(self, enough: Callable[[dict[str, Any]], bool], seconds: float) -> bool:
        """Wait until what was said is enough, or the process is over; False: it took too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.news:
                await self.news.wait_for(lambda: enough(self.said) or self._reading.done())
        return enough(self.said)

    async def end(self) -> None:
        """Kill it, by its own id."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._process.wait()
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self.news:
                self.said |= json.loads(line)
                self.news.notify_all()


@contextlib.asynccontextmanager
async def running(module: str, function: str, arguments: Mapping[str, Any]) -> AsyncIterator[Aside]:
    """The process; the block begins once it has said something."""
    process = await asyncio.create_subprocess_exec(
        *bound(sys.executable, "-m", __name__, module, function, json.dumps(arguments)),
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "METAMCP_TOKEN"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module}.{function} ended before it said anything")
        one = Aside(process, json.loads(line))
        try:
            yield one
        finally:
            await one.end()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    """Run the function that the arguments name."""
    os.nice(NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    module, function, arguments = sys.argv[1:4]
    program = getattr(import_module(module), function)
    with contextlib.suppress(BrokenPipeError):
        uvloop.run(program(json.loads(arguments), _say))


if __name__ == "__main__":
    main()
