"""The command line as its own process, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PIPE = asyncio.subprocess.PIPE
PATIENCE_S = 120.0
"""For a machine on which much else runs."""


class Program:
    """One that runs; what it has said on stderr so far is in `said`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def says(self, pattern: str) -> str:
        """Read stderr until it has this; the answer is its group."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while (found := re.search(pattern, self.said)) is None:
                line = await self.process.stderr.readline()
                assert line, f"it ended: {self.said}"
                self.said += line.decode()
        return found[1]

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; the answer is the exit code and what it printed."""
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate()
        self.said += (err or b"").decode()
        assert self.process.returncode is not None
        return self.process.returncode, (out or b"").decode()


@contextlib.asynccontextmanager
async def program(*arguments: str, **options: Any) -> AsyncIterator[Program]:
    """Start `metamcp`; it is ended when nobody needs it any more."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        **{"stdin": asyncio.subprocess.DEVNULL, "stdout": PIPE, "stderr": PIPE} | options,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # What runs in the background of a shell has Ctrl-C ignored, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
