"""Which refresh token of a sign-in is good: a pure decision over what is stored.

Only one of a family is good. Who lost the answer and asks again with the one before gets the same
successor, for a while; whatever is older has been stolen, or its owner has.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from services.gateway.people.records import SignIn

AGAIN_S = 60.0
"""How long the one before gives the good one again."""


class Rotated(NamedTuple):
    """The good one was shown: this is to be stored, if nobody was quicker."""

    sign_in: SignIn


class Again(NamedTuple):
    """The one before was shown, soon enough: its successor is given once more."""

    number: int


class Reuse(NamedTuple):
    """An older one was shown: the whole family ends."""

    number: int


class Over(NamedTuple):
    """The sign-in is over, or that number was never given out."""


Rotation: TypeAlias = Rotated | Again | Reuse | Over


def refresh(sign_in: SignIn, number: int, now: float, keep_s: float) -> Rotation:
    """Decide about the `number`-th refresh token; the next one is good for `keep_s`."""
    if sign_in.expires <= now or number > sign_in.number or number < 0:
        return Over()
    if number == sign_in.number:
        following = msgspec.structs.replace(
            sign_in, number=number + 1, rotated=now, expires=now + keep_s
        )
        return Rotated(following)
    # A clock that was set back makes nobody a thief, and gives nobody longer than the while.
    if number == sign_in.number - 1 and abs(now - sign_in.rotated) <= AGAIN_S:
        return Again(sign_in.number)
    return Reuse(number)
