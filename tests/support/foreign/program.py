"""Programs of others, run to their end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

LIMIT_S = 200.0


class Ended(msgspec.Struct):
    """How one ended, and what it printed."""

    status: int
    out: str
    err: str

    def text(self) -> str:
        """What it printed; it has ended well."""
        assert self.status == 0, self.err or self.out
        return self.out

    def json(self) -> Any:
        """The same, as JSON."""
        return json.loads(self.text())


async def run(
    *command: str | Path, cwd: Path | None = None, limit_s: float = LIMIT_S, **environment: str
) -> Ended:
    """Run one with no variables but these; it is killed at its limit."""
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            out, err = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            # Also what it said: else its pipes are open longer than the loop.
            await running.communicate()
    assert running.returncode is not None
    return Ended(running.returncode, out.decode(), err.decode())
