"""After the log was put back from a backup, no route is taken before a router leads again.

Routes that the backup has may be of tasks that had ended since: that is for the operator to decide,
and routers wait for it (`services/router/restored.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.process import telemetry
from services.process.files import private_folder, write_private
from services.store.stream import StoreError

FOLDER = "restored"
LOOK_S = 0.5

log = telemetry.get_logger()


class Gate:
    """Shut by the news that the log is another one, over restarts; open when a router leads."""

    def __init__(self, path: Path, leader: Callable[[], Awaitable[str | None]]) -> None:
        """`leader` says which router leads. Raises StoreError."""
        self._path = path
        self._leader = leader

    def shut(self) -> None:
        """The log is another one than before. Raises OSError."""
        private_folder(self._path.parent)
        write_private(self._path, b"")

    async def opened(self) -> None:
        """Return once routes may be taken."""
        told = ""
        while self._path.exists():
            try:
                if await self._leader() is not None:
                    self._path.unlink(missing_ok=True)
                    return
                why = "no router leads since the log was put back"
            except StoreError as error:
                why = str(error)
            if why != told:
                log.warning("routes_wait", why=why)
                told = why
            await asyncio.sleep(LOOK_S)
