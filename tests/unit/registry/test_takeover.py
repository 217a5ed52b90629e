"""Hosts of logs from before 0.4, whose ids had no owner, get ids that have one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import subjects
from contracts.facts import HostFact, McpHealth, McpRegistered, McpRemoved, encode
from contracts.host import COMMAND, MANIFEST, SPACE, HealthStatus, Host, StreamableHttp, operated
from contracts.ids import check_host, split_host
from contracts.wire import HostList
from services.log.memory import MemoryLog
from services.registry import domain
from services.registry.domain import Known
from services.registry.takeover import adopted
from tests.histories.test_histories import RELEASES
from tests.histories.views import lines
from tests.unit.registry.test_actor import all_facts, commands, noop, running

URL = "https://tools.example.com/mcp"


def spec(id_: str, owner: str | None = "alice", source: str = COMMAND, **fields: Any) -> Host:
    given_: dict[str, Any] = {"name": id_, "endpoint": StreamableHttp(URL)} | fields
    return Host(id=id_, owner=owner, source=source, **given_)


def fold(state: dict[str, Known], facts: list[HostFact]) -> dict[str, Known]:
    after = dict(state)
    for fact in facts:
        known = after.get(fact.host, domain.NOTHING)
        after[fact.host] = domain.evolve(known, known.seq + 1, 1.0, fact)
    return after


def known(host: Host, **fields: Any) -> dict[str, Known]:
    return {host.id: Known(host, 1, 3, 1, 2, **fields)}


def test_a_users_host_is_taken_over_as_it_is() -> None:
    old = spec("h", enabled=False, switched=False, name="Mine")
    state = known(old, status=HealthStatus.UNKNOWN, reason=domain.DISABLED)
    registered, health, gone = adopted(state, "h")
    assert isinstance(registered, McpRegistered)
    assert registered.spec == msgspec.structs.replace(old, id="alice/h")
    assert (registered.host, registered.k, registered.was) == ("alice/h", 1, "h")
    assert isinstance(health, McpHealth)
    assert (health.host, health.k, health.reason) == ("alice/h", 1, domain.DISABLED)
    assert isinstance(gone, McpRemoved)
    assert (gone.host, gone.k, gone.reason) == ("h", 2, "its id is alice/h now")
    assert len({subjects.of(fact) for fact in (registered, health, gone)}) == 3


@pytest.mark.parametrize(
    "host",
    [
        spec("h", None),
        spec("h", None, MANIFEST),
        spec("h", "alice", MANIFEST),
        spec("alice/h"),
        spec("alice/h", "alice", SPACE),
    ],
)
def test_what_has_its_id_stays(host: Host) -> None:
    assert adopted(known(host), host.id) == []


def test_a_name_that_is_a_verb_now_gets_another_and_nobody_is_called_a_dash() -> None:
    registered, _ = adopted(known(spec("log")), "log")
    assert registered.host == "alice/log-host"
    (gone,) = adopted(known(spec("h", "-")), "h")
    assert isinstance(gone, McpRemoved)


names = st.sampled_from(["h", "log", "x" * 64])
hosts = st.builds(
    spec,
    names,
    st.sampled_from(["alice", "bob", "-", None]),
    st.sampled_from([COMMAND, SPACE, MANIFEST]),
)


@given(hosts, st.integers(0, 3), st.sampled_from(HealthStatus), st.booleans())
def test_a_takeover_that_was_cut_anywhere_comes_to_the_same(
    host: Host, cut: int, status: HealthStatus, there: bool
) -> None:
    state = known(host, status=status, reason="a: b" if status != HealthStatus.HEALTHY else "")
    if there and operated(host) is False and host.owner == "alice":
        state |= known(spec(f"alice/{host.id}", name="His own"))
    whole = fold(state, adopted(state, host.id))
    partly = fold(state, adopted(state, host.id)[:cut])
    after = fold(partly, adopted(partly, host.id))
    assert {id_: (k.spec is None, k.spec) for id_, k in after.items()} == {
        id_: (k.spec is None, k.spec) for id_, k in whole.items()
    }
    for id_ in after:
        assert adopted(after, id_) == [], "done once, it is done"
    for id_, one in after.items():
        if one.spec is not None:
            owner, _ = split_host(check_host(id_))
            assert (owner == "-") == operated(one.spec)
            assert owner in ("-", one.spec.owner)


async def old_log(*more: McpRegistered | McpHealth) -> MemoryLog:
    """The newest golden log, and these facts where an earlier release has put them."""
    log = MemoryLog()
    for line in lines(RELEASES[-1] / "log.jsonl"):
        log.foreign(line.subject, bytes(line.fact), line.at)
    for fact in more:
        tag = str(fact.__struct_config__.tag)
        log.foreign(f"{tag}.{fact.host}.{fact.k}", encode(fact))
    return log


def registration(host: Host) -> McpRegistered:
    return McpRegistered(id=f"r-{host.id}", by="registry-1", host=host.id, k=1, spec=host)


async def test_a_registry_takes_the_hosts_of_an_old_log_over_before_all_else(
    tmp_path: Path,
) -> None:
    hers, space = spec("hers", enabled=False), spec("ann-x", "ann", SPACE, enabled=False)
    log = await old_log(
        registration(hers),
        McpHealth(
            id="f", by="registry-1", host="hers", k=1, status=HealthStatus.WARNING, reason="a: b"
        ),
        registration(space),
        registration(spec("bench", "bob", enabled=False)),
    )
    before = await log.head()
    # The operator has a host of a name that a user had: each keeps their own.
    async with running(log, tmp_path / "a.sqlite", noop("bench")) as registry:
        assert registry.hosts["alice/hers"].status is HealthStatus.WARNING
        answer = await commands(registry).list_hosts(b"{}")
        ids = [view.host.id for view in msgspec.json.decode(answer, type=HostList).hosts]
        assert ids == ["bench", "alice/hers", "ann/ann-x", "bob/bench"]
        bench = registry.hosts["bench"].spec
        assert bench is not None
        assert (bench.enabled, bench.owner) == (True, None)
    written = [fact for fact in await all_facts(log) if not isinstance(fact, McpHealth)]
    told = [(type(f), getattr(f, "was", "")) for f in written if f.by == "registry-1"]
    assert (McpRegistered, "hers") in told
    head = await log.head()
    assert head > before
    async with running(log, tmp_path / "a.sqlite", noop("bench")):
        pass
    async with running(log, tmp_path / "b.sqlite", noop("bench")):
        pass
    assert await log.head() == head, "a second start finds nothing left to do"
