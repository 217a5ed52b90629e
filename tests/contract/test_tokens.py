"""Issued tokens and shared request counts on a real nats-server: who hears what, and who may."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.subjects import LIMITS_BUCKET, TICKETS_BUCKET, TOKENS_BUCKET
from services.bus.bus import Bus
from services.bus.errors import PermissionDenied
from services.gateway.access import tickets as tickets_module
from services.gateway.access import tokens as module
from services.gateway.access.admission import Admission
from services.gateway.access.identity import Principal, digest
from services.gateway.access.limits import Exchange, RateLimit, Report, short
from services.gateway.access.tickets import Tickets
from services.gateway.access.tokens import Issued, Tokens
from services.gateway.access.use import OverBudget
from services.store.kv import Bucket, KvChange
from services.store.stream import StoreError
from services.up.nats_config import AUDITOR, OPERATOR, ROLES
from tests.support.bearers import bearer
from tests.support.facts import name
from tests.support.nats import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("gateway") as one:
        yield one


def tokens_on(bus: Bus) -> Tokens:
    return Tokens(Bucket(bus, TOKENS_BUCKET))


def tickets_on(bus: Bus) -> Tickets:
    return Tickets(Bucket(bus, TICKETS_BUCKET))


async def until(condition: Callable[[], bool]) -> None:
    never = asyncio.Event()
    async with asyncio.timeout(30):
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.02)


@contextlib.asynccontextmanager
async def running(work: object) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.wait((task,))


@pytest.mark.parametrize("role", [role for role in ROLES if role not in (OPERATOR, AUDITOR)])
@pytest.mark.parametrize("bucket", [TOKENS_BUCKET, LIMITS_BUCKET, TICKETS_BUCKET])
async def test_the_gateway_alone_reads_and_writes(
    nats_server: NatsServer, role: str, bucket: str
) -> None:
    async with nats_server.connected(role) as bus:
        one = Bucket(bus, bucket)
        if role == "gateway":
            await one.changes(0)
            assert await one.put(name("k"), b"[]", ttl_s=60)
            return
        with pytest.raises((StoreError, PermissionDenied)):
            await one.changes(0)
        with pytest.raises((StoreError, PermissionDenied)):
            await one.put("k", b"{}")


async def test_changes_are_heard_in_order_and_the_newest_of_a_key_alone(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("gateway") as bus:
        bucket = Bucket(bus, TOKENS_BUCKET)
        assert await bucket.changes(0) == []
        await bucket.put("a", b"1")
        await bucket.put("b", b"1")
        await bucket.put("a", b"2")
        assert await bucket.changes(0) == [KvChange("b", b"1", 2), KvChange("a", b"2", 3)]
        assert await bucket.delete("b", marker_s=60)
        assert await bucket.changes(3) == [KvChange("b", None, 4)]
        assert await bucket.changes(4) == []
        for number in range(300):
            await bucket.put(f"k{number}", b"x")
        page = await bucket.changes(4)
        more = await bucket.changes(page[-1].revision)
        assert [change.key for change in page + more] == [f"k{n}" for n in range(300)]


async def test_a_token_is_stored_as_its_digest(bus: Bus) -> None:
    tokens, user = tokens_on(bus), name("u")
    before = time.time()
    issued, token = await tokens.add(user, ("auditor",), 3600, "for the audit")
    assert token.startswith("mtm_")
    assert len(token) == 4 + 43
    assert tokens.of(token) == bearer(issued, "auditor")
    assert issued.expires is not None
    assert issued.expires >= before + 3600
    found = await Bucket(bus, TOKENS_BUCKET).get(digest(token))
    assert found is not None
    assert msgspec.json.decode(found.value) == {
        "id": issued.id,
        "user": user,
        "roles": ["auditor"],
        "created": issued.created,
        "expires": issued.expires,
        "note": "for the audit",
    } | {"scopes": None, "epoch": 0, "by": ""}
    assert token not in repr((issued, tokens.of(token), vars(tokens)))


async def test_another_gateway_hears_of_a_token_and_of_its_end(
    nats_server: NatsServer, bus: Bus
) -> None:
    async with nats_server.connected("gateway") as elsewhere:
        here, there = tokens_on(bus), tokens_on(elsewhere)
        told: list[frozenset[str]] = []
        there.on_gone.append(told.append)
        async with running(there.follow()):
            issued, token = await here.add(name("u"), (), None, "")
            await until(lambda: there.of(token) is not None)
            principal = there.of(token)
            assert principal is not None
            assert there.holds(principal)
            assert await here.revoke(issued.id) == (issued, True)
            assert here.of(token) is None
            await until(lambda: there.of(token) is None)
            assert not there.holds(principal)
            assert [ids for ids in told if issued.id in ids] == [{issued.id}]
        with pytest.raises(Rejected) as refusal:
            await there.revoke(issued.id)
        assert refusal.value.reason is Reason.NOT_FOUND


async def test_tokens_are_there_after_a_start_and_for_others_at_once(bus: Bus) -> None:
    user = name("u")
    first, token = await tokens_on(bus).add(user, (), None, "first")
    second, _ = await tokens_on(bus).add(user, (), None, "second")
    third, _ = await tokens_on(bus).add(user, ("admin",), None, "third")
    later = tokens_on(bus)
    assert later.of(token) is None
    await later.refresh()
    assert later.of(token) == bearer(first)
    page, after = later.page(user, 0, 2)
    assert page == [first, second]
    assert after is not None
    assert later.page(user, after, 2) == ([third], None)
    assert later.page(name("nobody"), 0, 2) == ([], None)


async def test_an_expired_token_is_nobodys_and_listed_for_a_day(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, user = tokens_on(bus), name("u")
    issued, token = await tokens.add(user, (), 1e-6, "")
    assert tokens.of(token) is None
    assert tokens.page(user, 0, 9) == ([issued], None)
    monkeypatch.setattr(module, "KEEP_EXPIRED_S", -60.0)
    assert tokens.page(user, 0, 9) == ([], None)


async def test_nats_itself_forgets_what_has_long_expired(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_EXPIRED_S", 0)
    _, token = await tokens_on(bus).add(name("u"), (), 0.5, "")
    bucket = Bucket(bus, TOKENS_BUCKET)
    async with asyncio.timeout(30):
        while await bucket.get(digest(token)) is not None:
            await bus.flush()


async def test_there_are_only_so_many(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokens_on(bus)
    _, token = await tokens.add(name("u"), (), None, "")
    monkeypatch.setattr(module, "MOST_TOKENS", len(tokens.page(None, 0, 10**6)[0]))
    with pytest.raises(Rejected, match="revoke some"):
        await tokens.add(name("u"), (), None, "")
    monkeypatch.undo()
    await tokens.add(name("u"), (), None, "")
    monkeypatch.setattr(module, "MOST_TOKENS", 1)
    few = tokens_on(bus)
    await few.refresh()
    assert len(few.page(None, 0, 10**6)[0]) == 1
    assert tokens.of(token)


async def test_what_cannot_be_read_is_nobodys_and_stops_nobody(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus:
        bucket = Bucket(bus, TOKENS_BUCKET)
        await bucket.put(digest("mtm_bad"), b'{"user": 7}')
        tokens = tokens_on(bus)
        _, token = await tokens.add("u", (), None, "")
        assert tokens.of("mtm_bad") is None
        assert tokens.of(token)


async def test_what_happened_while_nats_was_away_is_heard_afterwards(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("gateway") as one, fresh_nats.connected("gateway") as two:
        here, there = tokens_on(one), tokens_on(two)
        async with running(there.follow()), running(here.follow()):
            issued, token = await here.add("u", (), None, "")
            principal = here.of(token)
            assert principal is not None
            await until(lambda: there.of(token) is not None)
            await fresh_nats.kill()
            with pytest.raises(StoreError):
                await there.refresh()
            assert there.of(token), "a server that is away signs nobody out"
            assert await here.revoke(issued.id) == (issued, False)
            assert here.of(token) is None
            assert not here.holds(principal)
            again = asyncio.Event()
            one.on_reconnected.append(again.set)
            await fresh_nats.embedded.start()
            async with asyncio.timeout(30):
                await again.wait()
            await until(lambda: there.of(token) is None)
            assert here.of(token) is None


async def test_a_token_that_went_with_the_servers_data_ends(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus:
        tokens = tokens_on(bus)
        issued, token = await tokens.add("u", (), None, "")
        told: list[frozenset[str]] = []
        tokens.on_gone.append(told.append)
        async with running(tokens.follow()):
            await fresh_nats.kill()
            shutil.rmtree(fresh_nats.data / "nats" / "jetstream")
            await fresh_nats.start()
            await until(lambda: tokens.of(token) is None)
        assert told == [{issued.id}]


async def test_without_nats_nothing_is_issued(bus: Bus) -> None:
    await bus.close()
    with pytest.raises(StoreError, match="no connection"):
        await tokens_on(bus).add("u", (), None, "")
    with pytest.raises(Rejected, match="can't be stored now"):
        await tickets_on(bus).issue(Principal("u", frozenset()))


def test_a_value_of_an_older_or_newer_gateway_is_understood() -> None:
    text = b'{"id": "a", "user": "u", "since": 1}'
    assert msgspec.json.decode(text, type=Issued) == Issued("a", "u")


class Clock:
    now = time.time()

    def __call__(self) -> float:
        return self.now


async def test_gateways_share_a_limit(nats_server: NatsServer, bus: Bus) -> None:
    user, clock = Principal(name("u"), frozenset()), Clock()
    async with nats_server.connected("gateway") as elsewhere:
        here, there = RateLimit(5, 60.0, clock), RateLimit(5, 60.0, clock)
        one = Exchange(here, Bucket(bus, LIMITS_BUCKET))
        two = Exchange(there, Bucket(elsewhere, LIMITS_BUCKET))
        assert [bool(here.over(user, None)) for _ in range(3)] == [False] * 3
        await one.once()
        await two.once()
        assert [bool(there.over(user, None)) for _ in range(3)] == [False, False, True]
        await two.once()
        await one.once()
        assert here.over(user, None) > 0
        # A gateway that starts now knows of it as well.
        fresh = RateLimit(5, 60.0, clock)
        await Exchange(fresh, Bucket(bus, LIMITS_BUCKET)).once()
        assert fresh.over(user, None) > 0


async def test_gateways_share_counts_of_frames_beside_those_of_requests(
    nats_server: NatsServer, bus: Bus
) -> None:
    user, clock = name("u"), Clock()
    who = Principal(user, frozenset())
    async with nats_server.connected("gateway") as elsewhere:
        limits = [[RateLimit(5, 60.0, clock) for _ in range(2)] for _ in range(2)]
        buckets = (Bucket(bus, LIMITS_BUCKET), Bucket(elsewhere, LIMITS_BUCKET))
        one, two = (
            Exchange(requests, bucket, frames=frames)
            for (requests, frames), bucket in zip(limits, buckets, strict=True)
        )
        here, there = (Admission(frames=frames) for _, frames in limits)
        for _ in range(5):
            here.check_frame(user)
        await one.once()
        await two.once()
        with pytest.raises(OverBudget, match="budget frames"):
            there.check_frame(user)
        there.check_frame(name("u"))
        assert limits[1][0].over(who, None) == 0, "requests are another matter"


async def test_counts_are_shared_again_after_nats_was_away(fresh_nats: NatsServer) -> None:
    user, clock = Principal("u", frozenset()), Clock()
    async with fresh_nats.connected("gateway") as bus, fresh_nats.connected("gateway") as elsewhere:
        here, there = RateLimit(5, 60.0, clock), RateLimit(5, 60.0, clock)
        one = Exchange(here, Bucket(bus, LIMITS_BUCKET))
        two = Exchange(there, Bucket(elsewhere, LIMITS_BUCKET))
        await Bucket(bus, LIMITS_BUCKET).put("bad", b"{}", ttl_s=60)
        await one.once()
        await two.once()
        await fresh_nats.kill()
        assert [bool(here.over(user, None)) for _ in range(6)] == [False] * 5 + [True]
        for exchange in (one, two):
            with pytest.raises(StoreError):
                await exchange.once()
        await fresh_nats.restart(bus, elsewhere)
        await one.once()
        await two.once()
        assert there.over(user, None) > 0


async def test_reports_end_by_themselves_and_fit(bus: Bus) -> None:
    bucket = Bucket(bus, LIMITS_BUCKET)
    key = name("k")
    report = Report("g", 1, {short(str(n)): 10**6 for n in range(1000)})
    await bucket.put(key, msgspec.json.encode(report), ttl_s=1)
    async with asyncio.timeout(30):
        while await bucket.get(key) is not None:
            await bus.flush()


async def test_a_ticket_is_good_at_any_gateway_and_at_one_of_them_once(
    nats_server: NatsServer, bus: Bus
) -> None:
    alice = Principal("alice", frozenset({"auditor"}), time.time() + 60, "id", frozenset({"x"}))
    async with nats_server.connected("gateway") as elsewhere:
        here, there = tickets_on(bus), tickets_on(elsewhere)
        ticket = await here.issue(alice)
        assert await there.take("ticket_made-up") is None
        taken = await asyncio.gather(*(one.take(ticket) for one in (there, here) * 5))
        assert [one for one in taken if one is not None] == [alice]
        assert await here.take(ticket) is None
    assert ticket not in repr(await Bucket(bus, TICKETS_BUCKET).all()), "it lies there as a digest"


async def test_a_ticket_ends_by_itself(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets_module, "TICKET_S", 1)
    tickets = tickets_on(bus)
    ticket = await tickets.issue(Principal("alice", frozenset()))
    bucket = Bucket(bus, TICKETS_BUCKET)
    never = asyncio.Event()
    async with asyncio.timeout(20):
        while await bucket.get(digest(ticket)) is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.05)
    assert await tickets.take(ticket) is None


async def test_a_gateway_looks_for_a_token_it_does_not_know_yet(
    nats_server: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 3600.0)
    async with nats_server.connected("gateway") as elsewhere:
        here, there = tokens_on(bus), tokens_on(elsewhere)
        await there.refresh()
        _, token = await here.add("alice", (), None, "")
        assert there.of(token) is None
        await asyncio.gather(*(there.look_for(token) for _ in range(5)))
        found = there.of(token)
        assert found is not None
        assert found.user == "alice"
        _, other = await here.add("bob", (), None, "")
        await there.look_for(other)
        assert there.of(other) is None, "it looked a moment ago"
        await there.look_for("no token of ours")


async def test_who_waits_for_a_look_that_fails_is_told_so(
    fresh_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 3600.0)
    async with fresh_nats.connected("gateway") as bus:
        tokens = tokens_on(bus)
        await fresh_nats.kill()
        looks = (tokens.look_for("mtm_unknown") for _ in range(5))
        found = await asyncio.gather(*looks, return_exceptions=True)
    assert {type(one) for one in found} == {StoreError}
