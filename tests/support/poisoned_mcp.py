"""A real MCP server over stdio that one call can kill, silence or spoil for all others.

POISON_FOLDER names a folder: each start and call is one file in it, and `start` leaves a trap.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import uuid
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

FOLDER = "POISON_FOLDER"
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True)
WRITES = ToolAnnotations(read_only_hint=False, idempotent_hint=False)
POISONS = ("die", "hang", "alone", "late", "close", "start", "garbage")
TRAP = Path(os.environ.get(FOLDER, ""), "trap")
OUTPUT = os.dup(1)
server = MCPServer("poisoned", version="1.0.0", log_level="ERROR")


def noted(what: str) -> None:
    """Leave a file that says what happened in which process."""
    Path(os.environ[FOLDER], f"{what}-{os.getpid()}-{uuid.uuid4().hex}").touch()


def close_output() -> None:
    """Close the pipe that answers go through, under every number that it has."""
    output = os.fstat(OUTPUT)
    for number in range(256):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(number), output):
                os.close(number)


async def passed(seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def suffer(how: str) -> None:
    """What a poison does; those that return are answered all the same."""
    match how:
        case "die":
            os.write(2, b"it was too much\n")
            os._exit(3)
        case "hang":
            # In the loop's own thread: the whole server stands still.
            threading.Event().wait()
        case "alone":
            await asyncio.Event().wait()
        case "late":
            dying = threading.Timer(0.02, os._exit, [4])
            dying.daemon = True
            dying.start()
        case "close":
            close_output()
            await asyncio.Event().wait()
        case "start":
            os.close(os.open(TRAP, os.O_CREAT | os.O_WRONLY))
            os._exit(5)
        case "garbage":
            os.write(1, b"\xff\xfe no JSON at all\n{\n" * 50)
            os._exit(6)


@server.tool(annotations=READ_ONLY)
async def read(how: str = "", ms: float = 0.0) -> int:
    """Wait, then do what a poison does; the process that has answered."""
    noted(f"read_{how}")
    await passed(ms / 1000)
    await suffer(how)
    return os.getpid()


@server.tool(annotations=WRITES)
async def write(how: str = "", ms: float = 0.0) -> int:
    """The same, of a tool that must not be called twice."""
    noted(f"write_{how}")
    await passed(ms / 1000)
    await suffer(how)
    return os.getpid()


if __name__ == "__main__":
    noted("started")
    if TRAP.exists():
        TRAP.unlink()
        sys.exit("what the last one left behind is in the way")
    server.run("stdio")
