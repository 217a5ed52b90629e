"""Refresh tokens: one of a family is good, a lost answer is given again, a thief ends it all."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.people.records import SignIn
from services.gateway.people.rotation import AGAIN_S, Again, Over, Reuse, Rotated, refresh

KEEP_S = 7 * 86_400.0
BEGUN = SignIn(user="ann", epoch=0, method="password", created=0.0, expires=KEEP_S, rotated=0.0)


def rotated(sign_in: SignIn, number: int, now: float) -> SignIn:
    found = refresh(sign_in, number, now, KEEP_S)
    assert isinstance(found, Rotated)
    return found.sign_in


def test_the_good_one_is_followed_by_the_next() -> None:
    following = rotated(BEGUN, 0, 100.0)
    assert (following.number, following.rotated, following.expires) == (1, 100.0, 100.0 + KEEP_S)
    assert rotated(following, 1, 200.0).number == 2


def test_a_lost_answer_is_given_again_for_a_minute() -> None:
    following = rotated(BEGUN, 0, 100.0)
    assert refresh(following, 0, 100.0, KEEP_S) == Again(1)
    assert refresh(following, 0, 100.0 + AGAIN_S, KEEP_S) == Again(1)
    assert refresh(following, 0, 100.1 + AGAIN_S, KEEP_S) == Reuse(0)


def test_once_its_successor_was_used_the_one_before_is_reuse() -> None:
    third = rotated(rotated(BEGUN, 0, 100.0), 1, 101.0)
    assert refresh(third, 0, 101.0, KEEP_S) == Reuse(0)
    assert refresh(third, 1, 101.0, KEEP_S) == Again(2)


def test_what_is_over_or_was_never_given_out_is_nothing() -> None:
    assert refresh(BEGUN, 0, KEEP_S, KEEP_S) == Over()
    assert refresh(BEGUN, 1, 1.0, KEEP_S) == Over()
    assert refresh(BEGUN, -1, 1.0, KEEP_S) == Over()


@given(
    st.lists(
        st.tuples(st.integers(-1, 6), st.floats(0, 200, allow_nan=False)), min_size=1, max_size=30
    )
)
def test_never_two_are_good_and_none_older_than_the_last_but_one(
    tries: list[tuple[int, float]],
) -> None:
    sign_in, now = BEGUN, 0.0
    for number, later in tries:
        now += later
        match refresh(sign_in, number, now, KEEP_S):
            case Rotated(following):
                assert number == sign_in.number
                assert following.number == number + 1
                changed = {"number", "rotated", "expires"}
                for name in set(SignIn.__struct_fields__) - changed:
                    assert getattr(following, name) == getattr(sign_in, name)
                sign_in = following
            case Again(given_again):
                assert number == sign_in.number - 1
                assert given_again == sign_in.number
                assert now - sign_in.rotated <= AGAIN_S
            case Reuse():
                assert 0 <= number < sign_in.number
            case Over():
                assert number > sign_in.number or number < 0 or now >= sign_in.expires
    assert refresh(sign_in, sign_in.number, sign_in.expires - 1, KEEP_S) == Rotated(
        msgspec.structs.replace(
            sign_in,
            number=sign_in.number + 1,
            rotated=sign_in.expires - 1,
            expires=sign_in.expires - 1 + KEEP_S,
        )
    )
