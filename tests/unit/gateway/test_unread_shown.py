"""Facts of a newer release at the doors: they are shown, and what they hide is not denied."""

from __future__ import annotations

import json

from services.log.memory import MemoryLog
from tests.support import facts
from tests.unit.gateway.world import TASK, World, error_of, made

NEWER = {"id": "f", "by": "newer-1", "user": "alice"}


def store(one: World, subject: str, **content: object) -> int:
    """Put what a newer release has written into the log."""
    assert isinstance(one.log, MemoryLog)
    kind = ".".join(subject.split(".")[:2])
    return one.log.foreign(subject, json.dumps({**NEWER, "type": kind, **content}).encode())


async def test_a_task_that_cannot_be_read_is_there(gateway: World) -> None:
    spec = {"type": "t.x", "priority": "urgent"}
    seq = store(gateway, "task.created.alice.t1", task="t1", spec=spec)
    await gateway.settled()
    async with gateway.http() as client, gateway.stream() as stream:
        for answer in (
            await client.get("/api/tasks/t1"),
            await client.post("/api/tasks/t1/cancel"),
        ):
            error = error_of(answer)
            assert (answer.status_code, error.reason) == (503, "unavailable")
            assert "this release can't read task t1" in error.message
        again = await client.post("/api/tasks", json=TASK | {"id": "t1"})
        assert again.status_code == 409
        events = (await client.get("/api/tasks/t1/events")).json()["data"]
        assert [event["event"]["spec"]["priority"] for event in events] == ["urgent"]
        assert (await client.get("/api/tasks")).json()["data"] == []
        await stream.follow(after="start")
        assert stream.seqs() == [seq]


async def test_a_task_whose_latest_fact_cannot_be_read_says_so(gateway: World) -> None:
    async with gateway.http() as client:
        task = (await made(client))["id"]
        await gateway.append(facts.routed("alice", task), facts.signed("alice", task))
        subject = f"job.failed.alice.{task}.1"
        seq = store(gateway, subject, task=task, attempt=1, host="h1", kind="moved_on")
        await gateway.settled()
        view = (await client.get(f"/api/tasks/{task}")).json()["data"]
        assert (view["status"], view["seq"]) == ("running", seq)
        assert view["waiting"].startswith(f"a release that can read what sequence {seq} says")
        assert "moved_on" in view["waiting"]
        await gateway.append(facts.done("alice", task))
        view = (await client.get(f"/api/tasks/{task}")).json()["data"]
        assert (view["status"], view.get("waiting")) == ("succeeded", None)


async def test_a_task_that_ended_in_a_way_nobody_knows_does_not_wait_for_its_turn(
    gateway: World,
) -> None:
    async with gateway.http() as client:
        task = (await made(client))["id"]
        seq = store(gateway, f"job.done.alice.{task}.end", task=task, outcome="paused")
        await gateway.settled()
        view = (await client.get(f"/api/tasks/{task}")).json()["data"]
        assert view["status"] == "pending"
        assert f"sequence {seq}" in view["waiting"]
        assert view["done_at"], "it has ended, however"
        assert gateway.site.admission.use.open_tasks("alice") == {}
