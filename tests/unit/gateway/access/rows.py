"""What a row of the table of routes says: whose a route is, and what it is asked with."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Who(Enum):
    """Whose a route is."""

    PUBLIC = "nobody need say who is asking"
    OWN = "everybody has their own there"
    NAMED = "the thing's owner; to all others it does not exist"
    FREE = "everybody, also under a name that somebody else has"
    HERS = "whoever the id names; all others are told so"
    ADMIN = "the role admin; all others are told so"
    HIDDEN = "the role admin; to all others there is nothing"
    ELSEWHERE = "somebody; tests of their own say what they see"


class Row(NamedTuple):
    """What holds for one route."""

    who: Who
    on: str = ""
    """The thing of Alice's that she asks for."""
    given: Mapping[str, Any] = {}
    """What is sent besides the path."""
    status: int = 200
    """What those are answered who may."""
    audited: Mapping[str, Any] | None = None
    """What an auditor sends to read what is Alice's; None: nobody else reads it."""
    deed: str = ""
    """Of what belongs to projects: what members do by it, as `membership` calls it, or `own`: it is
    for its user alone, whatever the project."""
    more: tuple[Mapping[str, Any], ...] = ()
    """Other ways to ask, which find nothing of others' either."""


def named(on: str, given: dict[str, Any] | None = None, **fields: Any) -> Row:
    return Row(Who.NAMED, on, given or {}, **fields)
