"""What the gateway can't read it shows as it is to those it concerns, and goes on."""

from __future__ import annotations

import base64
import json

from contracts.facts import McpRegistered
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.http.test_events import events
from tests.unit.gateway.world import World
from tests.unit.router.world import host

ASKED = {"type": "task.paused", "id": "f", "by": "newer", "question": "may I?"}


async def test_streams_and_timelines_show_what_cannot_be_read_to_its_user(gateway: World) -> None:
    log = gateway.log
    await gateway.append(facts.created("alice", "a1"))
    log.foreign("task.paused.alice.a1.1", json.dumps(ASKED).encode())  # type: ignore[attr-defined]
    log.foreign("job.failed.alice.a1.1", b"\xff")  # type: ignore[attr-defined]
    log.foreign("task.paused.bob.b1.1", json.dumps(ASKED).encode())  # type: ignore[attr-defined]
    log.foreign("schedule.set.alice.s1.1", b"[]")  # type: ignore[attr-defined]
    await gateway.append(facts.done("alice", "a1"))
    await gateway.settled()
    damaged = {"damaged": base64.b64encode(b"\xff").decode()}
    async with events(gateway, "?after=start") as stream:
        told = await stream.facts(4)
        assert [event["data"]["seq"] for event in told] == [1, 2, 3, 6]
        assert (told[1]["event"], told[1]["data"]["event"]) == ("task.paused", ASKED)
        assert (told[2]["event"], told[2]["data"]["event"]) == ("unknown", damaged)
    async with gateway.stream("admin-token") as socket:
        await socket.follow(to="all", after="start")
        assert socket.seqs() == [1, 2, 3, 4, 5, 6]
    async with gateway.http() as client:
        shown = (await client.get("/api/tasks/a1/events")).json()["data"]
        assert [event["event"] for event in shown][1:3] == [ASKED, damaged]
        task = (await client.get("/api/tasks/a1")).json()["data"]
        assert (task["status"], task["seq"]) == ("succeeded", 6)


async def test_a_preference_goes_on_behind_one_that_cannot_be_read(gateway: World) -> None:
    spec = host("h1")
    await gateway.append(McpRegistered(id=new_id(), by="r", host="h1", k=1, spec=spec))
    newer = b'{"type":"mcp.preferred","id":"f","by":"g","weight":"much"}'
    seq = gateway.log.foreign("mcp.preferred.alice.h1.3", newer)  # type: ignore[attr-defined]
    assert await gateway.site.projection.reached(seq, 10)
    async with gateway.http() as client:
        answer = await client.put("/api/preferences/h1", json={"weight": 0.5})
    assert answer.status_code == 200, answer.text
    last = await gateway.log.last("mcp.preferred.alice.-.h1.*")
    assert last is not None
    assert last.subject == "mcp.preferred.alice.-.h1.4"
