"""From templates and inputs to tool arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.attempt import grammar
from services.executor.attempt.grammar import GrammarError, Scope

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


def scope(input: Any = None, **steps: Any) -> Scope:
    return Scope(input or {}, "t1", 2, lambda: "the/workspace", steps)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("$input", {"a": {"b": [1, {"c": None}]}, "n": 3, "s": "x"}),
        ("$input.n", 3),
        ("$input.a.b.0", 1),
        ("$input.a.b.1.c", None),
        ("$task", "t1"),
        ("$attempt", 2),
        ("$workspace", "the/workspace"),
        ("$step.first.rows.1", "two"),
        ("$step.first", {"rows": ["one", "two"]}),
        ("$input.missing|7", 7),
        ('$input.missing|"x|y"', "x|y"),
        ("$input.missing|null", None),
        ("$input.n|7", 3),
        ("${workspace}/src/${input.s}.py", "the/workspace/src/x.py"),
        ("${input.n}", "3"),
        ("n=${input.n}, a=${input.a.b}", 'n=3, a=[1, {"c": null}]'),
        ("-${input.missing?}-", "--"),
        ('-${input.missing|"d"}-', "-d-"),
        ("costs $5", "costs $5"),
        ("$5", "$5"),
        ("$$input.n", "$input.n"),
        ("a$$b", "a$b"),
        ("$${input.n}", "${input.n}"),
        ("", ""),
        (12, 12),
        ({"a": "$input.n", "b": ["$input.s", True]}, {"a": 3, "b": ["x", True]}),
        ({"a": "$input.missing?", "b": ["$input.missing?", 1]}, {"b": [1]}),
    ],
)
def test_references_are_replaced(template: Any, value: Any) -> None:
    data = {"a": {"b": [1, {"c": None}]}, "n": 3, "s": "x"}
    assert grammar.resolve(template, scope(data, first={"rows": ["one", "two"]})) == value


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("$input.nothing", "has no `nothing`"),
        ("$input.a.b", "has no `a.b`"),
        ("$step.unknown.x", "has no `unknown.x`"),
        ("$step", "name the output"),
        ("$inputs.a", "no reference"),
        ("$task.id", "has no parts"),
        ("$input.a|text", "not JSON"),
        ("${input.a", "not closed"),
        ("x ${other}", "no reference"),
        ("$input.a b", "no reference"),
    ],
)
def test_what_is_wrong_is_said(template: str, words: str) -> None:
    with pytest.raises(GrammarError, match=words):
        grammar.resolve({"argument": [template]}, scope({"a": 1}))


def test_the_workspace_is_asked_for_only_when_it_is_named() -> None:
    def never() -> str:
        raise AssertionError("asked for")

    bare = Scope({"a": "$workspace"}, "t1", 1, never, {})
    assert grammar.resolve({"x": "$input.a", "y": "$$workspace"}, bare) == {
        "x": "$workspace",
        "y": "$workspace",
    }


def test_the_roots_of_a_template_can_be_listed() -> None:
    template = {"a": ["$input.x?", "${workspace}/y"], "b": "$step.one.z", "c": "$$task"}
    assert grammar.check(template) == {"input", "workspace", "step.one"}
    with pytest.raises(GrammarError):
        grammar.check(["$nothing"])


@given(JSON)
def test_an_escaped_value_resolves_to_itself(value: Any) -> None:
    assert grammar.resolve(grammar.escape(value), scope()) == value


@given(JSON)
def test_input_is_never_read_as_a_template(value: Any) -> None:
    resolved = grammar.resolve({"x": "$input.value"}, scope({"value": value}))
    assert resolved == {"x": value}


@given(st.dictionaries(NAMES, JSON, min_size=1), st.data())
def test_every_member_of_the_input_can_be_named(data: dict[str, Any], pick: st.DataObject) -> None:
    name = pick.draw(st.sampled_from(sorted(data)))
    assert grammar.resolve(f"$input.{name}", scope(data)) == data[name]


@given(JSON)
def test_any_template_resolves_or_is_refused_with_words(template: Any) -> None:
    refusal = "none"
    try:
        grammar.resolve(template, scope({"a": 1}))
    except GrammarError as error:
        refusal = str(error)
    assert refusal
