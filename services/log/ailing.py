"""What a process says of its view while something is wrong with it, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime

from services.log.damage import ViewError
from services.process.troubles import ProcessTroubles

LOCKED, UNWRITABLE, DAMAGED = "view_locked", "view_unwritable", "view_damaged"
UNLOCK = "End the program that has the file open (a backup, sqlite3): then all goes on by itself."
MAKE_ROOM = (
    "Make room on the disk of the data folder, or let it be written again: then all goes on by"
    " itself. Nothing that was accepted is lost."
)
CHECK_DISK = (
    "Check the disk, or choose another data folder. To have it built anew at once, delete the"
    " file in `views` whose name ends with `.damaged`."
)


class ViewTroubles:
    """The troubles of one view, among those of its process."""

    def __init__(self, troubles: ProcessTroubles | None = None) -> None:
        self._troubles = troubles or ProcessTroubles()

    def suffers(self, error: ViewError) -> None:
        """It can't be used now."""
        if error.locked:
            text = "another program has locked its view: rows wait, lists may not be answered"
            self._troubles.over(UNWRITABLE)
            self._troubles.tell(LOCKED, text, UNLOCK)
        else:
            text = f"its view can't be written ({error.why}): rows wait, lists may not be answered"
            self._troubles.over(LOCKED)
            self._troubles.tell(UNWRITABLE, text, MAKE_ROOM)

    def usable(self) -> None:
        """It can be used again."""
        for kind in (LOCKED, UNWRITABLE):
            self._troubles.over(kind)

    def waits(self, why: str, at: float) -> None:
        """It is damaged again, and is left so until this time, in seconds since 1970."""
        when = f"{datetime.fromtimestamp(at, UTC):%H:%M} UTC"
        text = f"its view is damaged again ({why}): it is built anew at {when}"
        self._troubles.tell(DAMAGED, text, CHECK_DISK)

    def rebuilt(self) -> None:
        """It was damaged, and is being filled from the log."""
        self._troubles.tell(DAMAGED, "its view was damaged and is built anew", CHECK_DISK)

    def whole(self) -> None:
        """It has all that the log has."""
        self._troubles.over(DAMAGED)
