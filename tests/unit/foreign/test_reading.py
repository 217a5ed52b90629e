"""Bytes of files: encodings, comments, trailing commas."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.foreign.reading import UnreadableFile, decoded, parsed, variables

TEXT = '{"a": ["é", "b"]}'


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_every_encoding_of_editors(data: bytes) -> None:
    assert parsed(data, ".json") == {"a": ["é", "b"]}


COMMENTED = r"""
// first
{ /* a */ "a": "b // c /* d */ , }", // e "f",
  "g\"//": [1, 2, /* , */ ],  # no
}
"""


def test_comments_and_trailing_commas() -> None:
    assert parsed(COMMENTED.replace("# no", "").encode(), ".json") == {
        "a": "b // c /* d */ , }",
        'g"//': [1, 2],
    }
    with pytest.raises(UnreadableFile):
        parsed(COMMENTED.encode(), ".json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab/*,]}"\\ \n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a/",', max_size=3), inner),
    max_leaves=8,
)


@given(JSON)
def test_whatever_stands_in_texts_stays(value: Any) -> None:
    text = json.dumps(value, indent=1).replace("\n]", ",\n]").replace("[,", "[")
    lines = "/* [, */ " + text.replace("\n", " // ],}\n", 1)
    assert parsed(lines.encode(), ".json") == value


@pytest.mark.parametrize(
    ("data", "suffix"),
    [(b"\xff\xfe\x00", ".json"), (b"\xe9", ".json"), (b"a = ", ".toml"), (b"a: [", ".yaml")],
)
def test_what_can_not_be_read(data: bytes, suffix: str) -> None:
    with pytest.raises(UnreadableFile):
        parsed(data, suffix)


def test_lines_of_variables() -> None:
    text = "\n# x\nA=b\nexport C = 'd e'\nE=\"f\\ng\" # h\nI=j#k\nL=\n"
    assert variables(text) == {"A": "b", "C": "d e", "E": "f\ng", "I": "j#k", "L": ""}
    with pytest.raises(UnreadableFile, match="line 2"):
        variables("A=b\nwhat\n")
    assert decoded(b"") == ""
