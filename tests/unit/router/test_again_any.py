"""Whatever happens: a result is given again if, and only if, the log allows it; nothing is lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.cached import cache_for, owned, shareable, version
from contracts.facts import JobDone, McpRegistered, Record, ResultDeleted, TaskCreated, TaskRouted
from contracts.host import Cache
from contracts.task import input_sha256, tool_of
from services.audit.given_again import given_again
from services.router.answers import PastAnswer
from services.router.domain import evolve, initial
from tests.unit.router.test_again import ANSWER, BLOB, call, server, succeed
from tests.unit.router.test_projection import written
from tests.unit.router.world import World, ready, routes

SCOPES = (Cache(100), Cache(100, "all"), Cache(10, "all"), None)
USERS = st.sampled_from(("alice", "bob"))
CALLS = st.tuples(
    st.just("call"), USERS, st.integers(1, 2), st.booleans(), st.sampled_from((ANSWER, BLOB))
)
STEPS = st.one_of(
    CALLS,
    CALLS,
    CALLS,
    st.tuples(st.just("register"), st.integers(1, 2), st.sampled_from(SCOPES)),
    st.tuples(st.just("delete"), USERS, st.integers(0, 20)),
    st.tuples(st.just("later"), st.sampled_from((1, 9, 60))),
)


def live(steps: list[tuple[Any, ...]]) -> World:
    """What is routed succeeds at once."""
    world = ready(server(cache={"look": SCOPES[0]}))
    for n, (what, *about) in enumerate(steps):
        if what == "call":
            user, q, fresh, result = about
            call(world, f"t{n}", user, arguments={"q": q}, fresh=fresh)
            for route in routes(world.run()):
                succeed(world, route, result)
        elif what == "register":
            number, cache = about
            known = {"look": cache} if cache else {}
            world.register(server(cache=known, server=f"s {number}"))
        elif what == "delete":
            fact = ResultDeleted(id="", by="r", user=about[0], task=f"t{about[1]}", reason="x")
            if not any(r.fact == fact for r in world.records):
                world.put(fact)
        else:
            world.elapsed += about[0]
    return world


class Found(NamedTuple):
    """A result that the task may have."""

    record: Record
    whose: str
    """Empty: everybody's."""
    ttl_s: float
    """As the host said when it was made: later it may be forgotten."""

    @property
    def about(self) -> tuple[str, str]:
        return self.record.fact.user, self.record.fact.task


def allowed(before: list[Record], asked: TaskCreated, now: float) -> list[Found]:
    """Results that the task may have, looked for from the first fact on."""
    hosts = [r for r in before if isinstance(r.fact, McpRegistered)]
    spec, host = asked.spec, hosts[-1].fact.spec
    cache = cache_for(host, spec.type, tool_of(spec))
    if cache is None or spec.fresh:
        return []
    found: list[Found] = []
    for record in before:
        match record.fact:
            case ResultDeleted(user=user, task=task):
                # Those before it were not kept beside it.
                for one in [f for f in found if f.about == (user, task)]:
                    at = found.index(one)
                    found = [f for f in found[:at] if f.whose != one.whose] + found[at + 1 :]
            case JobDone(from_="") as work if work.input_sha256 == input_sha256(spec):
                then = [r for r in hosts if r.seq < record.seq][-1].fact.spec
                caching = cache_for(then, spec.type, tool_of(spec))
                if caching is not None and version(then) == version(host):
                    shared = shareable(caching, work.result, own=owned(spec))
                    found.append(Found(record, "" if shared else work.user, caching.ttl_s))
    reach = {asked.user, ""} if cache.scope == "all" else {asked.user}
    fresh = [one for one in found if now - one.record.at <= cache.ttl_s]
    return [one for one in fresh if one.whose in reach]


@given(st.lists(STEPS, max_size=20), st.sets(st.integers(1, 100)))
def test_it_is_given_exactly_where_the_log_allows_it(
    steps: list[tuple[Any, ...]], writes: set[int]
) -> None:
    world = live(steps)
    records = world.records
    tasks = {r.fact.task: r for r in records if isinstance(r.fact, TaskCreated)}
    for record in records:
        match record.fact:
            case JobDone(from_=str(from_), earlier=earlier) if from_:
                asked = tasks[record.fact.task]
                assert list(given_again([asked, record], records)) == []
                newest = allowed(records[: record.seq - 1], asked.fact, earlier.now)[-1]
                assert newest.record.seq == earlier.seq
            case TaskRouted(route=route):
                asked = tasks[record.fact.task]
                found = allowed(records[: route.basis], asked.fact, route.now)
                assert [one for one in found if route.now - one.record.at <= one.ttl_s] == []
    again = initial()
    for record in records:
        evolve(again, record)
    assert list(again.answers) == list(world.state.answers)
    tables = written(records, writes)[0]
    assert tables == written(records, {r.seq for r in records})[0]
    rows = sorted(tables["router_answers"], key=lambda row: row[1])
    assert [msgspec.json.decode(row[2], type=PastAnswer) for row in rows] == list(again.answers)
