"""The websocket protocol through a real server and a real client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import facts as kinds
from contracts.host import Host, Stdio
from contracts.wire import Progress
from services.bus.bus import Bus
from services.gateway.settings import Settings
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.world import World, world

BIG = Settings(port=0, rate_limit_requests=0, queue_bytes=64 * 1024)


async def test_the_server_greets_first(gateway: World) -> None:
    await gateway.append(facts.created())
    await gateway.settled()
    async with gateway.stream() as one:
        hello = await one.receive()
    assert (hello["op"], hello["protocol"], hello["head"]) == ("hello", "metamcp.v1", 1)
    assert hello["epoch"] == gateway.log.epoch
    assert hello["ping_s"] == 25
    assert hello["limits"]["frame_bytes"] == 2**20


async def test_history_then_live_in_order(gateway: World) -> None:
    await gateway.append(facts.created("alice", "a1"), facts.created("bob", "b1"))
    async with gateway.stream() as one:
        ack = await one.follow(after="start")
        assert ack["recovered"] is True
        await gateway.append(facts.done("alice", "a1"), facts.created("bob", "b2"))
        (last,) = await gateway.append(facts.created("alice", "a2"))
        assert await one.through(last) == [1, 3, 5]
        for event in one.events():
            record = await gateway.log.at(event["seq"])
            assert record
            assert (event["event"], event["at"]) == (json.loads(record.data), record.at)


async def test_without_after_only_what_comes(gateway: World) -> None:
    await gateway.append(facts.created("alice"))
    await gateway.settled()
    async with gateway.stream() as one:
        ack = await one.follow()
        assert (ack["recovered"], ack["seq"]) == (True, 1)
        (last,) = await gateway.append(facts.created("alice"))
        assert await one.through(last) == [last]


@pytest.mark.parametrize(
    ("after", "epoch", "recovered"),
    [
        (1, None, True),
        (1, "mine", True),
        (2, "mine", True),
        (3, "mine", False),
        (-1, "mine", False),
        (1, "another log", False),
        ("start", "another log", True),
    ],
)
async def test_recovered_says_whether_every_fact_will_come(
    gateway: World, after: Any, epoch: str | None, recovered: bool
) -> None:
    await gateway.append(facts.created("alice"), facts.created("alice"))
    await gateway.settled()
    epoch = gateway.log.epoch if epoch == "mine" else epoch
    async with gateway.stream() as one:
        ack = await one.follow(after=after, epoch=epoch)
        assert ack["recovered"] is recovered
        (last,) = await gateway.append(facts.created("alice"))
        expected = list(range(1 if after == "start" else int(after) + 1, last + 1))
        assert await one.through(last) == (expected if recovered else [last])


async def test_what_came_with_a_cursor_proves_it(gateway: World) -> None:
    await gateway.append(facts.created("alice", "a1"), facts.created("bob", "b1"))
    await gateway.settled()
    async with gateway.stream() as one:
        hello = await one.receive()
        await one.follow(after="start")
        await gateway.append(facts.done("alice", "a1"), facts.created("bob", "b2"))
        await one.through(3)
        events = [frame for frame in one.frames if frame["op"] == "events"]
        (end,) = [frame for frame in one.frames if frame["op"] == "caught_up"]
    cursors = [(hello["head"], hello["mark"]), (end["seq"], end["mark"])]
    cursors += [(frame["events"][-1]["seq"], frame["mark"]) for frame in events]
    assert [seq for seq, _ in cursors] == [2, 2, 1, 3]
    for seq, mark in cursors:
        epoch = gateway.log.epoch
        async with gateway.stream() as one:
            ack = await one.follow("right", after=seq, epoch=epoch, mark=mark)
            assert ack["recovered"] is True
            ack = await one.follow("wrong", after=seq + 1, epoch=epoch, mark=mark)
            assert (ack["recovered"], ack["seq"]) == (False, 4)


async def test_a_resume_that_memory_does_not_cover_reads_the_log(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, recent_facts=10, rate_limit_requests=0)
    async with world(tmp_path, bus, settings) as gateway:
        mine = [(await gateway.append(facts.created("alice")))[0] for _ in range(1500)]
        await gateway.append(*(facts.created("bob") for _ in range(1500)))
        await gateway.settled()
        async with gateway.stream() as one:
            await one.follow(after=mine[99], epoch=gateway.log.epoch)
            (last,) = await gateway.append(facts.created("alice"))
            assert await one.through(last) == [*mine[100:], last]


async def test_one_task_types_and_two_subscriptions(gateway: World) -> None:
    async with gateway.stream() as one:
        await one.follow("one", "task", task="a1")
        await one.follow("ends", "tasks", types=["job.done"])
        await gateway.append(facts.created("alice", "a1"), facts.created("alice", "a2"))
        await gateway.append(facts.done("alice", "a1"))
        (last,) = await gateway.append(facts.done("alice", "a2"))
        assert await one.through(last, "ends") == [3, 4]
        assert await one.through(3, "one") == [1, 3]
        await one.ask("unsubscribe", sub="ends")
        (last,) = await gateway.append(facts.cancelled("alice", "a1"))
        await one.through(last, "one")
        assert one.seqs("ends") == [3, 4]


def registered(host: str, k: int, owner: str | None = None) -> kinds.McpRegistered:
    spec = Host(id=host, name=host, endpoint=Stdio("x"), owner=owner)
    return kinds.McpRegistered(id=new_id(), by="registry-1", host=host, k=k, spec=spec)


def removed(host: str, k: int) -> kinds.McpRemoved:
    return kinds.McpRemoved(id=new_id(), by="registry-1", host=host, k=k)


@pytest.mark.parametrize("recent", [10_000, 1])
async def test_hosts_of_others_are_invisible(tmp_path: Path, bus: Bus, recent: int) -> None:
    settings = Settings(port=0, recent_facts=recent, rate_limit_requests=0)
    async with world(tmp_path, bus, settings) as gateway:
        await gateway.append(
            registered("all", 1), registered("hers", 1, "alice"), registered("his", 1, "bob")
        )
        await gateway.append(removed("his", 1), removed("hers", 1), facts.created("alice"))
        await gateway.append(registered("hers", 2, "bob"), removed("hers", 2))
        await gateway.settled()
        async with gateway.stream() as one, gateway.stream("bob-token") as two:
            await one.follow(to="hosts", after="start")
            await two.follow(to="hosts", after="start")
            await gateway.append(registered("his", 2, "bob"), registered("all", 2))
            (last,) = await gateway.append(removed("all", 2))
            assert await one.through(last) == [1, 2, 5, 10, 11]
            assert await two.through(last) == [1, 3, 4, 7, 8, 9, 10, 11]


async def test_everything_is_for_auditors(gateway: World) -> None:
    await gateway.append(kinds.LogRouter(id=new_id(), by="router-1", term=1))
    async with gateway.stream() as one, gateway.stream("admin-token") as root:
        refused = await one.ask("subscribe", sub="s", to="all")
        assert (refused["op"], refused["code"]) == ("error", "forbidden")
        await root.follow(to="all", after="start")
        (last,) = await gateway.append(facts.created("alice"))
        assert await root.through(last) == [1, 2]


async def test_isolation_of_live_facts(gateway: World) -> None:
    async with gateway.stream() as one, gateway.stream("bob-token") as two:
        await one.follow()
        await two.follow("t", "task", task="hers")
        await two.follow()
        await gateway.append(facts.created("alice", "hers"), facts.created("bob", "his"))
        assert await two.through(2) == [2]
        assert two.seqs("t") == []
        assert await one.through(1) == [1]


async def test_submit_and_cancel_over_the_socket(gateway: World) -> None:
    async with gateway.stream() as one:
        ack = await one.ask("submit", task={"type": "t.x", "input": {"a": 1}, "id": "mine"})
        assert (ack["op"], ack["task"], ack["seq"]) == ("ack", "mine", 1)
        again = await one.ask("submit", task={"type": "t.x", "input": {"a": 1}, "id": "mine"})
        assert (again["op"], again["seq"]) == ("ack", 1)
        other = await one.ask("submit", task={"type": "t.x", "input": {"a": 2}, "id": "mine"})
        assert (other["op"], other["code"]) == ("error", "conflict")
        wrong = await one.ask("submit", task={"type": "t.x", "input": [1]})
        assert (wrong["op"], wrong["code"]) == ("error", "bad_request")
        asked = await one.ask("cancel", task="mine")
        assert (asked["op"], asked["seq"]) == ("ack", 2)
        none = await one.ask("cancel", task="none")
        assert (none["op"], none["code"]) == ("error", "not_found")
    record = await gateway.log.at(1)
    assert record
    assert isinstance(record.fact, kinds.TaskCreated)
    assert (record.fact.user, record.fact.source) == ("alice", "websocket")
    async with gateway.stream("bob-token") as two:
        assert (await two.ask("cancel", task="mine"))["code"] == "not_found"


async def test_many_submissions_at_once_are_each_answered(gateway: World) -> None:
    async with gateway.stream() as one:
        for ref in range(600):
            task = {"type": "t.x", "id": f"t{ref}"}
            await one.socket.send(json.dumps({"op": "submit", "ref": ref, "task": task}))
        answers = [await one.receive() for _ in range(601)]
    assert {(a["ref"], a["task"]) for a in answers[1:]} == {(n, f"t{n}") for n in range(600)}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sub": ""}, "bad_request"),
        ({"sub": "x" * 65}, "bad_request"),
        ({"sub": "taken"}, "conflict"),
        ({"to": "task"}, "bad_id"),
        ({"to": "task", "task": "a.b"}, "bad_id"),
        ({"to": "everything"}, "bad_request"),
        ({"types": ["job.dnoe"]}, "bad_request"),
    ],
)
async def test_refused_subscriptions(gateway: World, fields: dict[str, Any], code: str) -> None:
    async with gateway.stream() as one:
        await one.follow("taken")
        refused = await one.ask("subscribe", **{"sub": "s"} | fields)
        assert (refused["op"], refused["code"]) == ("error", code)


async def test_subscriptions_are_limited(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, max_subscriptions=2, rate_limit_requests=0)
    async with world(tmp_path, bus, settings) as gateway, gateway.stream() as one:
        await one.follow("a")
        await one.follow("b")
        assert (await one.ask("subscribe", sub="c"))["code"] == "rate_limited"
        await one.ask("unsubscribe", sub="a")
        assert (await one.follow("c"))["op"] == "ack"


async def test_progress_reaches_those_who_follow_the_task_once(gateway: World) -> None:
    async with gateway.stream() as one, gateway.stream("bob-token") as two:
        await one.follow("a")
        await one.follow("b", "task", task="t1")
        await two.follow("a")
        await two.follow("b", "task", task="t1")
        news = msgspec.json.encode(Progress("alice", "t1", 1, 0.5, 1.0, "half"))
        gateway.site.feed.progress("alice", "t1", news)
        gateway.site.feed.progress("bob", "t2", msgspec.json.encode(Progress("bob", "t2", 1, 1.0)))
        frame = await one.until(op="progress")
        assert frame == {
            "op": "progress",
            "task": "t1",
            "attempt": 1,
            "progress": 0.5,
            "total": 1.0,
            "message": "half",
        }
        (last,) = await gateway.append(facts.created("alice", "t1"))
        await one.through(last, "a")
        await one.through(last, "b")
        assert (await two.until(op="progress"))["task"] == "t2"
    assert len([f for f in one.frames if f["op"] == "progress"]) == 1


async def test_a_slow_client_is_closed_and_nobody_waits_for_it(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus, BIG) as gateway:
        async with gateway.stream() as quick, gateway.stream(max_queue=1) as slow:
            await quick.follow()
            await slow.follow()
            slow.socket.transport.pause_reading()
            text = "x" * 60_000
            spec = kinds.TaskSpec(type="t.x", input=msgspec.Raw(json.dumps({"x": text}).encode()))
            for _ in range(301):
                # One waits at most, for which there is room, however slow this machine is.
                (last,) = await gateway.append(facts.created("alice", spec=spec))
                assert await quick.through(last) == list(range(1, last + 1))
            async with asyncio.timeout(30):
                while len(gateway.site.streams.connections) > 1:
                    await quick.ask("unsubscribe", sub="none")
            slow.socket.transport.resume_reading()
            assert await slow.closed() == 4008
        seen = slow.seqs()
        async with gateway.stream() as again:
            await again.follow(after=max(seen, default=0), epoch=gateway.log.epoch)
            assert seen + again.seqs() == list(range(1, last + 1))
