"""May a call be made again, and who serves what: judged once, for everybody who asks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import FailureKind
from contracts.host import Execute, Host, Noop, Step, TaskBinding, Tool
from contracts.replay import UNKNOWN_OUTCOME, outcome_unknown, repeatable, replayable
from contracts.task import MCP_CALL, serves

LOOK, SET, ADD = Tool("look", read_only=True), Tool("set", idempotent=True), Tool("add")
TOOLS = (LOOK, SET, ADD)
TYPES = {
    "look": TaskBinding((Step("look"), Step("set"))),
    "mixed": TaskBinding((Step("look"), Step("add"))),
    "unlisted": TaskBinding((Step("nobody knows"),)),
    "said": TaskBinding((Step("add"),), replayable=True),
    "unsafe": TaskBinding((Step("look"),), replayable=False),
    "bare": TaskBinding(),
}


def host(**fields: Any) -> Host:
    return Host(**{"id": "a", "name": "a", "endpoint": Noop(), "task_types": TYPES} | fields)


@pytest.mark.parametrize(
    ("fields", "type_", "harmless"),
    [
        ({"replay": "always"}, "work", True),
        ({"replay": "always"}, "bare", True),
        ({"replay": "always"}, "mixed", True),
        ({"replay": "always"}, "unsafe", False),
        ({"replay": "never", "tools": TOOLS}, "look", False),
        ({"replay": "never"}, "said", False),
        ({"tools": TOOLS}, "bare", False),
        ({"tools": TOOLS}, "look", True),
        ({"tools": TOOLS}, "mixed", False),
        ({"tools": TOOLS}, "unlisted", False),
        ({"tools": TOOLS}, "said", True),
        ({"tools": TOOLS}, "unsafe", False),
        ({"tools": TOOLS}, "mcp.call", False),
        ({"tools": TOOLS[:2]}, "mcp.call", True),
        ({"tools": TOOLS, "callable_tools": ("look", "set")}, "mcp.call", True),
        ({"tools": TOOLS, "callable_tools": ()}, "mcp.call", False),
        ({}, "mcp.call", False),
        ({}, "look", False),
        ({}, "unknown", False),
    ],
)
def test_a_host_says_which_work_may_be_repeated(
    fields: dict[str, Any], type_: str, harmless: bool
) -> None:
    assert replayable(host(**fields), type_) is harmless


@pytest.mark.parametrize(
    ("tool", "harmless"), [("look", True), ("set", True), ("add", False), ("unlisted", False)]
)
def test_of_a_direct_call_only_its_tool_counts(tool: str, harmless: bool) -> None:
    assert replayable(host(tools=TOOLS), MCP_CALL, tool) is harmless
    assert replayable(host(tools=TOOLS, replay="always"), MCP_CALL, tool)


@given(st.lists(st.sampled_from(TOOLS)), st.sampled_from(["hints", "always", "never"]))
def test_what_may_be_repeated_with_any_tool_may_be_with_each(
    tools: list[Tool], replay: str
) -> None:
    some = host(tools=tuple(tools), replay=replay)
    if replayable(some, MCP_CALL):
        assert all(replayable(some, MCP_CALL, tool.name) for tool in tools)


KINDS = st.sampled_from(list(FailureKind))
CALLED = st.sampled_from([True, False, None])
NEVER = {FailureKind.TOO_LARGE, FailureKind.FORBIDDEN_PATH, FailureKind.BAD_INPUT}


@given(KINDS, CALLED)
def test_what_was_never_called_has_a_known_outcome(kind: FailureKind, called: bool | None) -> None:
    assert outcome_unknown(kind, called) == (called is not False and kind in UNKNOWN_OUTCOME)
    assert not outcome_unknown(kind, False)


@given(KINDS, CALLED, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_the_failure_table_holds(
    kind: FailureKind,
    called: bool | None,
    replayable: bool,
    transient: bool,
    tool_errors: bool,
    retry: bool,
) -> None:
    again = repeatable(
        kind,
        called,
        replayable=replayable,
        transient=transient,
        on_unknown="retry" if retry else "fail",
        retry_tool_errors=tool_errors,
    )
    if kind in NEVER:
        assert not again
    elif kind in (FailureKind.TOOL, FailureKind.PROTOCOL):
        assert again == (transient or tool_errors)
    elif called is False or kind is FailureKind.HOST_GONE:
        assert again
    else:
        assert again == (replayable or retry)


def test_a_host_serves_its_types_and_one_with_tools_takes_direct_calls() -> None:
    assert serves(host(), "look")
    assert not serves(host(), "other")
    assert serves(host(), MCP_CALL)
    space = host(endpoint=Execute("https://a.example"))
    assert serves(space, "look")
    assert not serves(space, MCP_CALL)
