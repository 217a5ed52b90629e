"""What people see: nothing from outside can play with their terminal, and nothing said is lost."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType

from contracts import facts
from contracts.facts import FailureKind, Outcome, Record, encode
from contracts.subjects import of
from services.audit.checks import Check
from services.cli.commands.hosts import task_types
from services.cli.show import hosts
from services.cli.show import tasks as render
from services.cli.show import why as reasons
from tests.unit.cli.story import SPEC, retried


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def recorded(fact: facts.AnyFact) -> Record:
    return Record(1, 0.0, of(fact), fact, encode(fact))


def test_control_characters_and_markup_of_others_do_nothing() -> None:
    fact = facts.TaskCancelled(id="1", by="g", user="u", task="t")
    failed = facts.JobFailed(
        id="2",
        by="e",
        user="u",
        task="t",
        attempt=1,
        host="h",
        kind=FailureKind.TOOL,
        message="\x1b[2J[red]boo[/red]\nmore",
    )
    text = shown(render.fact_line(recorded(failed), None))
    assert "\x1b" not in text
    assert "[red]boo[/red] more" in text
    assert shown(render.fact_line(recorded(fact), None)).count("\n") == 1


def test_long_messages_are_cut() -> None:
    assert render.plain("x" * 500, 10) == "xxxxxxxxx…"


def test_a_timeline_shows_every_fact_and_the_time_between() -> None:
    records = [r for r in retried().records if getattr(r.fact, "task", None)]
    text = shown(render.timeline(records))
    for record in records:
        assert str(record.seq) in text
    for word in ("task.created", "task.routed", "job.signed", "job.failed", "job.done", "tool"):
        assert word in text
    assert text.count("+1,000.0 ms") == len(records) - 1


def test_why_names_every_candidate_its_scores_and_who_was_removed() -> None:
    story = retried()
    story.change_route(removed={"health": ("sick-host",)})
    text = shown(reasons.why(story.records))
    assert "route 1" in text
    assert "route 2" in text
    assert "one" in text
    assert "two" in text
    assert "0.4" in text
    assert "removed by health: sick-host" in text
    assert "basis 6" in text


def test_why_of_what_was_never_routed_says_so() -> None:
    assert "not been routed" in shown(reasons.why([]))


def test_every_kind_of_fact_can_be_described() -> None:
    for record in retried().records:
        assert render.describe(record)


def test_an_ending_says_how_and_why() -> None:
    done = facts.JobDone(
        id="1",
        by="r",
        user="u",
        task="t",
        outcome=Outcome.FAILED,
        error=facts.Failure("outcome_unknown", "the line was cut"),
    )
    assert "failed: outcome_unknown: the line was cut" in shown(
        render.fact_line(recorded(done), None)
    )


def _answer(text: str, structured: Any = None) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"content": content, "structured": structured, "is_error": False}


def test_symbols_become_a_table_of_kind_name_and_lines() -> None:
    place = {"start": {"row": 4, "column": 0}, "end": {"row": 9, "column": 0}}
    symbols = '{"functions": [{"name": "hello", "location": %s}], "classes": []}'
    value = {"outputs": {"symbols": _answer(symbols % str(place).replace("'", '"'))}}
    text = shown(render.result(value))
    assert "symbols" in text
    assert ["functions", "hello", "5-10"] in [line.split() for line in text.splitlines()]


def test_other_results_are_shown_as_what_they_are() -> None:
    assert shown(render.result(_answer("plain words"))).strip() == "plain words"
    assert '"deep": 1' in shown(render.result(_answer("", {"very": {"deep": 1}})))
    flat = shown(render.result(_answer("", {"lines": 3, "imports": ["os", "re"]})))
    assert [line.split() for line in flat.splitlines()] == [
        ["lines", "3"],
        ["imports", "os,", "re"],
    ]
    assert shown(render.result(_answer("", {"result": "alone"}))).strip() == "alone"
    image = {"content": [{"type": "image", "data": "AA=="}], "is_error": False}
    assert '"image"' in shown(render.result(image))


def test_a_task_and_a_list_of_tasks_show_status_and_error() -> None:
    view = {
        "id": "t1",
        "type": SPEC.type,
        "status": "failed",
        "host": "one",
        "created_at": 1.0,
        "error": {"code": "tool", "message": "no such file"},
    }
    assert "tool: no such file" in shown(render.task_head(view))
    assert "t1" in shown(render.tasks([view]))


HOST = {
    "id": "one",
    "name": "One",
    "endpoint": {"kind": "stdio", "command": "run", "args": ["it"]},
    "health": {"status": "unhealthy", "reason": "exits at once", "latency_ms": 3.0},
    "tools": [{"name": "echo", "description": "Say it again.\nMore.", "read_only": True}],
    "task_types": {"work": {"summary": "Works", "example": {"q": "it's"}, "steps": []}},
    "capabilities": [{"name": "scan"}],
}


def test_hosts_show_health_with_its_reason_and_their_tools() -> None:
    assert "exits at once" in shown(hosts.hosts([HOST]))
    admins = HOST | {"health": HOST["health"] | {"said": "KEY is not set"}}  # type: ignore[operator]
    assert "exits at once; it wrote: KEY is not set" in shown(hosts.host(admins))
    text = shown(hosts.host(HOST))
    for word in ("run it", "echo", "Say it again.", "yes", "scan 1.0.0"):
        assert word in text
    assert "no hosts yet" in shown(hosts.hosts([]))


def test_an_api_speaks_no_mcp_and_its_probe_says_what_it_calls() -> None:
    api = HOST | {"endpoint": {"kind": "openapi", "url": "https://a.example"}, "server": "Pets 1"}
    text = shown(hosts.host(api | {"protocol": ""}))
    assert "Pets 1" in text
    assert "MCP" not in text
    assert "calls its base URL" in text
    assert "calls getPet" in shown(hosts.host(api | {"probe": {"tool": "getPet"}}))


def test_types_show_a_command_that_works_in_a_shell() -> None:
    found = task_types([HOST])
    assert list(found) == ["mcp.call", "work"]
    assert found["work"]["hosts"] == {"one": "unhealthy"}
    text = shown(hosts.types(found))
    assert "metamcp submit work '{\"q\":\"it'\\''s\"}' --wait" in text


def test_a_tool_can_be_called_on_no_host_that_knows_task_types_only() -> None:
    space = HOST | {"id": "two", "endpoint": {"kind": "execute", "url": "https://a.example"}}
    found = task_types([HOST, space])
    assert found["mcp.call"]["hosts"] == {"one": "unhealthy"}
    assert set(found["work"]["hosts"]) == {"one", "two"}


def test_checks_and_findings_say_what_is_wrong_and_what_to_do() -> None:
    text = shown(render.checks([Check("order", False, "two ends"), Check("keys", True, "1 key")]))
    assert "FAILED" in text
    assert "two ends" in text
    finding = hosts.Finding("uv", "failed", "not found", "pip install uv")
    assert "pip install uv" in shown(hosts.findings([finding]))


def test_an_answer_that_is_an_error_is_shown_with_all_that_it_says() -> None:
    image = {"type": "image", "data": "AA==", "mimeType": "image/png"}
    content = [{"type": "text", "text": "ok\n" * 900 + "FAILED test_b\x1b[31m"}, image]
    found = {"content": content, "structured": {"n": 1}, "is_error": True}
    text = shown(render.result(found))
    assert "FAILED test_b" in text
    assert "\x1b" not in text
    assert "image/png" in text
    assert '"n": 1' in text
