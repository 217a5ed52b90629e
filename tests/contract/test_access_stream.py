"""The stream `ACCESS` on a real nats-server: who writes it, who reads it, what it keeps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from contracts import roles, subjects
from contracts.access import AccessEvent
from contracts.facts import LogKey, Record
from services.bus.bus import Bus
from services.bus.errors import PermissionDenied
from services.gateway.people import trail as trails
from services.gateway.people.trail import Trail, TrailWriter, bounded
from services.store.access import access_config
from services.store.stream import StoreError, Stream, StreamInfo
from services.up.nats_config import AUDITOR, ROLES
from tests.support.facts import name
from tests.support.nats import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("gateway") as one:
        yield one


def access(bus: Bus) -> Stream:
    return Stream(bus, subjects.ACCESS_STREAM)


async def lines(stream: Stream, user: str) -> list[AccessEvent]:
    found = await stream.read(subjects.access("*", user), 1, 1000)
    return [msgspec.json.decode(one.data, type=AccessEvent) for one in found]


class Forgetful(Stream):
    """NATS stores what comes, and some of its answers are lost."""

    lose = 0

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        expected: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int | None:
        stored = await super().publish(subject, data, expected=expected, headers=headers)
        if self.lose:
            self.lose -= 1
            raise StoreError("the answer was lost")
        return stored


class Away(Stream):
    """NATS takes nothing until it is back."""

    away = True

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        expected: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int | None:
        if self.away:
            raise StoreError("no answer")
        return await super().publish(subject, data, expected=expected, headers=headers)


async def test_what_is_noted_is_stored_in_order(bus: Bus) -> None:
    user, trail = name("alice"), Trail("gateway-1")
    for n in range(200):
        trail.note("sign_in", user=user, method="password", reason=str(n))
    await TrailWriter(trail, access(bus)).flush()
    assert [one.reason for one in await lines(access(bus), user)] == [str(n) for n in range(200)]
    assert not trail.waiting


async def test_a_lost_answer_makes_no_second_line(bus: Bus) -> None:
    user, trail = name("alice"), Trail("gateway-1")
    stream = Forgetful(bus, subjects.ACCESS_STREAM)
    stream.lose = 3
    writer = TrailWriter(trail, stream)
    for n in range(5):
        trail.note("sign_in", user=user, reason=str(n))
    with pytest.raises(StoreError):
        await writer.flush()
    await writer.flush()
    assert [one.reason for one in await lines(access(bus), user)] == list("01234")


async def test_while_nats_is_away_the_oldest_are_dropped_and_that_is_said(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trails, "MOST_WAITING", 3)
    user, trail = name("alice"), Trail(name("gateway"))
    stream = Away(bus, subjects.ACCESS_STREAM)
    writer = TrailWriter(trail, stream)
    before = trails.DROPPED._value.get()
    for n in range(5):
        trail.note("sign_in", user=user, reason=str(n))
    with pytest.raises(StoreError):
        await writer.flush()
    assert len(trail.waiting) + len(writer._batch) == 3
    stream.away = False
    await writer.flush()
    assert [one.reason for one in await lines(access(bus), user)] == ["2", "3", "4"]
    assert trails.DROPPED._value.get() == before + 2
    said = [one for one in await lines(access(bus), "") if one.by == trail._by]
    assert [(one.kind, one.details) for one in said] == [("dropped", {"count": "2"})]


async def test_the_writer_follows_by_itself_and_closes_with_nothing_left(bus: Bus) -> None:
    user, trail = name("alice"), Trail("gateway-1")
    writer = TrailWriter(trail, access(bus))
    running = asyncio.create_task(writer.run())
    trail.note("token.issued", user=user)
    async with asyncio.timeout(20):
        while not await lines(access(bus), user):
            await access(bus).info()
    running.cancel()
    await asyncio.wait((running,))
    trail.note("token.revoked", user=user)
    await writer.close()
    assert [one.kind for one in await lines(access(bus), user)] == ["token.issued", "token.revoked"]


async def test_a_name_that_is_no_user_stands_in_no_subject(bus: Bus) -> None:
    trail = Trail("gateway-1")
    odd = f"{name('x')}.>*\ud800" + "y" * 1000
    trail.note("sign_in", user=odd, outcome="refused", details={"a": "b" * 10_000})
    await TrailWriter(trail, access(bus)).flush()
    found = [one for one in await lines(access(bus), "") if one.user.startswith(odd[:8])]
    assert len(found) == 1
    assert len(found[0].user) <= trails.MOST_TEXT
    assert len(found[0].details["a"]) == trails.MOST_TEXT


def test_an_event_is_never_bigger_than_a_line_may_be() -> None:
    texts = dict.fromkeys(("user", "asked_by", "subject", "address", "method"), "\x00" * 10_000)
    details = {f"{n}\x00" * 300: "\x00" * 10_000 for n in range(100)}
    event = AccessEvent(id="i", at=0.0, by="g", kind="k", details=details, **texts)
    assert len(msgspec.json.encode(bounded(event))) < access_config()["max_msg_size"] / 1.25


@pytest.mark.parametrize("role", ROLES)
async def test_gateways_alone_write(nats_server: NatsServer, role: str) -> None:
    async with nats_server.connected(role) as bus:
        try:
            await bus.request("access.sign_in.x", b'{"id":"1","at":0,"by":"g","kind":"sign_in"}')
            wrote = True
        except PermissionDenied:
            wrote = False
    assert wrote is (role == "gateway")


@pytest.mark.parametrize("role", [*roles.SERVICES, AUDITOR])
async def test_gateways_and_auditors_read(nats_server: NatsServer, bus: Bus, role: str) -> None:
    user, trail = name("alice"), Trail("gateway-1")
    trail.note("sign_in", user=user)
    await TrailWriter(trail, access(bus)).flush()
    async with nats_server.connected(role) as reader:
        query = json.dumps({"last_by_subj": f"access.*.{user}"}).encode()
        try:
            found = await reader.request(f"{reader.api}.DIRECT.GET.ACCESS", query)
            assert msgspec.json.decode(found, type=AccessEvent).user == user
            reads = True
        except PermissionDenied:
            reads = False
    assert reads is (role in ("gateway", AUDITOR))


async def test_nothing_is_taken_out_of_it(nats_server: NatsServer) -> None:
    async with nats_server.connected("operator") as operator:
        for what in ("STREAM.PURGE.ACCESS", "STREAM.MSG.DELETE.ACCESS", "STREAM.DELETE.ACCESS"):
            with pytest.raises(PermissionDenied):
                await operator.request(f"$JS.API.{what}", b'{"seq":1}')
        config = json.loads(await operator.request("$JS.API.STREAM.INFO.ACCESS", b""))["config"]
    wanted = access_config()
    same = ("subjects", "retention", "discard", "max_age", "deny_delete", "deny_purge")
    assert {name: config[name] for name in same} == {name: wanted[name] for name in same}
    assert 0 < config["max_bytes"] <= wanted["max_bytes"]
    assert not config.get("allow_rollup_hdrs")


async def test_it_keeps_as_many_days_as_are_set() -> None:
    assert access_config(days=7)["max_age"] == 7 * 86_400 * 10**9
    assert access_config(32 * 1024 * 1024)["max_bytes"] == 1024 * 1024


async def test_of_a_new_key_there_is_one_line_however_many_gateways_there_are(bus: Bus) -> None:
    kid, now = name("key"), time.time()
    fact = LogKey(id=name("fact"), by="executor-1", kid=kid, jwk={"d": "SECRET"}, replaces="old")
    old = LogKey(id=name("fact"), by="executor-1", kid=kid, jwk={})
    for by in ("gateway-1", "gateway-2"):
        trail = Trail(by)
        trail.fold([recorded(fact, now), recorded(old, now - 86_400)], now)
        await TrailWriter(trail, access(bus)).flush()
    found = [one for one in await lines(access(bus), "") if one.subject == kid]
    assert [(one.kind, one.details) for one in found] == [("key.rotated", {"replaces": "old"})]
    assert (found[0].at, found[0].asked_by) == (now, "executor-1")


def recorded(fact: LogKey, at: float) -> Record:
    return Record(1, at, subjects.of(fact), fact, b"")


async def test_the_state_of_the_stream_is_known(bus: Bus) -> None:
    assert isinstance(await access(bus).info(), StreamInfo)
