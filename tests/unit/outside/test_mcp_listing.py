"""Lists in which one tool is not as it should be."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from services.outside.mcp_listing import sift

GOOD = {"name": "echo", "inputSchema": {"type": "object"}}
BAD: list[Any] = [
    {"name": "no_schema", "inputSchema": None},
    {"name": "a_list", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
    {"name": 7, "inputSchema": {"type": "object"}},
    {"inputSchema": {"type": "object"}},
    "no object",
    None,
]


@hypothesis.given(st.lists(st.sampled_from([GOOD, GOOD | {"name": "add"}, *BAD]), max_size=12))
def test_the_good_tools_stay_in_their_order(tools: list[Any]) -> None:
    raw, left_out = {"tools": list(tools), "nextCursor": "2"}, dict[str, str]()
    sift(raw, "2025-06-18", left_out)
    good = [tool for tool in tools if tool not in BAD]
    assert raw == {"tools": good, "nextCursor": "2"}
    assert bool(left_out) == (len(good) < len(tools))


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_what_is_left_out_is_named_with_the_reason(version: str) -> None:
    left_out: dict[str, str] = {}
    sift({"tools": [GOOD, *BAD[:2]]}, version, left_out)
    assert list(left_out) == ["no_schema", "a_list"]
    assert left_out["no_schema"].startswith("inputSchema: ")


@pytest.mark.parametrize("raw", [{}, {"tools": None}, {"tools": [GOOD], "nextCursor": 7}])
def test_what_is_no_list_is_left_to_whoever_reads_it(raw: dict[str, Any]) -> None:
    before, left_out = dict(raw), dict[str, str]()
    sift(raw, "2025-06-18", left_out)
    assert (raw, left_out) == (before, {})
