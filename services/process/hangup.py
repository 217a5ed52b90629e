"""A terminal that is closed stops a process as SIGTERM does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable


def on_hangup(stop: Callable[[], object]) -> None:
    """Call `stop` on SIGHUP, in the running loop; whoever started this to outlive it (`nohup`) is
    obeyed. What is said from then on goes nowhere: writing to a terminal that is gone fails."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    # A terminal that is gone does not look like one.
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]

    def hung_up() -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in terminals:
            with contextlib.suppress(OSError):
                os.dup2(nowhere, number)
        os.close(nowhere)
        stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
