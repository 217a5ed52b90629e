"""Filters and score: who may serve a task, and who does it best."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Execute, HealthStatus, StreamableHttp
from services.outside.fits import provides, version_key
from services.router.select import (
    Demand,
    HostEntry,
    Need,
    Selection,
    choose,
    policy,
    screen,
    select,
    why_nobody,
)
from services.router.settings import Settings
from tests.unit.router.world import capability, flags, host, space

POLICY = policy(Settings())
WORK = Need("work")
HEALTHY, WARNING = HealthStatus.HEALTHY, HealthStatus.WARNING
UNHEALTHY, UNKNOWN = HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN


def entries(*hosts, status=HEALTHY):
    return [HostEntry(spec, seq, status) for seq, spec in enumerate(hosts, 1)]


def like_all(user: str, host: str) -> float:
    return 1.0


def pick(need: Need, hosts: list[HostEntry], user: str = "alice", **fields) -> Selection | None:
    slots = fields.pop("slots", {})
    return select(Demand(need, user, **fields), hosts, slots, like_all, POLICY)


def removed(need: Need, hosts: list[HostEntry], user: str = "alice", **fields) -> dict:
    return screen(Demand(need, user, **fields), hosts).removed


def test_the_filter_that_removed_a_host_is_named() -> None:
    hosts = entries(
        host("a", 1, "other"),
        host("b", enabled=False, capabilities=(capability("parse"),)),
        host("c"),
        host("d", capabilities=(capability("parse"),)),
    )
    need = Need("work", required=(capability("parse"),))
    assert removed(need, hosts) == {"task_type": ("a",), "disabled": ("b",), "capability": ("c",)}
    assert removed(Need("work", host="c"), hosts)["pinned"] == ("d",)
    assert pick(need, hosts).host == "d"


@pytest.mark.parametrize("status", [UNHEALTHY, UNKNOWN])
def test_a_host_that_is_not_known_to_work_gets_nothing_but_may_later(status) -> None:
    found = screen(Demand(WORK, "alice"), entries(host(), status=status))
    assert found.removed == {"health": ("h1",)}
    assert found.possible
    assert not found.fits


def test_a_warning_costs_score_but_not_the_work() -> None:
    hosts = [HostEntry(host("a"), 1, WARNING), HostEntry(host("b"), 2, HEALTHY)]
    chosen = pick(WORK, hosts)
    assert [c.host for c in chosen.candidates] == ["b", "a"]
    assert chosen.candidates[1].health == 0.7
    assert pick(WORK, hosts[:1]).host == "a"


def test_other_users_hosts_are_neither_used_nor_named() -> None:
    hosts = entries(space("bobs", "bob"), host("a", 1, "other"))
    assert pick(WORK, hosts) is None
    assert removed(WORK, hosts) == {"task_type": ("a",)}
    assert "bobs" not in why_nobody(Demand(WORK, "alice"), hosts)
    assert why_nobody(Demand(Need("work", host="bobs"), "alice"), hosts) == why_nobody(
        Demand(Need("work", host="bobs"), "alice"), hosts[1:]
    )
    assert pick(WORK, hosts, "bob").host == "bobs"


def test_any_mcp_host_takes_a_direct_tool_call_and_an_execute_host_does_not() -> None:
    hosts = entries(
        host("http", endpoint=StreamableHttp("https://example.org")),
        host("exec", endpoint=Execute("https://example.org")),
    )
    assert removed(Need("mcp.call"), hosts) == {"task_type": ("exec",)}


def test_heavy_work_needs_a_space_or_a_host_that_accepts_it() -> None:
    heavy = Need("work", heavy=True)
    hosts = entries(host("plain"), host("strong", flags=flags(accepts_heavy=True)))
    assert removed(heavy, hosts) == {"placement": ("plain",)}
    assert pick(heavy, hosts).host == "strong"
    own = entries(space("zz", "alice"), hosts[1].spec)
    assert pick(heavy, own).host == "zz"
    assert pick(heavy, own).candidates[1].resource == 0.5


def test_after_its_space_failed_heavy_work_may_run_beside_the_orchestrator() -> None:
    hosts = entries(host("plain"), space("own", "alice"))
    heavy = Need("work", heavy=True)
    assert pick(heavy, hosts, excluded=("own",)).host == "own"
    assert pick(heavy, hosts, excluded=("own",), fallback=True).host == "plain"


def test_light_work_prefers_light_places() -> None:
    hosts = entries(
        space("a", "alice"), host("b", flags=flags(requires_user_space=True)), host("c")
    )
    chosen = pick(WORK, hosts)
    assert chosen.host == "c"
    assert {c.host: c.resource for c in chosen.candidates} == {"a": 0.5, "b": 0.5, "c": 1.0}


def test_a_sick_host_is_left_out_while_there_is_another() -> None:
    hosts = entries(host("a"), host("b"))
    assert removed(WORK, hosts, excluded=("a",)) == {"excluded": ("a",)}
    assert pick(WORK, hosts, excluded=("a",)).host == "b"
    only = screen(Demand(WORK, "alice", ("a",)), hosts[:1])
    assert only.lifted
    assert [fit.host for fit in only.fits] == ["a"]


def test_a_full_host_is_out_and_a_busy_one_scores_less() -> None:
    hosts = entries(host("a", 4), host("b", 4))
    chosen = pick(WORK, hosts, slots={"a": 2})
    assert chosen.host == "b"
    assert chosen.slots == {"a": 2}
    full = pick(WORK, hosts, slots={"a": 4, "b": 1})
    assert full.host == "b"
    assert full.removed == {"slots": ("a",)}
    assert pick(WORK, hosts, slots={"a": 4, "b": 4}) is None


def test_the_score_is_the_specs() -> None:
    need = Need("work", (capability("x"),), (capability("y"),))
    hosts = entries(host("a", 4, capabilities=(capability("x"),)))
    found = screen(Demand(need, "alice"), hosts)
    chosen = choose(found, "alice", {"a": 1}, lambda user, host: 0.5, POLICY)
    assert chosen.candidates[0].capability == 0.5
    assert chosen.score == round(0.4 * 0.5 + 0.3 * 1 + 0.2 * 0.75 + 0.1 * 0.5, 6)


def test_ties_go_to_the_first_id() -> None:
    assert pick(WORK, entries(host("b"), host("a"))).host == "a"


def test_reasons_stay_short() -> None:
    hosts = entries(*(host(f"host-{n:060}", 1, "other") for n in range(500)))
    why = why_nobody(Demand(WORK, "alice"), hosts)
    assert len(why) < 2500
    assert why.endswith(" and 480 more)")
    last = Demand(Need("work", host=f"host-{499:060}"), "alice")
    assert why_nobody(last, hosts).endswith(": task_type")
    assert why_nobody(Demand(WORK, "alice"), []) == "no host is registered"


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.2.9", "1.2.10"),
        ("1.9", "1.10.0"),
        ("1.0.0-beta.2", "1.0.0-beta.10"),
        ("1.0.0-rc1", "1.0.0"),
        ("1.0rc1", "1.0"),
        ("0.9.9", "1.0.0-alpha"),
        ("v1.9", "v2"),
        ("nonsense", "0.1"),
        ("1.0.dev1", "1.0a1"),
        ("1.0", "1.0.post1"),
        ("1.0-snapshot", "1.0"),
        ("1.2.x", "1.3"),
        ("9" * 5000, "9" * 19),
    ],
)
def test_versions_are_compared_as_versions(lower: str, higher: str) -> None:
    assert version_key(lower) < version_key(higher)
    assert provides([capability("x", higher)], capability("x", lower))
    assert not provides([capability("x", lower)], capability("x", higher))


@pytest.mark.parametrize(("one", "same"), [("1", "1.0.0"), ("v1.2", "1.2"), ("1.0+b1", "1.0+b2")])
def test_versions_that_are_written_differently_are_equal(one: str, same: str) -> None:
    assert version_key(one) == version_key(same)


def test_parameters_must_be_contained() -> None:
    offered = [capability("parse", "2.0", "python", "rust")]
    assert provides(offered, capability("parse", "1.0", "python"))
    assert not provides(offered, capability("parse", "1.0", "cobol"))
    assert not provides(offered, capability("walk"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_two_version_strings_can_be_compared(one: str, other: str) -> None:
    assert (version_key(one) < version_key(other)) == (version_key(other) > version_key(one))


BETTER = (WARNING, HEALTHY)
NAMES = ("x", "y", "z")


@given(
    asked=st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
    has=st.sets(st.sampled_from(NAMES)),
    more=st.sets(st.sampled_from(NAMES)),
    used=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    liked=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    health=st.tuples(st.sampled_from(BETTER), st.sampled_from(BETTER)),
    heavy=st.booleans(),
    other=st.sampled_from([0.2, 0.5, 0.8]),
)
def test_a_host_that_is_better_in_any_way_is_never_worse_off(
    asked, has, more, used, liked, health, heavy, other
) -> None:
    """Each factor of the score alone: capabilities, placement, slots, health, preference."""
    need = Need("work", preferred=tuple(map(capability, asked)), heavy=heavy)
    used, liked = sorted(used, reverse=True), sorted(liked)
    health = sorted(health, key=BETTER.index)

    def total(has, used, liked, health, place) -> tuple[float, int]:
        """Score and rank of host `a` against one that stays as it is."""
        a = place("a", 4, capabilities=tuple(map(capability, sorted(has))))
        b = host("b", 4, flags=flags(accepts_heavy=True))
        found = screen(Demand(need, "alice"), [HostEntry(a, 1, health), HostEntry(b, 2, HEALTHY)])
        taste = {"a": liked, "b": other}
        chosen = choose(found, "alice", {"a": used}, lambda _, id_: taste[id_], POLICY)
        names = [candidate.host for candidate in chosen.candidates]
        return chosen.candidates[names.index("a")].score, -names.index("a")

    def strong(id_, slots, **fields):
        return host(id_, slots, flags=flags(accepts_heavy=True), **fields)

    def own(id_, slots, **fields):
        return space(id_, "alice", slots, **fields)

    worse, better = (strong, own) if heavy else (own, strong)
    before = {"has": has, "used": used[0], "liked": liked[0], "health": health[0], "place": worse}
    after = {"has": has | more, "used": used[1], "liked": liked[1], "health": health[1]}
    after |= {"place": better}
    for name, value in after.items():
        low, high = total(**before), total(**before | {name: value})
        assert low <= high
    assert total(**before) <= total(**after)


def test_the_digest_tells_settings_apart() -> None:
    assert policy(Settings()) == POLICY
    assert policy(Settings(max_attempts=4)) != POLICY
