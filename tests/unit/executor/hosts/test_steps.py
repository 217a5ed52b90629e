"""Plans of several steps on a real MCP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.facts import FailureKind
from contracts.host import Step, TaskBinding
from tests.unit.executor.sessions import STDIO, Bench, closing, failure


@pytest.fixture
async def stdio(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


STEPS = TaskBinding(
    steps=(
        Step("echo", {"text": '{"name": "${input.name}", "n": [1, 2]}'}, output="first"),
        Step("work", {"task": "$task", "attempt": "$attempt", "ms": "$input.ms|0"}),
        Step("echo", {"text": "$step.first.result"}, output="second"),
        Step("echo", {"text": "cleaned ${workspace}"}, cleanup=True),
    )
)


async def test_steps_pass_their_answers_on(stdio: Bench) -> None:
    host = stdio.host(task_types={"steps": STEPS})
    call = stdio.task(host, "steps", {"name": "x"})
    value = await stdio.open().call(call)
    text = '{"name": "x", "n": [1, 2]}'
    outputs = value["outputs"]
    assert {name: kept["structured"] for name, kept in outputs.items()} == {
        "first": {"result": text},
        "second": {"result": text},
    }
    calls = stdio.written()
    assert [begun["tool"] for begun in calls] == ["echo", "work", "echo", "echo"]
    assert calls[1]["arguments"] == {"task": "t1", "attempt": 1, "ms": 0.0}
    assert calls[3]["arguments"]["text"] == f"cleaned {call.workspace.path}"


async def test_a_step_that_fails_ends_the_plan_and_cleans_up(stdio: Bench) -> None:
    binding = TaskBinding(
        steps=(
            Step("echo", {"text": "one"}),
            Step("fail", {"message": "two"}),
            Step("echo", {"text": "three"}),
            Step("fail", {"message": "cleaning failed"}, cleanup=True),
        )
    )
    host = stdio.host(task_types={"steps": binding})
    error = await failure(stdio.open(), stdio.task(host, "steps", {}))
    assert error.kind is FailureKind.TOOL
    assert "two" in error.message
    assert isinstance(error.answer, dict)
    assert error.answer["is_error"] is True
    assert "two" in error.answer["content"][0]["text"]
    assert [begun["tool"] for begun in stdio.written()] == ["echo", "fail", "fail"]


async def test_a_reference_to_nothing_is_bad_input_before_the_call(stdio: Bench) -> None:
    host = stdio.host(task_types={"steps": STEPS})
    error = await failure(stdio.open(), stdio.task(host, "steps", {}))
    assert (error.kind, error.called) == (FailureKind.BAD_INPUT, False)
    assert "input has no `name`" in error.message
    assert stdio.written() == []


async def test_a_path_outside_the_roots_never_reaches_the_server(stdio: Bench) -> None:
    root = stdio.folder / "root"
    root.mkdir()
    (root / "a").write_text("inside")
    (stdio.folder / "secret").write_text("secret")
    (root / "link").symlink_to(stdio.folder / "secret")
    host = stdio.host(path_arguments={"*": ("path",)}, roots=(str(root),))
    session = stdio.open(path_arguments={"*": ("path",)}, roots=(str(root),))
    value = await session.call(stdio.call("read", host, path=str(root / "a")))
    assert value["structured"] == {"result": "inside"}
    for path in ("/etc/passwd", str(root / ".." / "secret"), str(root / "link"), "../../secret"):
        error = await failure(session, stdio.call("read", host, path=path))
        assert (error.kind, error.called) == (FailureKind.FORBIDDEN_PATH, False)
    assert len(stdio.written()) == 1
