"""The registry's decisions: what is news, and when a host is called sick."""

from __future__ import annotations

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from contracts.facts import HostFact, LogRouter, McpHealth, McpRegistered, McpRemoved
from contracts.host import Capability, HealthStatus, Host, Limits, Stdio, Tool
from contracts.wire import Breaker
from services.registry import domain
from services.registry.domain import Discovery, Known, Listed, ProbeEnded

HEALTHY, WARNING, UNHEALTHY, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.WARNING,
    HealthStatus.UNHEALTHY,
    HealthStatus.UNKNOWN,
)
READ = Tool("read", "Reads", {"properties": {"path": {}, "limit": {}}})
WRITE = Tool("write")


def host(id_: str = "h", /, **fields: object) -> Host:
    return msgspec.structs.replace(Host(id=id_, name=id_, endpoint=Stdio("x")), **fields)


class Book:
    """A log of host facts and the state that follows from it."""

    def __init__(self) -> None:
        self.state = domain.initial()
        self.seq = 0

    def take(self, command: domain.Command) -> list[HostFact]:
        facts = domain.decide(self.state, command)
        for fact in facts:
            self.seq += 1
            before = self.state.get(fact.host, domain.NOTHING)
            self.state[fact.host] = domain.evolve(before, self.seq, float(self.seq), fact)
        return facts

    def probe(
        self, reason: str = "", tools: tuple[Tool, ...] | None = None, name: str = "h"
    ) -> list[HostFact]:
        found = None if tools is None else Discovery(tools, "server 1", "2026-07-28")
        return self.take(ProbeEnded(name, self.state[name].seq, reason, 1.5, found))

    def status(self, name: str = "h") -> HealthStatus:
        return self.state[name].status


@pytest.fixture
def book() -> Book:
    book = Book()
    book.take(Listed((host(),)))
    return book


def test_a_new_host_is_registered_before_anybody_has_asked_it(book: Book) -> None:
    assert book.state["h"].spec == host()
    assert book.status() is UNKNOWN


def test_listing_the_same_hosts_again_changes_nothing(book: Book) -> None:
    book.probe(tools=(READ, WRITE))
    assert book.take(Listed((host(),))) == []


def test_a_changed_host_is_registered_again_with_the_next_number(book: Book) -> None:
    (fact,) = book.take(Listed((host(name="New name"),)))
    assert isinstance(fact, McpRegistered)
    assert (fact.k, fact.spec.name) == (2, "New name")


def test_new_limits_keep_the_tools_and_another_command_forgets_them(book: Book) -> None:
    book.probe(tools=(READ,))
    book.take(Listed((host(limits=Limits(max_concurrency=9)),)))
    spec = book.state["h"].spec
    assert spec is not None
    assert spec.tools == (READ,)
    book.take(Listed((host(endpoint=Stdio("y")),)))
    assert book.state["h"].spec == host(endpoint=Stdio("y"))


def test_a_host_that_no_manifest_names_is_removed_and_may_come_back(book: Book) -> None:
    book.probe("no answer: x")
    (fact,) = book.take(Listed(()))
    assert isinstance(fact, McpRemoved)
    assert (book.state["h"].spec, book.status()) == (None, UNKNOWN)
    assert book.take(Listed(())) == []
    (again,) = book.take(Listed((host(),)))
    assert again.k == 2


def test_hosts_that_came_another_way_are_left_alone(book: Book) -> None:
    other = McpRegistered(id="", by="", host="o", k=1, spec=host("o", source="command"))
    book.state["o"] = domain.evolve(domain.NOTHING, 9, 9.0, other)
    assert [fact.host for fact in book.take(Listed(()))] == ["h"]


def test_tools_become_capabilities_with_their_arguments(book: Book) -> None:
    declared = Capability("read", "2.0.0", ("fast",))
    book.take(Listed((host(capabilities=(declared,)),)))
    book.probe(tools=(READ, WRITE))
    spec = book.state["h"].spec
    assert spec is not None
    assert spec.capabilities == (declared, Capability("write"))
    assert (spec.server, spec.protocol) == ("server 1", "2026-07-28")
    assert domain.capability_of(READ) == Capability("read", parameters=("limit", "path"))


def test_a_tool_that_is_gone_takes_its_capability_along(book: Book) -> None:
    book.probe(tools=(READ, WRITE))
    facts = book.probe(tools=(WRITE,))
    assert [type(fact) for fact in facts] == [McpRegistered]
    spec = book.state["h"].spec
    assert spec is not None
    assert spec.capabilities == (Capability("write"),)


