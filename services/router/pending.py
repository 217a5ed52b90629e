"""Decisions that are not folded yet, and when something has come of them. Pure."""

from __future__ import annotations

import msgspec

from services.router.state import OpenTask, Phase


class OnItsWay(msgspec.Struct, frozen=True, gc=False):
    """A decision on its way: resolved when the task's attempt, job head or question differ."""

    attempt: int
    head: int
    questions: int
    asks: bool
    """It waits for an answer."""
    user: str
    host: str
    """Empty unless it is a route."""
    foreign: bool
    """The host is one of the user's own."""

    def holds(self, task: OpenTask) -> bool:
        """Whether nothing has come of it so far."""
        return (
            task.attempt == self.attempt
            and task.head == self.head
            and task.questions == self.questions
            and (task.phase is Phase.ASKED) is self.asks
        )


def sent_for(task: OpenTask, host: str, *, foreign: bool) -> OnItsWay:
    """A decision about the task as it is now; `host`: where a route leads, else empty."""
    asks = task.phase is Phase.ASKED
    return OnItsWay(task.attempt, task.head, task.questions, asks, task.user, host, foreign)
