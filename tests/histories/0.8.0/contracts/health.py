"""How a process of a service says that it is, and what is wrong with it."""

from __future__ import annotations

import msgspec


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with a process that goes on all the same."""

    kind: str
    """`view_unwritable`, `view_damaged`, `clock`, ..."""
    text: str
    """What it is, for whoever looks at the health."""
    hint: str
    """What to do."""


class ServiceHealth(msgspec.Struct, frozen=True):
    """Answer to `cmd.<service>.health`: one process of a service."""

    instance: str
    position: int | None = None
    """Last sequence of the log that it has applied; none: it is still starting."""
    whole: bool = False
    """Whether it applies every fact; else only those that concern it."""
    active: bool | None = None
    """Whether it decides, where only one of a kind does."""
    troubles: tuple[Trouble, ...] = ()
