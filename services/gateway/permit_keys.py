"""The public keys of permits in the gateway's tables, and for how long each is served."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from contracts import facts
from contracts.facts import Record
from services.log.projection import Change, Projection, reads

_INSERT_KEY = "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, NULL, 0)"
_REPLACE_KEY = "UPDATE keys SET replaced_at = ? WHERE kid = ?"
_USE_KEY = "UPDATE keys SET expires = max(expires, ?) WHERE kid = ?"
KEPT_S = 8 * 86_400.0
"""How long a replaced key is served at least: an attempt may take 7 days."""
LATE_S = 3600.0
"""How long a replaced key is served after the last permit signed with it has expired."""
_HEAD = 1024
"""Characters that a permit's first part may have."""


MOST_LISTED = 200
"""Keys of one list: those that were announced last."""


class PermitKey(msgspec.Struct, frozen=True):
    """A key that permits are or were signed with."""

    kid: str
    algorithm: str
    replaced: float | None
    """When another key was announced in its place, in log time; none: none was."""
    needed: float
    """When the last permit that it has signed expires; 0: none was."""


class KeyRows:
    """What one batch says about keys; changes keep their order, because permits follow keys."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._used: dict[str, float] = {}

    def signed(self, fact: facts.JobSigned) -> None:
        """A permit was signed: its key is needed until it expires."""
        head = fact.permit[:_HEAD].partition(".")[0]
        self._used[head] = max(self._used.get(head, 0.0), fact.expires)

    def announced(self, record: Record, fact: facts.LogKey) -> None:
        """A key is known from now on."""
        self._flush()
        jwk = msgspec.json.encode(fact.jwk).decode()
        self._changes.append(Change(_INSERT_KEY, [(fact.kid, record.seq, jwk)]))
        if fact.replaces:
            self._changes.append(Change(_REPLACE_KEY, [(record.at, fact.replaces)]))

    def changes(self) -> list[Change]:
        """All of them."""
        self._flush()
        return self._changes

    def _flush(self) -> None:
        rows = [(expires, kid) for head, expires in self._used.items() if (kid := _kid(head))]
        if rows:
            self._changes.append(Change(_USE_KEY, rows))
        self._used = {}


@lru_cache(maxsize=64)
def _kid(head: str) -> str:
    """The key id in the first part of a permit; empty if there is none."""
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(head + "=="), type=dict[str, Any])
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return ""
    return str(found.get("kid", ""))


@reads
async def jwks(projection: Projection) -> list[dict[str, Any]]:
    """Return the public keys that a living permit may be signed with, newest first.

    Keys that sign, keys that will, and replaced keys until no permit of theirs can be alive; of
    executors with data folders of their own, the keys of each.
    """
    rows: Sequence[tuple[str]] = await projection.query(
        "SELECT jwk FROM keys WHERE replaced_at IS NULL"
        " OR max(replaced_at + ?, expires + ?) > (SELECT at FROM clock) ORDER BY seq DESC",
        (KEPT_S, LATE_S),
    )
    return [msgspec.json.decode(row[0]) for row in rows]


@reads
async def listed(projection: Projection) -> list[PermitKey]:
    """Return the newest keys, also those that are served no more."""
    rows: Sequence[tuple[str, str, float | None, float]] = await projection.query(
        "SELECT kid, jwk, replaced_at, expires FROM keys ORDER BY seq DESC LIMIT ?", (MOST_LISTED,)
    )
    return [
        PermitKey(kid, str(msgspec.json.decode(jwk).get("alg", "")), replaced, needed)
        for kid, jwk, replaced, needed in rows
    ]
