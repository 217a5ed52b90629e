"""What a call's `_meta` asks of us: how long to wait, and what to do when nobody waits any more.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from contracts.errors import Reason, Rejected
from contracts.host import OnLeave

TASK_KEY = "io.metamcp/task"
"""The caller's own task id. The same call again is the same task."""
ON_LEAVE_KEY = "io.metamcp/on_leave"
PATIENCE_KEY = "io.metamcp/patience_s"
MOST_PATIENCE_S = 3600.0
"""The longest that a client may have a call wait for its end."""


class CallWishes(NamedTuple):
    """What the caller wants besides the answer."""

    task: str | None = None
    on_leave: OnLeave | None = None
    """None: as the host says."""
    patience_s: float = 0.0


def wishes(meta: Mapping[str, Any] | None, usual_s: float) -> CallWishes:
    """Read them. Raises Rejected."""
    given = meta or {}
    task, on_leave = given.get(TASK_KEY), given.get(ON_LEAVE_KEY)
    if on_leave not in (None, "keep", "cancel"):
        raise Rejected(Reason.BAD_REQUEST, f"{ON_LEAVE_KEY} is `keep` or `cancel`")
    patience_s = given.get(PATIENCE_KEY, usual_s)
    if isinstance(patience_s, bool) or not isinstance(patience_s, int | float):
        raise Rejected(Reason.BAD_REQUEST, f"{PATIENCE_KEY} is a number of seconds")
    return CallWishes(
        task if isinstance(task, str) else None,
        cast("OnLeave | None", on_leave),
        float(max(0.0, min(patience_s, MOST_PATIENCE_S))),
    )
