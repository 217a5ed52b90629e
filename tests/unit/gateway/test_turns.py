"""Big messages of a publisher wait for their turn, and keep it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.turns import BURST_BYTES, BYTES_S, EARLY_S, Turns
from services.log.jetstream import INTAKE_CONFIG

MIB = 1024 * 1024


@given(st.lists(st.integers(64 * 1024, MIB), max_size=200), st.floats(0, 1e6))
def test_no_publisher_gets_more_than_its_rate(sizes: list[int], start: float) -> None:
    turns, now, taken = Turns(), start, 0
    waiting = list(enumerate(sizes, 1))
    while waiting:
        waits = [(turns.wait_s("a", seq, size, now), seq, size) for seq, size in waiting]
        taken += sum(size for wait, _, size in waits if not wait)
        assert taken <= BURST_BYTES + (now - start + 2 * EARLY_S) * BYTES_S + MIB
        waiting = [(seq, size) for wait, seq, size in waits if wait]
        # None is put off again when it comes at its time: so all of this ends.
        now += min((wait for wait, *_ in waits if wait), default=0)


def test_another_publisher_waits_for_nobody() -> None:
    turns = Turns()
    waits = [turns.wait_s("a", seq, MIB, 0.0) for seq in range(100)]
    assert waits == [max(0.0, ((seq + 1) * MIB - BURST_BYTES) / BYTES_S) for seq in range(100)]
    assert turns.wait_s("b", 100, MIB, 0.0) == 0.0
    assert turns.wait_s("a", 99, MIB, waits[99]) == 0.0, "its turn was promised"
    assert turns.wait_s("a", 101, MIB, 1000.0) == 0.0


def test_the_largest_message_has_its_turn_at_once() -> None:
    assert Turns().wait_s("a", 1, INTAKE_CONFIG["max_msg_size"], 0.0) == 0.0
