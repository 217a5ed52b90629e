"""A log in which a newer release has written, and a fault has struck: nobody stops at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts import facts, status, subjects
from contracts.facts import Record, Unknown, decode, encode
from contracts.result import Pointer
from services.cli.show import tasks as shown
from services.executor import projection as executor
from services.gateway import projection as gateway
from services.gateway import visibility
from services.gateway.stream import frames
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.process.ids import new_id
from services.registry import projection as registry
from services.results import projection as results
from services.router import projection as router
from services.router.domain import evolve, initial
from tests.histories.views import EVERYTHING, views
from tests.support import facts as make
from tests.unit.contracts.test_facts import all_kinds
from tests.unit.router.world import host

BASE = {"id": "f", "by": "newer-1"}
TASK = {**BASE, "user": "ann", "task": "t1"}
NEWER: dict[str, dict[str, Any]] = {
    # A tag nobody knows, on a subject of ours and on one that was added.
    "task.paused.ann.t1.1": {**TASK, "type": "task.paused", "until": "monday"},
    "schedule.set.ann.nightly.1": {**BASE, "type": "schedule.set", "user": "ann"},
    # Known tags with a word that nobody knows.
    "job.failed.ann.t1.1": {
        **TASK, "type": "job.failed", "attempt": 1, "host": "h1", "kind": "moved_on",
    },
    "job.done.ann.t2.end": {**TASK, "task": "t2", "type": "job.done", "outcome": "paused"},
    "task.created.ann.t3": {
        **TASK, "task": "t3", "type": "task.created", "spec": {"type": "x", "priority": "urgent"},
    },
    "mcp.registered.h2.1": {
        **BASE, "type": "mcp.registered", "host": "h2", "k": 1,
        "spec": {"id": "h2", "name": "H", "endpoint": {"kind": "grpc", "url": "grpc://h"}},
    },
    "mcp.health.h1.2": {**BASE, "type": "mcp.health", "host": "h1", "k": 2, "status": "sleepy"},
    # Known tags with content of another kind.
    "task.cancelled.ann.t1": {**TASK, "type": "task.cancelled", "reason": ["many"]},
    "task.routed.ann.t1.2": {**TASK, "type": "task.routed", "attempt": 2, "route": "by hand"},
    "job.signed.ann.t1.2": {**TASK, "type": "job.signed", "attempt": "two"},
    "result.stored.ann.t2": {**TASK, "task": "t2", "type": "result.stored", "pointer": {"at": 1}},
    "result.deleted.ann.t2": {**TASK, "task": "t2", "type": "result.deleted", "reason": {"by": 1}},
    "mcp.removed.h2.1": {**BASE, "type": "mcp.removed", "host": "h2", "k": "one"},
    "mcp.preferred.ann.h1.1": {**BASE, "type": "mcp.preferred", "user": "ann", "weight": "much"},
    "log.router.7": {**BASE, "type": "log.router", "term": {"n": 7}},
    "log.key.k1": {**BASE, "type": "log.key", "kid": "k1", "jwk": "pem"},
    "log.sealed.1": {**BASE, "type": "log.sealed", "k": 1, "tree": {}},
}  # fmt: skip
DAMAGED: dict[str, bytes] = {
    "task.created.ann.t4": b"\xff\xfe\x00",
    "task.routed.ann.t4.1": b"",
    "job.done.ann.t4.end": b'{"type":"job.done","id":"f","outco',
    "mcp.registered.h3.1": b"[1, 2]",
    "mcp.health.h3.1": b'{"type":7}',
    "log.router.8": b"[" * 5000,
    "task.created.ann.t5": b'{"type":"task.created","id":"\xff"}',
}
SUBJECTS = [*NEWER, *DAMAGED]


def registered(k: int, **fields: Any) -> facts.McpRegistered:
    spec = host("h1", **fields)
    return facts.McpRegistered(id=new_id(), by="registry-1", host="h1", k=k, spec=spec)


async def written() -> MemoryLog:
    """What this release wrote before, then what it can't read, then more of its own."""
    log = MemoryLog()
    for fact in (registered(1), make.created("ann", "t1"), make.created("ann", "t2")):
        await log.append(fact)
    for fact in (make.routed("ann", "t1"), make.signed("ann", "t1")):
        await log.append(fact)
    for subject, content in NEWER.items():
        log.foreign(subject, msgspec.json.encode(content))
    for subject, data in DAMAGED.items():
        log.foreign(subject, data)
    await log.append(registered(2, name="Later"))
    await log.append(make.created("ann", "t9"))
    pointer = Pointer("nats://b/ann/0", "0" * 64, 7)
    await log.append(make.done("ann", "t9", result=pointer))
    return log


@pytest.mark.parametrize("subject", SUBJECTS)
def test_none_of_it_can_be_read(subject: str) -> None:
    data = DAMAGED.get(subject) or msgspec.json.encode(NEWER.get(subject, ""))
    fact = decode(data, subject)
    assert isinstance(fact, Unknown)
    assert (fact.subject, fact.data, bool(fact.why)) == (subject, data, True)
    assert subjects.of(fact) == subject
    if subject in NEWER:
        assert (fact.tag, fact.id) == (NEWER[subject]["type"], "f")
        assert fact.json == data, "it is shown as it is"
    json.loads(fact.json)


