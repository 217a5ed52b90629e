"""Child processes that do not outlive whoever started them, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from services.process.timeouts import timeout

GONE_S = 5.0
"""How long a child that was killed may be waited for: what it started may hold its pipes."""

# The child asks the kernel to end it with its parent, then becomes the program. A wrapper and not
# `preexec_fn`, which can deadlock in a process that has threads.
_WRAPPER = """
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("whoever started this program is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def bound(program: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs `program`, a full path, for as long as the thread that starts it."""
    return (sys.executable, "-I", "-S", "-c", _WRAPPER, str(os.getpid()), program, *arguments)


def alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


async def gone(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a child that was killed or ends, and pass over what it still says.

    Its pipes must be read to their end: asyncio takes a process for running while one is not.
    """
    streams = [one for one in (process.stdout, process.stderr) if one is not None]
    with contextlib.suppress(TimeoutError):
        async with timeout(GONE_S):
            await asyncio.gather(*map(_passed_over, streams))
            await process.wait()


async def _passed_over(stream: asyncio.StreamReader) -> None:
    # Somebody else may read it.
    with contextlib.suppress(RuntimeError):
        while await stream.read(1 << 18):
            pass
