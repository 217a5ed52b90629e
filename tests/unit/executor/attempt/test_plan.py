"""From a task to tool calls: everything wrong with an input is said before the first call."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from contracts.host import Capability, Execute, Noop, Stdio, Step, StreamableHttp, TaskBinding, Tool
from contracts.task import TaskSpec
from services.executor.attempt.plan import AttemptPlan, BadInput, KnownHost, prepare
from tests.unit.executor.world import host, routed, spec

TOOLS = (Tool("get_symbols", read_only=True), Tool("get_ast"))
SCHEMA = {
    "type": "object",
    "required": ["path"],
    "properties": {"path": {"type": "string"}, "depth": {"type": "integer", "minimum": 1}},
}
BINDING = TaskBinding(steps=(Step("get_ast", {"path": "$input.path"}),), input_schema=SCHEMA)


def known(**fields: Any) -> KnownHost:
    return KnownHost(1, host(tools=TOOLS, task_types={"ast": BINDING}, **fields))


def plan(type_: str, data: Any, host_: KnownHost | None = None) -> AttemptPlan:
    wanted = TaskSpec(type=type_, input=msgspec.Raw(msgspec.json.encode(data)))
    return prepare(host_ or known(), routed("t1", spec()), wanted, bytes(wanted.input), "permit")


def test_a_task_type_gives_its_steps() -> None:
    made = plan("ast", {"path": "a.py"})
    assert made.steps == BINDING.steps
    assert (made.literal, made.replayable, made.input) == (False, False, {"path": "a.py"})


def test_a_direct_call_is_one_literal_step() -> None:
    made = plan("mcp.call", {"tool": "get_symbols", "arguments": {"q": "$HOME"}})
    assert made.steps == (Step("get_symbols", {"q": "$HOME"}),)
    assert (made.literal, made.replayable) == (True, True)


@pytest.mark.parametrize(
    ("type_", "data", "words"),
    [
        ("ast", {}, '"path" is a required property'),
        ("ast", {"path": "a", "depth": 0}, r"input\.depth: 0 is less than"),
        ("ast", [], "not a JSON object"),
        ("other", {}, "does not serve task type other"),
        ("mcp.call", {}, "name the tool"),
        ("mcp.call", {"tool": "get_ast", "arguments": []}, "must be a JSON object"),
        ("mcp.call", {"tool": "get_ast", "args": {}}, "args: unknown"),
        ("mcp.call", {"tool": "get_symbol"}, "Did you mean get_symbols"),
    ],
)
def test_a_wrong_input_is_refused_with_the_place(type_: str, data: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        plan(type_, data)


def test_a_tool_that_must_be_a_task_is_refused_with_the_reason() -> None:
    some = KnownHost(1, host(tools=(Tool("slow", task_support="required"), *TOOLS)))
    with pytest.raises(BadInput, match="'slow' of host h1 can be called as a task of MCP 2025"):
        plan("mcp.call", {"tool": "slow"}, some)
    assert plan("mcp.call", {"tool": "get_ast"}, some).steps == (Step("get_ast", {}),)


@pytest.mark.parametrize("tools", [TOOLS, ()], ids=["listed", "not listed yet"])
def test_a_direct_call_may_name_only_what_the_host_allows(tools: tuple[Tool, ...]) -> None:
    some = host(tools=tools, task_types={"ast": BINDING}, callable_tools=("get_symbols",))
    closed = KnownHost(1, some)
    assert plan("mcp.call", {"tool": "get_symbols"}, closed).steps == (Step("get_symbols", {}),)
    with pytest.raises(BadInput, match="may not call 'get_ast' on h1, only: get_symbols"):
        plan("mcp.call", {"tool": "get_ast"}, closed)
    assert plan("ast", {"path": "a.py"}, closed).steps == BINDING.steps, "steps may use any tool"
    with pytest.raises(BadInput, match="only: none"):
        plan("mcp.call", {"tool": "get_symbols"}, known(callable_tools=()))


@pytest.mark.parametrize("tools", [TOOLS, ()], ids=["listed", "not listed yet"])
@pytest.mark.parametrize("named", [None, ("get_symbols", "get_ast")])
def test_a_tool_that_is_not_for_whoever_asks_is_not_there(
    tools: tuple[Tool, ...], named: tuple[str, ...] | None
) -> None:
    some = KnownHost(1, host(tools=tools, task_types={"ast": BINDING}, callable_tools=named))
    wanted = TaskSpec(type="mcp.call", input=msgspec.Raw(b'{"tool": "get_ast"}'))

    def refused(tool: bytes) -> str:
        raw = b'{"tool": "%b"}' % tool
        with pytest.raises(BadInput) as found:
            prepare(*(some, routed("t1", spec()), wanted, raw, "permit"), hidden=hidden)
        return str(found.value).replace(tool.decode(), "NAME")

    hidden = frozenset({"get_ast"})
    if tools:
        assert "get_ast" not in refused(b"get_as")
    assert "has no tool 'NAME'" in refused(b"get_ast")
    steps = plan("ast", {"path": "a.py"}, some).steps
    assert steps == BINDING.steps, "what a task type calls is the host's own affair"


def test_tools_nobody_has_listed_are_not_refused() -> None:
    anything = KnownHost(1, host(tools=()))
    assert plan("mcp.call", {"tool": "whatever"}, anything).steps[0].tool == "whatever"


@pytest.mark.parametrize("schema", [{"type": "no such type"}, {"pattern": "("}])
def test_what_is_no_schema_fails_the_call_and_says_so(schema: dict[str, Any]) -> None:
    broken = TaskBinding(steps=BINDING.steps, input_schema=schema)
    with pytest.raises(BadInput, match="input schema of ast"):
        plan("ast", {"path": "a"}, KnownHost(1, host(tools=TOOLS, task_types={"ast": broken})))


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://127.0.0.1:1/schema.json"}, {"properties": {"path": {"pattern": "(?=a)a"}}}],
)
def test_a_schema_that_cannot_be_judged_is_a_remark(schema: dict[str, Any]) -> None:
    open_ = TaskBinding(steps=BINDING.steps, input_schema=schema)
    made = plan("ast", {"path": "a"}, KnownHost(1, host(tools=TOOLS, task_types={"ast": open_})))
    assert "the input was not checked" in made.remark


def test_names_of_a_users_tools_cost_no_time() -> None:
    tools = tuple(Tool("ab" * 80 + f"{n:03}") for n in range(400))
    own = host(tools=tools, source="command", owner="mallory")
    began = time.process_time()
    with pytest.raises(BadInput, match="has no tool"):
        plan("mcp.call", {"tool": "ba" * 80 + "xyz"}, KnownHost(1, own))
    assert time.process_time() - began < 1


FREE = TaskBinding(input_schema=SCHEMA)
SPACE = Execute("https://example.com")


def test_an_execute_host_takes_the_input_as_it_is_and_has_no_steps() -> None:
    space = KnownHost(1, host(endpoint=SPACE, tools=TOOLS, task_types={"ast": FREE}))
    raw = b'{"path" : "a.py", "n": 1.0}'
    wanted = TaskSpec(
        type="ast", input=msgspec.Raw(raw), required_capabilities=(Capability("parse"),)
    )
    route = routed("t1", spec(), timeout_s=30.0)
    made = prepare(space, route, wanted, raw, "permit")
    assert (made.raw, made.required, made.steps) == (raw, (Capability("parse"),), ())
    assert (made.timeout_s, made.literal, made.replayable) == (30.0, False, False)
    assert prepare(space, route, wanted, raw, "permit", 12.5).timeout_s == 12.5
    with pytest.raises(BadInput, match='"path" is a required property'):
        plan("ast", {}, space)


@pytest.mark.parametrize(
    ("fields", "says", "replayable"),
    [
        ({}, None, False),
        ({"replay": "always"}, None, True),
        ({}, True, True),
        ({"replay": "always"}, False, False),
        ({"replay": "never"}, True, False),
    ],
)
def test_what_an_execute_host_does_may_run_twice_only_if_it_says_so(
    fields: dict[str, Any], says: bool | None, replayable: bool
) -> None:
    types = {"ast": TaskBinding(replayable=says)}
    space = KnownHost(1, host(endpoint=SPACE, tools=(), task_types=types, **fields))
    assert plan("ast", {}, space).replayable is replayable


def test_an_execute_host_has_no_tools_to_call() -> None:
    space = KnownHost(1, host(endpoint=SPACE, tools=(), task_types={"ast": FREE}))
    with pytest.raises(BadInput, match=r"does not serve task type mcp\.call"):
        plan("mcp.call", {"tool": "get_ast"}, space)


@pytest.mark.parametrize("endpoint", [Stdio("x"), StreamableHttp("https://example.com")])
def test_a_server_with_tools_has_to_be_told_which(endpoint: Stdio | StreamableHttp) -> None:
    lost = KnownHost(1, host(endpoint=endpoint, tools=TOOLS, task_types={"ast": FREE}))
    with pytest.raises(BadInput, match="names no tool for task type ast"):
        plan("ast", {"path": "a"}, lost)
    assert plan("ast", {"path": "a"}, KnownHost(1, host(endpoint=Noop(), task_types={"ast": FREE})))
