"""What one user may have and do at once or in a time: one table, the same for every service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from contracts.errors import Reason, Rejected

MIB = 1024 * 1024
HOUR_S = 3600.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The budgets of one user. Of what is counted in a time, 0 means no limit."""

    open_tasks: int = 10_000
    """Tasks that are not over."""
    open_bytes: int = 64 * MIB
    """Bytes of what the log says of them: descriptions, and inputs that are not in the store."""
    stored_bytes: int = 5 * 1024 * MIB
    """Bytes in the object store: uploads, big inputs, big results."""
    stored_blobs: int = 50_000
    """How many blobs those are."""
    facts: int = 200_000
    """Tasks, cancellations and preferences an hour."""
    tasks_a_day: int = 1_000_000
    """Tasks in 24 hours."""
    hosts: int = 50
    """Hosts that are registered by command."""
    tokens: int = 100
    """Tokens of the API that are good."""
    sign_ins: int = 50
    """Sessions that are not over."""
    requests: int = 100
    """HTTP requests in a window."""
    frames: int = 60_000
    """Frames on websockets, and messages on NATS, in the same window."""
    websockets: int = 1_000
    """Websockets at one gateway."""
    subscriptions: int = 2_000
    """Subscriptions of all websockets at one gateway: each costs for every fact that it is for."""
    event_streams: int = 100
    """Streams of server-sent events at one gateway."""
    mcp_sessions: int = 100
    """Sessions of `/mcp` at one gateway."""
    history_readers: int = 2
    """Reads of older facts at once, at one gateway."""


DEFAULT = Budget()
QUOTAS: tuple[str, ...] = (
    *("tasks_a_day", "open_tasks", "open_bytes", "stored_bytes", "stored_blobs", "facts"),
    *("hosts", "tokens", "sign_ins"),
    *("subscriptions", "event_streams", "mcp_sessions", "history_readers"),
)
"""Budgets of which a user may have another number than the others."""
MOST_QUOTA = 2**53
"""The greatest number that every reader of JSON understands."""

BudgetOf: TypeAlias = Callable[[str], Budget]
"""Tells the budgets of a user; the one place for exceptions."""


def usual(user: str) -> Budget:
    """The budgets of everybody where nothing else is set."""
    return DEFAULT


def same_for_all(budget: Budget) -> BudgetOf:
    """The budgets where nobody is an exception."""
    return lambda user: budget


def excepted(budget: Budget, limits: Mapping[str, int]) -> Budget:
    """The budget of a user who has these numbers instead; what a newer release knows is passed
    over."""
    known = {name: most for name, most in limits.items() if name in QUOTAS}
    return msgspec.structs.replace(budget, **known) if known else budget


def check_quotas(limits: Mapping[str, int]) -> None:
    """Refuse names that are no quota, and numbers that are none. Raises Rejected(BAD_REQUEST)."""
    for name, most in limits.items():
        if name not in QUOTAS:
            text = f"{name[:64]!r} is no quota of a user: there are {', '.join(QUOTAS)}"
            raise Rejected(Reason.BAD_REQUEST, text)
        if not 0 <= most <= MOST_QUOTA:
            text = f"{name} is a whole number from 0 to {MOST_QUOTA}, not {most}"
            raise Rejected(Reason.BAD_REQUEST, text)


class InUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has used of the budgets."""

    open_tasks: int = 0
    open_bytes: int = 0
    facts: int = 0
    """Of the last hour."""
    tasks_a_day: int = 0
    """Of the last 24 hours."""
    hosts: int | None = None
    """None: not counted here."""
    tokens: int | None = None
    """The same."""
    sign_ins: int | None = None
    """The same."""
    stored_bytes: int | None = None
    """None: the object store does not answer."""
    stored_blobs: int | None = None
    """The same."""
