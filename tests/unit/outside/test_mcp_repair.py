"""Text that is not quite JSON becomes JSON, in whatever parts it comes; JSON stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outside.mcp_repair import DIGITS, Beyond, repaired, suspect

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def mended(text: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(repaired(text[at : at + size] for at in range(0, len(text), size)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 1000])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'\xef\xbb\xbf{"a":1}', b'{"a":1}'),
        (rb'"cut \ud83d"', rb'"cut \ufffd"'),
        (rb'"\ude00 \ud83d\ud83d\ude00"', rb'"\ufffd \ufffd\ud83d\ude00"'),
        (rb'"\\ud83d \\\ud83d"', rb'"\\ud83d \\\ufffd"'),
        (b"[NaN,-Infinity,Infinity,1e999,-1e999]", b"[null,null,null,null,null]"),
        (rb'{"NaN":"\"NaN 1e999","b":NaN}', rb'{"NaN":"\"NaN 1e999","b":null}'),
        (b'["' + b"9" * 5000 + b'"]', b'["' + b"9" * 5000 + b'"]'),
        (b"[0." + b"1" * 5000 + b"]", b"[0." + b"1" * 5000 + b"]"),
        (b"[1e5,1E-400,12]", b"[1e5,1E-400,12]"),
    ],
)
def test_what_is_no_json_becomes_json(text: bytes, wanted: bytes, size: int) -> None:
    assert mended(text, size) == wanted
    json.loads(mended(text, size), parse_constant=pytest.fail)


@given(JSON, st.booleans(), st.integers(1, 40))
def test_json_stays_as_it_is(value: object, ascii_only: bool, size: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert mended(text, size) == text
    assert not suspect(text)


@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_a_number_that_nobody_reads_is_refused(size: int) -> None:
    with pytest.raises(Beyond, match="digits"):
        mended(b"[1," + b"9" * (DIGITS + 1) + b"]", size)


@pytest.mark.parametrize(
    "text", [rb'"\ud83d"', rb'"a\ude00"', rb'"\ud83d\u0041"', b'"' + b"9" * 400 + b'"']
)
def test_what_may_need_it_is_found(text: bytes) -> None:
    assert suspect(text)