async def test_all_five_services_pass_over_it_and_go_on(tmp_path: Path) -> None:
    log = await written()
    found = await views(log, tmp_path)
    rows = found.rows
    specs = {row[0]: json.loads(row[3]) for row in rows["gateway"]["hosts"]}
    assert {name: spec["name"] for name, spec in specs.items()} == {"h1": "Later"}
    assert [(row[1], row[4]) for row in rows["gateway"]["tasks"]] == [
        ("t1", "running"),
        ("t2", "pending"),
        ("t9", "succeeded"),
    ]
    assert [row[0] for row in rows["results"]["results"]] == ["t9"]
    assert rows["router"]["router_hosts"][0][0] == "h1"
    assert found.router.hosts.keys() == {"h1"}
    assert found.router.term == 8
    # What is over is forgotten, and what can't be read is left alone.
    assert {key: task.unread for key, task in found.router.tasks.items()} == {"ann.t1": True}
    hosts = {row[0]: row[1] is not None for row in rows["registry"]["hosts"]}
    assert hosts == {"h1": True, "h2": False, "h3": False}
    assert {row[0]: row[2] is not None for row in rows["executor"]["hosts"]} == {
        "h1": True,
        "h3": False,
    }


async def test_each_view_knows_what_it_lacks_and_says_so_once(tmp_path: Path) -> None:
    log = await written()
    with structlog.testing.capture_logs() as lines:
        found = await views(log, tmp_path)
    every = {subjects.parse(subject).type for subject in SUBJECTS}
    assert found.passed_over["router"] == found.passed_over["gateway"] == every
    assert found.passed_over["results"] == {
        *(
            "job.done",
            "job.failed",
            "result.stored",
            "result.deleted",
            "mcp.registered",
            "mcp.removed",
        )
    }
    said = [line for line in lines if line["event"] == "fact_not_readable"]
    assert len(said) == sum(map(len, found.passed_over.values()))
    again = await Projection.open(tmp_path / "router.sqlite", router.SCHEMA, router.VERSION)
    assert again.passed_over == every, "it stands in the file"
    await again.close()


async def test_a_view_that_lacks_something_is_built_anew_by_a_release_that_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await written()
    await views(log, tmp_path)
    head = await log.head()
    path = tmp_path / "gateway.sqlite"
    same = await Projection.open(path, gateway.SCHEMA, gateway.VERSION)
    assert same.position == head
    await same.close()
    monkeypatch.setattr("services.log.marks.words", lambda: "more")
    later = await Projection.open(path, gateway.SCHEMA, gateway.VERSION)
    assert (later.position, later.passed_over) == (0, set())
    await later.close()


async def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    def count() -> float:
        labels = {"type": "schedule.set"}
        return REGISTRY.get_sample_value("metamcp_facts_unknown_total", labels) or 0.0

    before = count()
    await views(await written(), tmp_path)
    assert count() == before + 2, "the router and the gateway follow everything"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
TAGS = [str(kind.__struct_config__.tag) for kind in facts.AnyFact.__args__]
near_facts = st.builds(
    lambda tag, rest: msgspec.json.encode({**rest, "type": tag}),
    st.sampled_from(TAGS),
    st.dictionaries(
        st.sampled_from(["id", "user", "task", "host", "k", "spec", "by"]), json_values
    ),
)
tails = st.lists(st.text("ab01-", min_size=1, max_size=4), max_size=4).map(".".join)


@given(st.lists(st.tuples(st.sampled_from(TAGS), tails, st.binary() | near_facts), max_size=8))
def test_nothing_that_can_stand_in_the_log_stops_a_fold_or_a_reader(
    stored: list[tuple[str, str, bytes]],
) -> None:
    state, view, rows = initial(), registry.View(), results.Rows()
    owners: dict[str, str | None] = {}
    known = [(subjects.of(f), encode(f)) for f in all_kinds("u", "t", "h", 1)]
    odd = [(f"{tag}.{tail}".rstrip("."), data) for tag, tail, data in stored]
    for seq, (subject, data) in enumerate([*known, *odd, *known], 1):
        fact = decode(data, subject)
        json_ = fact.json if isinstance(fact, Unknown) else data
        record = Record(seq, 1.0, subject, fact, json_)
        evolve(state, record)
        router.rows(state, state.take_changes())
        if any(subjects.matches(filter_, subject) for filter_ in subjects.HOSTS):
            view.fold([record])
            view.apply([record])
        rows.apply([record])
        executor.apply([record])
        gateway.apply([record])
        status.fold([record])
        visibility.remember_owner(owners, fact)
        text = frames.entry(record, visibility.audience(fact, owners)).text
        assert json.loads(text)["seq"] == seq
        shown.fact_line(record, None)
    assert state.seq == len(odd) + 2 * len(known)


@given(st.binary(max_size=64))
def test_whatever_is_stored_is_shown_as_json(data: bytes) -> None:
    fact = decode(data, EVERYTHING[0])
    assert isinstance(fact, Unknown)
    json.loads(fact.json)
