"""Nesting is measured without recursion, whatever stands in the strings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nesting import MAX_DEPTH, too_deep

values = st.recursive(
    st.none() | st.integers() | st.text('ab"\\[]{}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"['), inner, max_size=3),
    max_leaves=40,
)


def depth(value: Any) -> int:
    """The plain definition."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((depth(item) for item in inner), default=0)


@given(values, st.integers(0, 8))
def test_it_agrees_with_the_definition(value: Any, limit: int) -> None:
    assert too_deep(json.dumps(value).encode(), limit) == (depth(value) > limit)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_limit_is_exact(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 5000):
        text = opening * levels + "1" + closing * levels
        assert too_deep(text.encode()) == (levels > MAX_DEPTH)


@pytest.mark.parametrize("text", ["", "]" * 9, "{[}]" * 99])
def test_what_is_no_json_breaks_nothing(text: str) -> None:
    assert not too_deep(text.encode())
