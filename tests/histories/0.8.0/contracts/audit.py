"""The audit of one task: what was checked, and the routes that a router has recomputed."""

from __future__ import annotations

import msgspec

from contracts.route import Candidate


class Check(msgspec.Struct, frozen=True):
    """One thing the audit looked at; `detail` says what it saw, or what is wrong."""

    name: str
    ok: bool
    detail: str


class RecomputeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.router.recompute`: decide the routes of a task once more, from the log alone."""

    user: str
    """Whose task it is."""
    task: str


class RouteRecomputed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the router's function gives today for the inputs that a route names."""

    seq: int
    """Of the `task.routed`."""
    attempt: int
    host: str = ""
    """Empty: it could not be recomputed."""
    score: float = 0.0
    candidates: tuple[Candidate, ...] = ()
    """Best first."""
    problem: str = ""
    """Not empty: it could not be recomputed, for this reason."""


class RoutesRecomputed(msgspec.Struct, frozen=True):
    """Answer to a `RecomputeRequest`."""

    task: str
    routes: tuple[RouteRecomputed, ...]
    checks: tuple[Check, ...]
    """Whether the log agrees: `routes recomputed`, and `given again` of a result that was."""
    folded: int
    """Facts that were read for it."""
