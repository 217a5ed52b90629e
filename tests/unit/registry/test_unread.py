"""The registry and what it can't read: numbers go on, and nobody takes a newer release's id."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import Reason, Rejected
from contracts.facts import McpHealth, McpRegistered, Record, decode
from contracts.host import HealthStatus, Host, Noop, StreamableHttp
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.registry import changes, domain
from services.registry.changes import Acting, Offered, Written
from services.registry.domain import Listed, ProbeEnded
from services.registry.projection import View
from tests.unit.registry.test_actor import facts_until, running

NEWER = b'{"type":"mcp.registered","id":"f","by":"r","host":"h1","k":3,"spec":{"id":"h1"}}'
ALICE = Acting("alice", operator=False)


def folded(*stored: tuple[str, bytes]) -> View:
    view = View()
    view.fold(
        [
            Record(seq, 1.0, subject, decode(data, subject), data)
            for seq, (subject, data) in enumerate(stored, 1)
        ]
    )
    return view


def test_the_next_registration_has_the_next_number() -> None:
    view = folded(("mcp.registered.h1.3", NEWER))
    listed = Listed((Host(id="h1", name="One", endpoint=Noop()),))
    (fact,) = domain.decide(view.hosts, listed)
    assert isinstance(fact, McpRegistered)
    assert fact.k == 4, "a manifest says in words of this release what the host is"


def test_the_next_health_has_the_next_number() -> None:
    known = McpRegistered(
        id="f", by="r", host="h1", k=1, spec=Host(id="h1", name="One", endpoint=Noop())
    )
    view = View()
    view.fold([Record(1, 1.0, "mcp.registered.h1.1", known, b"")])
    sleepy = b'{"type":"mcp.health","host":"h1","k":7,"status":"sleepy"}'
    subject = "mcp.health.h1.7"
    view.fold([Record(2, 1.0, subject, decode(sleepy, subject), sleepy)])
    facts = domain.decide(view.hosts, ProbeEnded("h1", 1, "probe: no answer"))
    assert [(fact.k, getattr(fact, "status", "")) for fact in facts] == [
        (8, HealthStatus.UNHEALTHY)
    ]


def test_nobody_takes_the_id_of_a_host_that_cannot_be_read() -> None:
    view = folded(("mcp.registered.h1.3", NEWER))
    endpoint = StreamableHttp("https://example.org/mcp")
    mine = Host(id="h1", name="Mine", endpoint=endpoint, source="command", owner="alice")
    with pytest.raises(Rejected) as refused:
        changes.decide(view.hosts, Written(ALICE, mine, replace=False, most=5))
    assert refused.value.reason is Reason.CONFLICT
    assert changes.decide(view.hosts, Offered("alice", (mine,))) == []
    gone = folded(("mcp.registered.h1.3", NEWER), ("mcp.removed.h1.1", b"\xff"))
    (fact,) = changes.decide(gone.hosts, Written(ALICE, mine, replace=False, most=5))
    assert fact.k == 4


async def test_a_registry_goes_on_behind_what_it_cannot_read(tmp_path: Path) -> None:
    log, file = MemoryLog(), tmp_path / "registry.sqlite"
    log.foreign("mcp.registered.h1.1", NEWER)
    log.foreign("mcp.health.h1.1", b"\xff")
    h1 = Host(id="h1", name="One", endpoint=Noop())
    async with running(log, file, h1):
        facts = await facts_until(log, lambda facts: len(facts) >= 2)
        log.foreign("mcp.registered.h2.1", NEWER.replace(b"h1", b"h2"))
        spec = Host(id="h3", name="Three", endpoint=Noop())
        seq = await log.append(McpRegistered(id=new_id(), by="r", host="h3", k=1, spec=spec))
        assert seq
        facts = await facts_until(
            log, lambda facts: any(isinstance(f, McpHealth) and f.host == "h3" for f in facts)
        )
    assert next(f.k for f in facts if isinstance(f, McpRegistered) and f.host == "h1") == 2
