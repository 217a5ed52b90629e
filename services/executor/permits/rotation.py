"""Which permit key signs, and what to do next so that another one may.

A key is announced in the log first and signs later, so that whoever caches the public keys knows it
by then. Pure: what is in the files, in the log and on its clock comes in; one step comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from services.keys.jwk import Algorithm

DAY_S = 86_400.0


class Key(NamedTuple):
    """A key, as far as a decision needs it."""

    kid: str
    algorithm: Algorithm


class RotationRules(NamedTuple):
    """What the settings want."""

    algorithm: Algorithm
    """Of keys that are made."""
    days: int
    """Age at which a key is replaced; 0: by hand only."""
    overlap_s: float
    """Seconds a key is known before it signs."""
    insist: bool = False
    """Also replace a key whose algorithm is another."""


class Seen(NamedTuple):
    """What one executor sees."""

    signing: Key | None
    """In the file of the key that signs."""
    next: Key | None
    """In the file of the key that will."""
    using: str
    """Id of the key it signs with itself; empty: none yet."""
    announced: Mapping[str, float]
    """Log time of the `log.key` fact of each of these keys that has one."""
    now: float
    """Log time, or a moment before it."""
    blocked: bool = False
    """There is a next key, but its file can't be used."""


# Structs, because tuples of the same values are equal whatever they are called.
class Create(msgspec.Struct, frozen=True):
    """Make a key that signs at once: there is no other, so there is nothing to wait for."""

    algorithm: Algorithm


class Announce(msgspec.Struct, frozen=True):
    """Write the key's public half into the log."""

    kid: str
    replaces: str


class Use(msgspec.Struct, frozen=True):
    """Sign with the key in the file from now on."""

    kid: str


class Make(msgspec.Struct, frozen=True):
    """Make a next key in place of this one."""

    algorithm: Algorithm
    replaced: str


class Promote(msgspec.Struct, frozen=True):
    """Put the next key in the place of the one that signs."""

    kid: str


class NothingDue(msgspec.Struct, frozen=True):
    """There is nothing to do now."""


Step: TypeAlias = Create | Announce | Use | Make | Promote | NothingDue


def decide(seen: Seen, rules: RotationRules) -> Step:
    """Say what to do next; each step is safe to repeat, and to leave to another executor."""
    signing, following = seen.signing, seen.next
    if signing is None:
        # Taken away by hand. Of all others the next key is known best.
        return Create(rules.algorithm) if following is None else Promote(following.kid)
    if signing.kid not in seen.announced:
        # Put there by hand, or made because the file was gone.
        return _announce(signing, seen.using)
    if signing.kid != seen.using:
        return Use(signing.kid)
    if following is not None:
        return _followed(signing, following, seen, rules)
    if not seen.blocked and _due(signing, seen, rules):
        return Make(rules.algorithm, signing.kid)
    return NothingDue()


def _followed(signing: Key, following: Key, seen: Seen, rules: RotationRules) -> Step:
    if following.kid not in seen.announced:
        return _announce(following, signing.kid)
    known_s = seen.now - seen.announced[following.kid]
    return Promote(following.kid) if known_s >= rules.overlap_s else NothingDue()


def _announce(key: Key, replaced: str) -> Announce:
    # A log that was begun anew does not know the key in use: it replaces nothing then.
    return Announce(key.kid, "" if replaced == key.kid else replaced)


def _due(signing: Key, seen: Seen, rules: RotationRules) -> bool:
    if rules.insist and signing.algorithm != rules.algorithm:
        return True
    return rules.days > 0 and seen.now - seen.announced[signing.kid] > rules.days * DAY_S
