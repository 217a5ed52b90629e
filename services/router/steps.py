"""What the router may owe a task. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from contracts.facts import Failure, Outcome


class End(msgspec.Struct, frozen=True, gc=False):
    """The task is over; the router writes its `job.done`."""

    outcome: Outcome
    error: Failure | None = None


class Lose(msgspec.Struct, frozen=True, gc=False):
    """The attempt is lost; the router writes its `job.failed`."""

    message: str


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Nothing to do before `until`, unless a fact comes."""

    until: float


class NeedsHost(msgspec.Struct, frozen=True, gc=False):
    """It wants a host now, and looks again at `until`."""

    until: float
    spare_until: float
    """Before this, no host that looked sick gets it again."""


Step: TypeAlias = End | Lose | Wait | NeedsHost
