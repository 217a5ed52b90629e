"""A log that was put back from a backup: what had ended, or begun, and would run again.

The router stands by until the operator has decided: `cmd.router.restored`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class AfterRestore(StrEnum):
    """What the operator wants done with such tasks."""

    GO_ON = "go_on"
    """Run them again."""
    END = "end"
    """End them as failed, `outcome_unknown`."""


class KnownBefore(StrEnum):
    """What was known of an open task before the log was put back."""

    ENDED = "ended"
    BEGUN = "begun"
    """A later attempt than the log has now was claimed: its host may have been called."""


class RestoredTask(msgspec.Struct, frozen=True):
    """A task that is open again."""

    user: str
    task: str
    type: str
    seq: int
    """Of its `task.created`."""
    created_at: float
    known: KnownBefore


class RestoredRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.router.restored`: what stands to be decided, and the decision, if there is one."""

    decision: AfterRestore | None = None


class Restored(msgspec.Struct, frozen=True):
    """Answer of a router to a `RestoredRequest`."""

    waits: bool = False
    """The router stands by until the operator has decided."""
    ended: int = 0
    """Tasks that had ended and are open again."""
    begun: int = 0
    """Open tasks of which a later attempt had been claimed."""
    tasks: tuple[RestoredTask, ...] = ()
    """The oldest of both."""
