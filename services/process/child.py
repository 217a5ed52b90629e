"""Child processes that do not outlive whoever started them, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio

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
low = 3
for kept in sorted(map(int, filter(None, sys.argv[2].split(",")))):
    os.closerange(low, kept)
    low = kept + 1
os.closerange(low, os.sysconf("SC_OPEN_MAX"))
os.execv(sys.argv[3], sys.argv[3:])
"""


def bound(program: str, *arguments: str, keep: Sequence[int] = ()) -> tuple[str, ...]:
    """The command that runs `program`, a full path, for as long as the thread that starts it.

    It has its standard streams and the descriptors `keep`, whatever else of ours is inheritable:
    uvloop does not close that.
    """
    start = (sys.executable, "-I", "-S", "-c", _WRAPPER, str(os.getpid()))
    return (*start, ",".join(map(str, keep)), program, *arguments)


def follow(parent: int) -> None:
    """End this process, which `parent` has forked, with its parent, whatever it is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


async def begun(*command: str, **options: Any) -> Process:
    """Start a child as `asyncio.create_subprocess_exec` does. Raises OSError.

    Cancelled meanwhile, that would kill the child alone, and wait for all that has its pipes. Here
    everything ends which has started.
    """
    starting = asyncio.create_task(asyncio.create_subprocess_exec(*command, **options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            process = await starting
            async with ended(process, group=options.get("start_new_session", False)):
                pass
        raise


@contextlib.asynccontextmanager
async def ended(process: Process, *, group: bool = False) -> AsyncIterator[None]:
    """However the block is left: the child is ended; `group`: with all that it leads."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        with anyio.CancelScope(shield=True):
            await gone(process)


async def gone(process: Process) -> None:
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
