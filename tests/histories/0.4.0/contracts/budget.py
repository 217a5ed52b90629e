"""What one user may have and do at once or in a time: one table, the same for every service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

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
HOSTS = 50
"""Hosts that a user may register. The registry counts them, where they are its to refuse."""

BudgetOf: TypeAlias = Callable[[str], Budget]
"""Tells the budgets of a user; the one place for exceptions."""


def usual(user: str) -> Budget:
    """The budgets of everybody where nothing else is set."""
    return DEFAULT


def same_for_all(budget: Budget) -> BudgetOf:
    """The budgets where nobody is an exception."""
    return lambda user: budget


class InUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has used of the budgets."""

    open_tasks: int = 0
    open_bytes: int = 0
    facts: int = 0
    """Of the last hour."""
    stored_bytes: int | None = None
    """None: the object store does not answer."""
    stored_blobs: int | None = None
    """The same."""
