"""Preferences for hosts over the HTTP API: one's own only, each counted up, read at once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import McpPreferred, McpRegistered, McpRemoved, Record, encode
from contracts.host import Host, Noop
from contracts.subjects import matches, of, preferences, preferences_of
from services.bus.bus import Bus
from services.gateway import domain
from services.gateway import projection as tables
from services.gateway.actor import TRIES
from services.gateway.domain import Origin
from services.log.memory import MemoryLog
from services.log.port import LogUnavailable
from services.log.projection import merge
from services.process.ids import new_id
from tests.unit.gateway.world import World, error_of, world

ORIGIN = Origin("alice", "api", "fact-1", "gateway-1")
WEIGHTS = st.none() | st.floats(0, 1)


def registered(host: str, owner: str | None = None, k: int = 1) -> McpRegistered:
    spec = Host(id=host, name=host, endpoint=Noop(), owner=owner)
    return McpRegistered(id=new_id(), by="registry-1", host=host, k=k, spec=spec)


async def registers(gateway: World) -> None:
    """Register a host for everybody, and one of each of two users."""
    await gateway.append(
        registered("all"), registered("alice/hers", "alice"), registered("bob/his", "bob")
    )
    await gateway.settled()


async def said(gateway: World, user: str = "*", host: str = "*") -> list[tuple[Any, ...]]:
    """What the log holds: user, host, k and weight of each preference."""
    filters = preferences_of(user) if host == "*" else preferences(user, host)
    records = await gateway.log.read(filters)
    facts = [record.fact for record in records if isinstance(record.fact, McpPreferred)]
    assert len(facts) == len(records)
    return [(fact.user, fact.host, fact.k, fact.weight) for fact in facts]


async def put(client: httpx.AsyncClient, host: str, weight: object) -> httpx.Response:
    return await client.put(f"/api/preferences/{host}", json={"weight": weight})


async def listed(client: httpx.AsyncClient) -> list[tuple[str, float]]:
    found = (await client.get("/api/preferences")).json()["data"]
    return [(entry["host"], entry["weight"]) for entry in found]


async def test_a_preference_is_read_at_once_changed_and_taken_back(gateway: World) -> None:
    await registers(gateway)
    async with gateway.http() as client:
        assert await listed(client) == []
        for weight in (0.25, 1, 0):
            answer = await put(client, "all", weight)
            assert (answer.status_code, answer.json()["data"]["weight"]) == (200, weight)
            assert await listed(client) == [("all", weight)]
        await put(client, "hers", 0.5)
        assert await listed(client) == [("all", 0), ("alice/hers", 0.5)]
        gone = await client.delete("/api/preferences/all")
        assert gone.json()["data"] == {"host": "all", "weight": None, "seq": 8}
        assert await listed(client) == [("alice/hers", 0.5)]
    weights = [(k, weight) for _, _, k, weight in await said(gateway, "alice", "all")]
    assert weights == [(1, 0.25), (2, 1), (3, 0), (4, None)]


async def test_a_bare_name_is_the_operators_host_and_else_ones_own(gateway: World) -> None:
    await registers(gateway)
    await gateway.append(registered("alice/all", "alice"), registered("bob/hers", "bob"))
    await gateway.settled()
    async with gateway.http() as alice, gateway.http("bob-token") as bob:
        for host, meant in (("all", "all"), ("hers", "alice/hers"), ("alice/all", "alice/all")):
            assert (await put(alice, host, 0.5)).json()["data"]["host"] == meant
        assert (await put(bob, "hers", 1)).json()["data"]["host"] == "bob/hers"
        gone = [McpRemoved(id=new_id(), by="r", host=host, k=1) for host in ("alice/hers", "all")]
        await gateway.append(*gone)
        await gateway.settled()
        # What was said of a host that has gone is found under the name that one says.
        for host, meant in (("hers", "alice/hers"), ("all", "alice/all"), ("all", "all")):
            answer = (await alice.delete(f"/api/preferences/{host}")).json()["data"]
            assert answer["host"] == meant
            await gateway.append(McpRemoved(id=new_id(), by="r", host=meant, k=2))
            await gateway.settled()
        assert await listed(alice) == []
        assert await listed(bob) == [("bob/hers", 1)]


async def test_a_host_that_is_taken_over_takes_what_was_said_along(gateway: World) -> None:
    await gateway.append(registered("old", "alice"), registered("other", "bob"))
    for user in ("alice", "bob"):
        said_ = McpPreferred(id=new_id(), by="g", user=user, host="old", k=3, weight=0.25)
        gateway.log.foreign(f"mcp.preferred.{user}.old.3", encode(said_))  # type: ignore[attr-defined]
    new = msgspec.structs.replace(registered("alice/old", "alice"), was="old")
    await gateway.append(new, McpRemoved(id=new_id(), by="r", host="old", k=1))
    assert await gateway.site.projection.reached(await gateway.log.head(), 10)
    async with gateway.http() as alice, gateway.http("bob-token") as bob:
        assert await listed(alice) == [("alice/old", 0.25)]
        assert await listed(bob) == [("old", 0.25)], "he never meant hers"
        assert (await put(alice, "old", 0.5)).json()["data"]["host"] == "alice/old"
        assert await listed(alice) == [("alice/old", 0.5)]


async def test_what_was_said_to_an_earlier_release_is_counted_on(gateway: World) -> None:
    await registers(gateway)
    earlier = McpPreferred(id=new_id(), by="g", user="alice", host="all", k=3, weight=0.25)
    gateway.log.foreign("mcp.preferred.alice.all.3", encode(earlier))  # type: ignore[attr-defined]
    await gateway.settled()
    async with gateway.http() as client:
        assert (await put(client, "all", 0.25)).json()["data"]["seq"] == 4
        assert (await put(client, "all", 1)).json()["data"]["seq"] == 5
    record = await gateway.log.at(5)
    assert record is not None
    assert record.subject == "mcp.preferred.alice.-.all.4"


async def test_a_list_says_since_when_each_holds(gateway: World) -> None:
    await registers(gateway)
    async with gateway.http() as client:
        seq = (await put(client, "all", 0.5)).json()["data"]["seq"]
        (entry,) = (await client.get("/api/preferences")).json()["data"]
    record = await gateway.log.at(seq)
    assert record is not None
    assert entry == {"host": "all", "weight": 0.5, "since": record.at}


async def test_the_same_again_appends_nothing(gateway: World) -> None:
    await registers(gateway)
    async with gateway.http() as client:
        nothing = await client.delete("/api/preferences/all")
        assert nothing.json()["data"] == {"host": "all", "weight": None, "seq": 0}
        first, again = await put(client, "all", 1), await put(client, "all", 1.0)
        assert first.json() == again.json()
        gone = await client.delete("/api/preferences/all")
        assert (await client.delete("/api/preferences/all")).json() == gone.json()
    assert [entry[2:] for entry in await said(gateway)] == [(1, 1.0), (2, None)]


async def test_everybody_has_preferences_of_their_own(gateway: World) -> None:
    await registers(gateway)
    async with gateway.http() as alice, gateway.http("bob-token") as bob:
        await put(alice, "all", 1)
        assert await listed(bob) == []
        await put(bob, "all", 0)
        assert (await listed(alice), await listed(bob)) == ([("all", 1)], [("all", 0)])
        await bob.delete("/api/preferences/all")
        assert await listed(alice) == [("all", 1)]
    async with gateway.http("admin-token") as auditor:
        assert (await auditor.get("/api/preferences")).json()["data"] == []
        assert (await auditor.get("/api/preferences?user=alice")).status_code == 400
    assert await said(gateway, "alice") == [("alice", "all", 1, 1.0)]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("token", ["bob-token", "admin-token"])
async def test_hosts_that_one_may_not_use_do_not_exist(
    gateway: World, method: str, token: str
) -> None:
    await registers(gateway)
    async with gateway.http(token) as client:
        hers, none = [
            error_of(await client.request(method, f"/api/preferences/{host}", json={"weight": 1}))
            for host in ("alice/hers", "alice/none")
        ]
    assert (hers.code, hers.reason) == (404, "not_found")
    assert none.message == hers.message.replace("hers", "none")
    assert await said(gateway) == []


async def test_what_was_said_about_a_host_that_has_gone_can_be_taken_back(gateway: World) -> None:
    await registers(gateway)
    async with gateway.http() as client:
        await put(client, "all", 0)
        await gateway.append(McpRemoved(id=new_id(), by="registry-1", host="all", k=1))
        await gateway.settled()
        assert await listed(client) == [("all", 0)]
        assert error_of(await put(client, "all", 1)).code == 404
        assert (await client.delete("/api/preferences/all")).status_code == 200
        assert await listed(client) == []
        assert error_of(await client.delete("/api/preferences/all")).code == 404


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"1", b"[]", b"{}", b"\xff", b'{"weight":null}', b'{"weight":"1"}'),
        *(b'{"weight":true}', b'{"weight":1.01}', b'{"weight":-0.1}', b'{"weight":NaN}'),
        *(b'{"weight":1e999}', b'{"weight":1,"user":"bob"}', b'{"weight":' + b"[" * 9000),
    ],
)
async def test_other_weights_are_refused_with_the_form(gateway: World, body: bytes) -> None:
    await registers(gateway)
    async with gateway.http() as client:
        error = error_of(await client.put("/api/preferences/all", content=body))
    assert (error.code, error.reason) == (400, "bad_request")
    assert '{"weight": 0.5}' in error.message
    assert await said(gateway) == []


@pytest.mark.parametrize("host", ["a.b", "*", ">", "%3E", "a%20b", "x" * 65])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_only_ids_name_hosts(gateway: World, method: str, host: str) -> None:
    async with gateway.http() as client:
        answer = await client.request(method, f"/api/preferences/{host}", json={"weight": 1})
    assert (answer.status_code, error_of(answer).reason) == (400, "bad_id")


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_good_token_there_is_nothing(gateway: World, token: str | None) -> None:
    await registers(gateway)
    async with gateway.http(token) as client:
        answers = [
            await client.get("/api/preferences"),
            await put(client, "all", 1),
            await client.delete("/api/preferences/all"),
        ]
    assert [error_of(answer).code for answer in answers] == [401] * 3
    assert await said(gateway) == []


async def test_of_many_at_once_each_gets_its_own_number_and_the_last_holds(gateway: World) -> None:
    await registers(gateway)
    weights = [n / TRIES for n in range(TRIES)]
    async with gateway.http() as client:
        answers = await asyncio.gather(*(put(client, "all", weight) for weight in weights))
        assert [answer.status_code for answer in answers] == [200] * TRIES
        stored = await said(gateway, "alice", "all")
        assert await listed(client) == [("all", stored[-1][3])]
    assert [k for _, _, k, _ in stored] == list(range(1, TRIES + 1))
    assert sorted(weight for *_, weight in stored) == weights


class Rivals(MemoryLog):
    """A log in which somebody else is always first, as long as they have weights to say."""

    weights: tuple[float, ...] = ()

    async def append(self, fact: Any, *args: Any, **options: Any) -> int:
        if isinstance(fact, McpPreferred) and self.weights:
            first, *rest = self.weights
            self.weights = tuple(rest)
            theirs = msgspec.structs.replace(fact, id=new_id(), by="gateway-2", weight=first)
            await super().append(theirs)
        return await super().append(fact, *args, **options)


async def test_whoever_was_overtaken_looks_again(tmp_path: Path, bus: Bus) -> None:
    log = Rivals()
    async with world(tmp_path, bus, log=log) as gateway, gateway.http() as client:
        await registers(gateway)
        log.weights = (0.1, 0.2)
        assert (await put(client, "all", 0.3)).status_code == 200
        log.weights = (0.4,)
        same = await put(client, "all", 0.4)
        assert (await listed(client), same.status_code) == ([("all", 0.4)], 200)
        weights = [weight for *_, weight in await said(gateway)]
        assert weights == [0.1, 0.2, 0.3, 0.4]
        log.weights = tuple(0.5 + n / 100 for n in range(TRIES))
        error = error_of(await put(client, "all", 1))
        assert (error.code, error.reason) == (409, "conflict")
        assert 1 not in [weight for *_, weight in await said(gateway)]


class AwayLog(MemoryLog):
    """A log that can be out of reach after it has stored what it got."""

    away = False

    async def append(self, *args: Any, **options: Any) -> int:
        seq = await super().append(*args, **options)
        if self.away:
            raise LogUnavailable("gone fishing")
        return seq


async def test_while_the_log_is_away_it_is_safe_to_send_again(tmp_path: Path, bus: Bus) -> None:
    log = AwayLog()
    async with world(tmp_path, bus, log=log) as gateway, gateway.http() as client:
        await registers(gateway)
        log.away = True
        answer = await put(client, "all", 0.5)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "Send it again" in error_of(answer).message
        log.away = False
        assert (await put(client, "all", 0.5)).json()["data"]["seq"] == 4
        assert await said(gateway) == [("alice", "all", 1, 0.5)]


@given(st.lists(WEIGHTS))
def test_any_wishes_end_with_the_last_of_them(wishes: list[float | None]) -> None:
    stored: list[McpPreferred] = []
    for wish in wishes:
        last = stored[-1] if stored else None
        fact = domain.prefer(ORIGIN, "h1", last, wish, usable=True)
        if fact is not None:
            stored.append(fact)
            assert matches(preferences("alice", "h1")[0], of(fact))
        newest = stored[-1] if stored else None
        assert domain.prefer(ORIGIN, "h1", newest, wish, usable=True) is None
    assert [fact.k for fact in stored] == list(range(1, len(stored) + 1))
    assert all(one.weight != other.weight for one, other in pairwise(stored))
    if wishes:
        assert (stored[-1].weight if stored else None) == wishes[-1]


STEPS = st.tuples(st.sampled_from(["u1", "u2"]), st.sampled_from(["h1", "h2"]), WEIGHTS)


@given(st.lists(STEPS), st.sets(st.integers(0, 20)))
def test_rows_are_the_last_words_however_the_log_is_cut(
    steps: list[tuple[str, str, float | None]], cuts: set[int]
) -> None:
    records, last = [], {}
    for n, (user, host, weight) in enumerate(steps, 1):
        fact = McpPreferred(id=new_id(), by="g", user=user, host=host, k=n, weight=weight)
        records.append(Record(n, n / 10, of(fact), fact, encode(fact)))
        last[user, host] = (weight, n / 10)
    expected = sorted((*key, *held) for key, held in last.items() if held[0] is not None)
    edges = [0, *sorted(c for c in cuts if c < len(records)), len(records)]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for statement in tables.SCHEMA:
            db.execute(statement)
        for start, end in pairwise(edges):
            for sql, rows in merge(tables.apply(records[start:end])):
                db.executemany(sql, rows)
        assert sorted(db.execute("SELECT * FROM preferences")) == expected