def test_finding_the_same_again_is_no_news(book: Book) -> None:
    assert len(book.probe(tools=(READ,))) == 2
    assert book.probe(tools=(READ,)) == []


def test_health_goes_down_in_two_steps_and_comes_back_in_two(book: Book) -> None:
    seen = []
    for reason in ("", "no answer: a", "no answer: b", "no answer: c", "", ""):
        book.probe(reason)
        seen.append(book.status())
    assert seen == [HEALTHY, WARNING, UNHEALTHY, UNHEALTHY, WARNING, HEALTHY]


def test_a_host_that_never_worked_is_unhealthy_at_once_and_says_why(book: Book) -> None:
    (fact,) = book.probe("not started: 'x' can't be run")
    assert isinstance(fact, McpHealth)
    assert (fact.status, fact.reason) == (UNHEALTHY, "not started: 'x' can't be run")


def test_a_recovering_host_says_so(book: Book) -> None:
    book.probe("no answer: a")
    book.probe()
    assert (book.status(), book.state["h"].reason) == (WARNING, domain.RECOVERING)


def test_another_kind_of_trouble_is_news_and_other_words_are_not(book: Book) -> None:
    book.probe("no answer: for 10 s")
    assert book.probe("no answer: for 12 s") == []
    (fact,) = book.probe("not started: gone")
    assert isinstance(fact, McpHealth)
    assert (fact.k, fact.status) == (2, UNHEALTHY)


def test_a_probe_of_what_a_host_was_before_says_nothing(book: Book) -> None:
    old = book.state["h"].seq
    book.take(Listed((host(endpoint=Stdio("y")),)))
    assert book.take(ProbeEnded("h", old, "no answer: x")) == []
    book.take(Listed(()))
    assert book.take(ProbeEnded("h", old, "no answer: x")) == []


def test_a_disabled_host_is_unknown_until_it_is_enabled_and_probed(book: Book) -> None:
    book.probe(tools=(READ,))
    assert len(book.take(Listed((host(enabled=False),)))) == 2
    assert (book.status(), book.state["h"].reason) == (UNKNOWN, domain.DISABLED)
    assert book.take(Listed((host(enabled=False),))) == []
    assert book.probe() == []
    book.take(Listed((host(),)))
    book.probe()
    assert (book.status(), book.state["h"].reason) == (HEALTHY, "")


REASONS = st.sampled_from(["", "", "no answer: x", "not started: y", "probe failed: z"])
TOOLS = st.permutations([READ, WRITE, Tool("count")]).flatmap(
    lambda tools: st.integers(0, 3).map(lambda n: tuple(tools[:n]))
)
HOSTS = st.builds(
    host,
    st.sampled_from(["h", "i"]),
    enabled=st.booleans(),
    endpoint=st.sampled_from([Stdio("x"), Stdio("y")]),
    capabilities=st.lists(
        st.sampled_from([Capability("read"), Capability("count", "2.0.0"), Capability("write")]),
        unique=True,
    ).map(tuple),
)
LISTINGS = st.lists(HOSTS, unique_by=lambda one: one.id).map(lambda all_: Listed(tuple(all_)))
PROBES = st.tuples(st.sampled_from(["h", "i"]), REASONS, TOOLS)


@hypothesis.given(st.lists(LISTINGS | PROBES, max_size=20))
def test_facts_are_numbered_without_gaps_and_repeats_are_no_news(
    history: list[Listed | tuple[str, str, tuple[Tool, ...]]],
) -> None:
    book = Book()
    numbers: dict[tuple[str, type], int] = {}
    for step in history:
        if isinstance(step, Listed):
            facts = book.take(step)
            assert book.take(step) == []
        else:
            name, reason, tools = step
            known = book.state.get(name, domain.NOTHING)
            found = None if reason else Discovery(tools)
            facts = book.take(ProbeEnded(name, known.seq, reason, 1.0, found))
        for fact in facts:
            key = (fact.host, type(fact))
            numbers[key] = numbers.get(key, 0) + 1
            assert fact.k == numbers[key]


