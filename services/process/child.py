"""Child processes that do not outlive whoever started them, however that ends."""

from __future__ import annotations

import os
import sys

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
