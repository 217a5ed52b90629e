"""Releases meet in one log: this one reads what earlier ones wrote, and they what it writes."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import facts, host, status, subjects
from contracts.facts import AnyFact, FailureKind, Outcome, decode, encode
from contracts.host import HealthStatus, Host
from contracts.result import Pointer
from contracts.task import Priority, TaskSpec
from tests.histories.views import Line, lines, log_of, views
from tests.support import facts as make
from tests.unit.contracts.test_facts import all_kinds

HERE = Path(__file__).parent
RELEASES = sorted(path.parent for path in HERE.glob("*/log.jsonl"))
NEVER_WRITTEN = {"log.sealed"}
"""Facts that no release has written yet."""
each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
READER = """
import sys
from contracts import facts
print(facts.__file__)
for line in sys.stdin.buffer:
    print(type(facts.decode(line.rstrip(b"\\n"))).__name__)
"""


def raw(line: Line) -> dict[str, Any]:
    """The fact, read without any contract."""
    found: dict[str, Any] = msgspec.json.decode(line.fact)
    return found


def test_there_is_a_golden_log() -> None:
    assert RELEASES


@each_release
def test_a_golden_log_has_every_fact_of_its_release(release: Path) -> None:
    told = {raw(line)["type"] for line in lines(release / "log.jsonl")}
    written = {str(kind.__struct_config__.tag) for kind in AnyFact.__args__}
    assert told | NEVER_WRITTEN >= written or release != RELEASES[-1]


@each_release
def test_every_fact_of_an_earlier_release_is_understood(release: Path) -> None:
    for line in lines(release / "log.jsonl"):
        fact = decode(bytes(line.fact), line.subject)
        assert not isinstance(fact, facts.Unknown), fact
        assert subjects.stands(fact, line.subject)


@each_release
async def test_an_earlier_log_gives_the_views_that_it_tells_of(
    release: Path, tmp_path: Path
) -> None:
    golden = lines(release / "log.jsonl")
    told = [(line.subject, raw(line)) for line in golden]
    ends = {fact["task"]: fact for _, fact in told if fact["type"] == "job.done"}
    gone = {fact["host"] for _, fact in told if fact["type"] == "mcp.removed"}
    there = {fact["host"] for _, fact in told if fact["type"] == "mcp.registered"} - gone
    found = await views(log_of(golden), tmp_path)
    rows = found.rows
    tasks = {row[1]: row[4] for row in rows["gateway"]["tasks"]}
    assert tasks == {task: fact["outcome"] for task, fact in ends.items()}
    kept = {row[0]: row[11] for row in rows["results"]["results"]}
    assert kept.keys() == {task for task, fact in ends.items() if "result" in fact}
    deleted = {fact["task"] for _, fact in told if fact["type"] == "result.deleted"}
    assert {task for task, why in kept.items() if why} == deleted
    assert {row[0] for row in rows["executor"]["hosts"]} == there
    assert {row[0] for row in rows["gateway"]["hosts"]} == there
    assert {row[0] for row in rows["registry"]["hosts"] if row[1] is not None} == there
    assert {row[0] for row in rows["router"]["router_hosts"]} == found.router.hosts.keys() == there
    assert rows["router"]["router_tasks"] == []
    assert found.router.tasks == {}
    terms = [fact["term"] for _, fact in told if fact["type"] == "log.router"]
    assert found.router.term == terms[-1]
    assert not any(found.passed_over.values())


@each_release
def test_the_status_of_each_task_of_an_earlier_log_is_its_outcome(release: Path) -> None:
    of_task: dict[str, list[facts.Record]] = defaultdict(list)
    outcomes = {}
    for line in lines(release / "log.jsonl"):
        fact = decode(bytes(line.fact), line.subject)
        if task := subjects.parse(line.subject).task:
            of_task[task].append(
                facts.Record(line.seq, line.at, line.subject, fact, bytes(line.fact))
            )
        if raw(line)["type"] == "job.done":
            outcomes[task] = raw(line)["outcome"]
    folded = {task: status.fold(records) for task, records in of_task.items()}
    assert {task: view and view.status for task, view in folded.items()} == outcomes


def built_today() -> list[AnyFact]:
    """Every fact, with every word that stands in one."""
    base: dict[str, Any] = {"id": "f", "by": "r-1", "host": "h", "k": 1}
    endpoints = [
        host.Stdio("run"),
        host.StreamableHttp("https://example.org/mcp"),
        host.Execute("https://example.org"),
        host.OpenApi("https://example.org", document={"openapi": "3.1.0"}),
        host.Noop(),
    ]
    assert {type(one) for one in endpoints} == set(host.Endpoint.__args__)
    spaces = [
        Host(id="h", name="H", endpoint=one, placement=p)
        for one in endpoints
        for p in host.Placement
    ]
    return [
        *all_kinds("u", "t", "h", 1),
        *(make.failed("u", "t", kind=kind) for kind in FailureKind),
        *(make.done("u", "t", outcome) for outcome in Outcome),
        make.done("u", "t", result=Pointer("nats://b/u/0", "0" * 64, 7)),
        make.done("u", "t", Outcome.FAILED, error=facts.Failure("no_host", "why")),
        *(make.created("u", "t", spec=TaskSpec(type="x", priority=p)) for p in Priority),
        *(facts.McpHealth(**base, status=status_) for status_ in HealthStatus),
        *(facts.McpRegistered(**base, spec=spec) for spec in spaces),
    ]


def read_by(release: Path, data: list[bytes]) -> list[str]:
    """What a release's own contracts make of stored facts: the names of their classes."""
    ran = subprocess.run(
        [sys.executable, "-c", READER],
        cwd=release,
        input=b"\n".join(data) + b"\n",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    where, *names = ran.stdout.decode().splitlines()
    assert Path(where).is_relative_to(release), "the frozen contracts, not ours"
    return names


@each_release
def test_an_earlier_release_reads_what_this_one_writes(release: Path) -> None:
    today = built_today()
    names = read_by(release, [encode(fact) for fact in today])
    assert len(names) == len(today)
    for fact, name in zip(today, names, strict=True):
        assert name in (type(fact).__name__, "Unknown")
    known = {name for name in names if name != "Unknown"}
    golden = {raw(line)["type"] for line in lines(release / "log.jsonl")}
    kinds = {str(kind.__struct_config__.tag): kind.__name__ for kind in AnyFact.__args__}
    assert known >= {kinds[tag] for tag in golden}, "what it has written it still reads"


@each_release
def test_an_earlier_release_passes_over_what_comes_after_it(release: Path) -> None:
    later = [b'{"type":"task.paused","id":"f"}', b'{"type":"job.failed","kind":"later"}', b"\xff"]
    assert read_by(release, later) == ["Unknown"] * len(later)
