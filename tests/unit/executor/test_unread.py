"""Routes that an executor can't read are for another one: it gives them back, and drops none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts import subjects
from contracts.facts import FailureKind, JobDone, JobFailed, encode
from services.executor import actor, domain
from services.executor.domain import LogView
from services.executor.projection import Hosts
from services.keys.permits import SigningKey
from services.log.memory import MemoryDelivery, MemoryLog
from tests.unit.executor.world import World, fresh_key, routed, spec, world

NEWER_HOST = b'{"type":"mcp.registered","id":"f","by":"r","host":"h2","k":1,"spec":{"id":"h2"}}'


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


def newer_route(task: str) -> bytes:
    """A route with a word that nobody knows yet."""
    fact = msgspec.json.decode(encode(routed(task, spec())))
    fact["route"]["placement"] = fact["route"].pop("host")
    return msgspec.json.encode(fact)


async def given_back(one: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is given back from now on, and for how long it is left alone."""
    seen: list[tuple[str, float]] = []

    async def nak(self: MemoryDelivery, delay_s: float = 0.0) -> None:
        seen.append((self.subject, delay_s))

    monkeypatch.setattr(MemoryDelivery, "nak", nak)
    return seen


@pytest.mark.parametrize("data", [newer_route("t0"), b"\xff", b""])
async def test_a_route_that_cannot_be_read_is_given_back_and_others_run(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    async with world(tmp_path, key, slots=1) as one:
        seen = await given_back(one, monkeypatch)
        one.log.foreign("task.routed.alice.t0.1", data)
        await one.task()
        await one.fact(JobDone)
        assert seen == [("task.routed.alice.t0.1", actor.UNREAD_S)]
        assert one.facts("t0") == []


async def test_a_given_back_route_comes_to_an_executor_that_can_read_it(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "UNREAD_S", 0.0)
    back, nak = asyncio.Event(), MemoryDelivery.nak

    async def noticed(self: MemoryDelivery, delay_s: float = 0.0) -> None:
        await nak(self, delay_s)
        back.set()

    monkeypatch.setattr(MemoryDelivery, "nak", noticed)
    async with world(tmp_path, key) as one:
        one.log.foreign("task.routed.alice.t0.1", newer_route("t0"))
        async with asyncio.timeout(30):
            await back.wait()
            await one.executor.drain()
            inbox = one.log.inbox(subjects.STREAM, subjects.EXECUTOR_DURABLE)
            inbox.want(1)
            (delivery,) = await inbox.receive()
        assert (delivery.subject, delivery.redelivered) == ("task.routed.alice.t0.1", True)


async def test_a_route_to_a_host_that_cannot_be_read_is_given_back(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, key) as one:
        seq = one.log.foreign("mcp.registered.h2.1", NEWER_HOST)
        seen = await given_back(one, monkeypatch)
        await one.task("t0", host="h2", host_seq=seq)
        await one.task()
        await one.fact(JobDone)
        assert seen == [("task.routed.alice.t0.1", actor.UNREAD_S)]
        assert one.facts("t0") == ["created", "routed"], "no attempt is used up"


async def test_a_task_that_cannot_be_read_is_not_called_a_bad_one(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key) as one:
        one.log.foreign("task.created.alice.t0", b'{"type":"task.created","spec":{"priority":9}}')
        await one.log.append(routed("t0", spec()))
        failed = (await one.fact(JobFailed, "t0")).fact
        assert isinstance(failed, JobFailed)
        assert (failed.kind, failed.called) == (FailureKind.CUT, False)
        assert "can't read" in failed.message


async def test_a_host_that_cannot_be_read_stays_so_over_a_restart(tmp_path: Path) -> None:
    log = MemoryLog()
    hosts = await Hosts.open(tmp_path / "e.sqlite")
    seq = log.foreign("mcp.registered.h2.1", NEWER_HOST)
    following = asyncio.create_task(hosts.run(log))
    assert await hosts._projection.reached(seq, 10)
    following.cancel()
    await asyncio.wait([following])
    await hosts.close()
    again = await Hosts.open(tmp_path / "e.sqlite")
    assert again.view("h2") == LogView(seq, None, seq, unread=True)
    await again.close()


def test_a_route_to_an_older_registration_is_over_whoever_reads_it() -> None:
    route = routed("t1", spec(), host_seq=3)
    now = route.route.now
    unread = LogView(9, None, 9, unread=True)
    assert isinstance(domain.decide(route, False, unread, now), domain.Fail)
    assert isinstance(domain.decide(route, False, unread._replace(host_seq=3), now), domain.Leave)
    assert isinstance(domain.decide(route, True, unread, now), domain.Drop)