@hypothesis.given(st.sampled_from(HealthStatus), st.lists(st.booleans(), min_size=2, max_size=30))
def test_two_equal_probes_in_a_row_decide_whatever_came_before(
    before: HealthStatus, probes: list[bool]
) -> None:
    status = before
    for ok in probes:
        status = domain.judge(status, ok)
        assert status is not UNKNOWN
    if probes[-1] == probes[-2]:
        assert status is (HEALTHY if probes[-1] else UNHEALTHY)


@hypothesis.given(st.lists(st.booleans(), max_size=30))
def test_one_failure_between_good_probes_never_makes_a_host_unhealthy(probes: list[bool]) -> None:
    status = domain.judge(UNKNOWN, True)
    for ok in probes:
        status = domain.judge(status, ok)
        status = domain.judge(status, True)
        status = domain.judge(status, True)
        assert status is HEALTHY


@hypothesis.given(
    st.text("abc", min_size=1, max_size=5),
    st.floats(0.1, 3600),
    st.sampled_from(HealthStatus),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_the_next_probe_is_never_far_off_the_schedule(
    name: str, interval: float, status: HealthStatus, failures: int, n: int
) -> None:
    delay = domain.next_probe_s(name, interval, status, failures, n)
    assert delay == domain.next_probe_s(name, interval, status, failures, n)
    longest = max(interval, 300.0) if failures > 1 else interval
    assert 0.17 * interval <= delay <= 1.11 * longest
    if status is WARNING:
        assert delay <= 0.23 * interval


def test_hosts_of_one_interval_spread_out() -> None:
    delays = {domain.next_probe_s(f"host-{n}", 30.0, HEALTHY, 0, 1) for n in range(100)}
    assert len(delays) == 100
    assert max(delays) - min(delays) > 5


@hypothesis.given(LISTINGS, TOOLS)
def test_discovery_can_be_taken_back(listing: Listed, tools: tuple[Tool, ...]) -> None:
    for one in listing.hosts:
        found = Discovery(tools, "s", "p")
        there = domain.discovered(one, found)
        assert domain.discovered(domain.undiscovered(there), found) == there
        offered = {capability.name for capability in there.capabilities}
        assert {tool.name for tool in tools} <= offered


def test_facts_that_are_not_about_hosts_change_nothing() -> None:
    known = Known(spec=host(), seq=1)
    assert domain.evolve(known, 2, 2.0, LogRouter(id="", by="", term=1)) is known


@hypothesis.given(st.integers(1, 400), st.floats(5, 600))
def test_hundreds_of_healthy_hosts_are_no_herd(hosts: int, interval: float) -> None:
    times = [domain.first_probe_s(f"h{n}", interval, HealthStatus.HEALTHY) for n in range(hosts)]
    assert all(0 <= at < interval for at in times)
    tenths = [sum(int(at / interval * 10) == part for at in times) for part in range(10)]
    assert max(tenths) <= 10 + hosts / 5, "spread over the whole interval"
    for status in (HealthStatus.UNKNOWN, HealthStatus.UNHEALTHY, HealthStatus.WARNING):
        assert domain.first_probe_s("h", interval, status) == 0


def test_a_host_whose_sessions_die_is_no_healthy_one() -> None:
    book = Book()
    book.take(Listed((host(),)))
    book.take(ProbeEnded("h", 1))
    known = book.state["h"]
    told = Breaker("executor-1", "h", known.seq, open=False, deaths=3)
    heard = domain.hear({}, told, 1.0)
    reason = domain.flapping(heard, "h", known, 1.0)
    assert reason == "calls: its process died or fell silent 3 times lately, in calls"
    assert domain.failing(heard, "h", known, 1.0) == ""
    (fact,) = book.take(ProbeEnded("h", known.seq, flapping=reason))
    assert (fact.status, fact.reason) == (HealthStatus.WARNING, reason)
    assert domain.hear(heard, msgspec.structs.replace(told, deaths=0), 2.0) == {}


def test_a_flapping_host_is_no_healthy_one() -> None:
    book = Book()
    book.take(Listed((host(),)))
    book.take(ProbeEnded("h", 1))
    (fact,) = book.take(ProbeEnded("h", 1, flapping="calls: 7 of the last 12 calls failed"))
    assert (fact.status, fact.reason[:6]) == (HealthStatus.WARNING, "calls:")
    assert book.take(ProbeEnded("h", 1, flapping="calls: 8 of the last 12 calls failed")) == []
    (fact,) = book.take(ProbeEnded("h", 1))
    assert fact.status is HealthStatus.HEALTHY
