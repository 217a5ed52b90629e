"""What plays with a terminal is shown as an escape, in prose and in JSON."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from services.process.visible import visible, visible_json

ESCAPES = "\x1b[2J \x9b2J \x07 \u202e \u2066 \u200b \ufeff \x85 \u2028 \x7f \U000e0041"


def seen(text: str) -> bool:
    """Nothing in it moves a cursor, hides or turns what is around it."""
    return all(
        mark == "\t" or unicodedata.category(mark) not in ("Cc", "Zl", "Zp") for mark in text
    ) and not any(unicodedata.bidirectional(mark) in BIDI for mark in text)


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"}


def test_each_of_them_is_shown_by_its_number() -> None:
    assert visible("a\x1b\x9b\u202eb\tc") == "a\\x1b\\x9b\\u202eb\tc"
    assert seen(visible(ESCAPES))


@given(st.text())
def test_no_text_keeps_what_plays_with_a_terminal(text: str) -> None:
    assert seen(visible(text))
    assert visible(visible(text)) == visible(text)


@given(st.text().filter(lambda text: not any("\ud800" <= mark <= "\udfff" for mark in text)))
def test_json_says_the_same_as_before(text: str) -> None:
    told = visible_json(json.dumps({"said": text}, ensure_ascii=False))
    assert json.loads(told) == {"said": text}
    assert seen(told)
