"""What a fact says to people, cut to its size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.message import MESSAGE_BYTES, bounded


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(0, 9000))
def test_a_message_keeps_its_beginning_and_its_end_within_its_size(end: str, filler: int) -> None:
    text = "FAILED" + "é" * filler + end
    cut = bounded(text)
    assert len(cut.encode()) <= MESSAGE_BYTES
    assert cut.startswith("FAILED")
    assert cut.endswith(end)
    assert cut == text or (len(text.encode()) > MESSAGE_BYTES and " … " in cut)
    assert bounded(cut) == cut


def test_what_is_no_text_is_cut_too() -> None:
    assert bounded("\ud83d") == "?"


def test_a_message_that_utf8_cannot_carry_is_still_recorded() -> None:
    assert bounded("a\ud800b") == "a?b"
