"""Patterns of names, in which `*` stands for anything."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Host, Stdio, Tool
from services.gateway.mcp.selection import NOTHING, ToolChoice, fits_any

FEW = st.text("ab_", max_size=8)


@given(FEW, st.text("ab_*", max_size=8))
def test_a_pattern_is_what_it_is_in_a_shell(name: str, pattern: str) -> None:
    assert fits_any(name, (pattern,)) == fnmatchcase(name, pattern)


def test_no_pattern_takes_long() -> None:
    assert not fits_any("a" * 128, (f"{'*a' * 79}*b",))


def test_what_is_left_of_a_host() -> None:
    host = Host(
        id="git", name="git", endpoint=Stdio("x"), tools=tuple(map(Tool, ("log", "add", "lag")))
    )
    chosen = ToolChoice(only={"g*": ("l*",), "git": ("add",)}, without={"*": ("lag",)})
    (left,) = chosen.narrowed([host])
    assert [tool.name for tool in left.tools] == ["log", "add"]
    assert ToolChoice(only={"x": ("y",)}).narrowed([host]) == [host]
    assert NOTHING.narrowed([host]) == []
