"""Limits of hosts that users bring: nobody writes his own."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.facts import McpRegistered, Record, TaskRouted
from contracts.host import (
    COMMAND,
    FOREIGN_TIMEOUT_S,
    MANIFEST,
    SPACE,
    Execute,
    Host,
    Limits,
    Probe,
    clamped,
    excesses,
    longest_s,
)
from contracts.route import Policy, Route
from services.executor import domain as executor
from services.executor.projection import Hosts
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.registry import domain as registry
from services.registry.changes import Acting
from services.registry.commands import described
from services.registry.manifests import checks, entries
from services.registry.manifests.entries import Problem
from services.registry.manifests.space import SpaceOrigin, space_host

MALLORY, ROOT = Acting("mallory", operator=False), Acting("root", operator=True)
ENDPOINT = {"kind": "http", "url": "https://mcp.example.org/mcp"}
HUGE = {
    "limits.max_concurrency": 17,
    "limits.start_s": 300.5,
    "limits.max_output_bytes": 128 * 1024 * 1024 + 1,
    "probe.interval_s": 9.9,
}


def host(source: str, limits: Limits, probe: Probe, owner: str | None = "mallory") -> Host:
    endpoint = Execute("https://example.org")
    known = {"endpoint": endpoint, "source": source, "owner": owner}
    return Host(id="h1", name="h1", limits=limits, probe=probe, **known)


LIMITS = st.builds(
    Limits,
    max_concurrency=st.integers(1, 1024),
    start_s=st.floats(min_value=0, exclude_min=True),
    max_output_bytes=st.integers(1, 2**63),
)
PROBES = st.builds(Probe, interval_s=st.floats(min_value=0, exclude_min=True))


@given(st.sampled_from([COMMAND, SPACE]), LIMITS, PROBES)
def test_a_users_host_keeps_to_the_bounds(source: str, limits: Limits, probe: Probe) -> None:
    used = clamped(host(source, limits, probe))
    assert not excesses(used.limits, used.probe)
    assert clamped(used) is used
    if not excesses(limits, probe):
        assert used.limits == limits
        assert used.probe == probe
    assert longest_s(used) == FOREIGN_TIMEOUT_S


@given(st.sampled_from([(MANIFEST, "mallory"), (COMMAND, None)]), LIMITS, PROBES)
def test_the_operators_are_his_own(kind: tuple[str, Any], limits: Limits, probe: Probe) -> None:
    own = host(kind[0], limits, probe, kind[1])
    assert clamped(own) is own
    assert longest_s(own) == math.inf


@pytest.mark.parametrize(("field", "value"), HUGE.items())
def test_what_goes_too_far_is_refused_by_name(field: str, value: float) -> None:
    part, name = field.split(".")
    entry = {"endpoint": ENDPOINT, part: {name: value}}
    data = msgspec.json.encode(entry)
    options = {"allow_private": False, "allow_noop": False}
    with pytest.raises(Rejected, match=f"{field}: at (most|least) [0-9,]+ for a host that is not"):
        described("h1", data, MALLORY, **options)
    theirs = msgspec.json.encode(entry | {"owner": "alice"})
    with pytest.raises(Rejected, match=field):
        described("h1", theirs, ROOT, **options)
    assert described("h1", data, ROOT, **options)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limits.start_s", math.inf),
        ("limits.start_s", math.nan),
        ("limits.start_s", 1e300),
        ("limits.max_output_bytes", 10**15),
        ("probe.interval_s", math.inf),
        ("probe.interval_s", math.nan),
        ("probe.interval_s", 1e-6),
    ],
)
def test_a_manifest_may_not_say_what_nobody_means(field: str, value: float) -> None:
    part, name = field.split(".")
    raw = {"endpoint": {"kind": "stdio", "command": "x"}, part: {name: value}}
    with pytest.raises(Problem, match=field):
        checks.check(entries.entry_of(raw))


def test_the_file_of_a_space_is_cut_not_refused() -> None:
    limits = {"max_concurrency": 1000, "start_s": 1e9, "max_output_bytes": 10**12}
    probe = {"interval_s": 0.5}
    data = {"limits": limits, "probe": probe, "capabilities": [{"task_types": ["work"]}]}
    found = space_host(msgspec.json.encode(data), "mcp.json", SpaceOrigin("o/s", "mallory", "o-s"))
    assert found.limits == Limits(16, 300.0, 128 * 1024 * 1024)
    assert found.probe.interval_s == 10.0


def test_what_an_older_log_says_is_cut_where_it_is_used() -> None:
    old = host(COMMAND, Limits(1024, 1e9, 10**15), Probe(interval_s=1e-6))
    fact = McpRegistered(id="", by="", host="h1", k=1, spec=old)
    spec = registry.evolve(registry.NOTHING, 1, 0.0, fact).spec
    assert spec == clamped(old) != old
    assert Record(1, 0.0, "mcp.registered.h1.1", fact, b"").fact.spec == old
    known = {"host": "h1", "host_seq": 1, "basis": 1, "now": 0.0, "term": 1, "input_sha256": ""}
    route = Route(**known, policy=Policy(1, ""), timeout_s=604_800)
    routed = TaskRouted(id="", by="", user="mallory", task="t1", attempt=1, route=route)
    decision = executor.decide(routed, False, executor.LogView(1, old, 1), 0.0)
    assert isinstance(decision, executor.Claim)
    assert decision.budget_s == FOREIGN_TIMEOUT_S


async def test_an_executor_keeps_older_registrations_to_the_bounds(tmp_path: Path) -> None:
    old = host(COMMAND, Limits(1024, 1e9, 10**15), Probe(interval_s=1e-6))
    fact = McpRegistered(id=new_id(), by="test", host="h1", k=1, spec=old)
    log = MemoryLog()
    await log.append(fact)
    for _ in range(2):  # From the log, then from its own rows.
        hosts = await Hosts.open(tmp_path / "executor.sqlite")
        following = asyncio.create_task(hosts.run(log))
        assert await hosts.reached(1, 5.0)
        known = hosts.get("h1")
        assert known is not None
        assert known.host == clamped(old) != old
        following.cancel()
        await asyncio.wait([following])
        await hosts.close()
