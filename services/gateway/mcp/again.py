"""The same call again is the same task, while it runs and until somebody was given its outcome.

Clients that time out call again. Remembered in this gateway only: after its restart, or at another
one, the call is a new task, as it is without this; a call that names its task has no such limit.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from contracts.host import Host
from contracts.replay import replayable
from contracts.result import sha256_hex
from contracts.status import TaskView
from contracts.task import MCP_CALL, canonical
from services.gateway.access.identity import Principal

UNSEEN_S = 600.0
"""How long after its end a task whose outcome nobody was given is what the same call means."""
MOST_USERS = 256
MOST_CALLS = 256
"""Calls of one user that are remembered; the oldest are forgotten."""


class KnownCall(msgspec.Struct, eq=False):
    """A call, and its task."""

    user: str
    task: str
    key: str = ""
    """Empty: another call is another task, however much it is the same."""
    waiting: int = 0
    """How many wait for its end."""


class RepeatedCalls:
    """The calls that may be asked for again; one per gateway."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, OrderedDict[str, KnownCall]] = OrderedDict()

    def find(self, user: str, key: str, task: str) -> KnownCall:
        """The call that this one is the same as, or this one with a new task."""
        calls = self._users.setdefault(user, OrderedDict())
        self._users.move_to_end(user)
        known = calls.setdefault(key, KnownCall(user, task, key))
        calls.move_to_end(key)
        if len(calls) > MOST_CALLS:
            calls.popitem(last=False)
        if len(self._users) > MOST_USERS:
            self._users.popitem(last=False)
        return known

    def forget(self, known: KnownCall) -> None:
        """The next call is a new one."""
        calls = self._users.get(known.user)
        if calls is not None and calls.get(known.key) is known:
            del calls[known.key]

    def seen(self, user: str, task: str) -> None:
        """Somebody was given the task's outcome."""
        calls = self._users.get(user) or OrderedDict[str, KnownCall]()
        for known in [one for one in calls.values() if one.task == task]:
            self.forget(known)


def key_of(
    who: Principal,
    host: Host,
    tool: str,
    given: dict[str, Any],
    on_leave: str,
    *,
    approve: bool = False,
) -> str:
    """What calls have in common that are the same; empty: making this one twice may do harm.

    `on_leave`: what the call itself says; `approve`: a person has to allow it. By these and the
    rest their tasks have the same content.
    """
    if not replayable(host, MCP_CALL, tool):
        return ""
    return sha256_hex(canonical([who.asked_by, host.id, tool, given, on_leave, approve]))


def stands(view: TaskView, now: float) -> bool:
    """Whether the same call again still means this task."""
    if view.cancel_requested:
        return False
    return not view.over or now - (view.done_at or 0.0) <= UNSEEN_S
