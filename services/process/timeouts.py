"""`asyncio.timeout` for what must also work while its task is being cancelled: ends and clean-ups.

Before Python 3.11.3 a cancellation from before hides its own end, and the code after it never runs.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

if sys.version_info >= (3, 11, 3):
    timeout = asyncio.timeout
else:

    class _Timeout(asyncio.Timeout):  # type: ignore[misc]
        """Compares the cancellations with those that there were before."""

        async def __aenter__(self) -> asyncio.Timeout:
            task = asyncio.current_task()
            self._before = task.cancelling() if task else 0
            return await super().__aenter__()

        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None:
            expired = self.expired()
            await super().__aexit__(kind, error, trace)
            task = asyncio.current_task()
            own = task is not None and task.cancelling() <= self._before
            if expired and kind is asyncio.CancelledError and own:
                raise TimeoutError

    def timeout(delay: float | None) -> asyncio.Timeout:
        """Raise TimeoutError after so many seconds."""
        now = asyncio.get_running_loop().time()
        return _Timeout(None if delay is None else now + delay)
