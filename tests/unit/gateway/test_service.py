"""The whole gateway on a real nats-server, and the example scripts as they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from contracts import subjects
from contracts.wire import Accepted, Beat, Progress, Refused
from services.bus.bus import Bus
from services.gateway import projection as tables
from services.gateway.access.identity import ensure_local_token
from services.gateway.listener import announce_file, announced
from services.gateway.service import serve
from services.gateway.settings import Settings
from services.log.jetstream import NatsLog
from services.log.projection import Projection, view_path
from services.process.files import free_port
from services.process.run import Fatal, Process
from services.process.run import serve as run
from services.process.settings import Common
from services.process.troubles import ProcessTroubles
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World

ROOT = Path(__file__).parents[3]
GOOD: dict[str, Any] = {"type": "t.x", "input": {"a": 1}}


class Outside:
    """A running gateway, an outside publisher, and the services that write the other facts."""

    def __init__(self, nats: NatsServer, process: Process, publisher: Bus) -> None:
        self.nats = nats
        self.process = process
        self.publisher = publisher
        self.url = msgspec.json.decode(announce_file(nats.data).read_bytes())["url"]
        token = ensure_local_token(nats.data)
        self.http = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )

    async def task(self, user: str, task: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/tasks/{task}?user={user}")
        return answer.json()["data"] if answer.status_code == 200 else {}


@pytest.fixture
async def one(fresh_nats: NatsServer) -> AsyncIterator[Outside]:
    process = Process("gateway")
    common = Common(
        nats_url=fresh_nats.url,
        data=fresh_nats.data,
        credentials=fresh_nats.embedded.credentials_file("gateway"),
    )

    async def main(own: Process) -> None:
        await serve(own, common, Settings(port=0))

    running = asyncio.create_task(run(main, process))
    await until(lambda: announce_file(fresh_nats.data).exists() or running.done())
    assert not running.done() or running.result()
    async with fresh_nats.connected("publisher") as bus:
        outside = Outside(fresh_nats, process, bus)
        await until_ready(outside)
        yield outside
        await outside.http.aclose()
    process.stopping.set()
    await running
    assert not announce_file(fresh_nats.data).exists()


async def until(condition: Any) -> None:
    never = asyncio.Event()
    async with asyncio.timeout(30):
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.02)


async def until_ready(outside: Outside) -> None:
    async with asyncio.timeout(30):
        while (await outside.http.get("/api/health")).status_code != 200:
            await outside.publisher.wait_connected()


async def test_publishing_asking_and_being_told(one: Outside) -> None:
    told: list[tuple[str, Any]] = []
    for subject in ("task.created.>", "intake.error", "progress.*"):
        await one.publisher.subscribe(
            subject, lambda m: told.append((m.subject, json.loads(m.data)))
        )
    await one.publisher.publish("task.created", json.dumps(GOOD | {"id": "a"}).encode())
    await until(lambda: len(told) == 1)
    assert told[0][0] == "task.created.a"
    assert (told[0][1]["user"], told[0][1]["source"]) == ("publisher", "nats")
    await one.publisher.publish(
        "task.created", json.dumps(GOOD | {"id": "a", "host": "h"}).encode()
    )
    await until(lambda: len(told) == 2)
    assert (told[1][0], told[1][1]["reason"], told[1][1]["task"]) == (
        "intake.error",
        "conflict",
        "a",
    )
    ask = json.dumps(GOOD | {"id": "b"}).encode()
    answer = await one.publisher.request("metamcp.tasks.submit", ask)
    accepted = msgspec.json.decode(answer, type=Accepted)
    assert accepted.task == "b"
    bad = await one.publisher.request("metamcp.tasks.submit", b'{"type":"t","by":"me"}')
    assert msgspec.json.decode(bad, type=Refused).reason == "bad_request"
    await one.publisher.publish("task.created", b"junk")
    await until(lambda: len(told) == 4)
    assert told[3][1]["invalid"]
    assert (await one.task("publisher", "b"))["created_seq"] == accepted.seq
    health: dict[str, Any] = {}
    async with asyncio.timeout(30):
        # It may be a second old.
        while health.get("head") != 3:
            health = (await one.http.get("/api/health")).json()["data"]
    assert health["nats"] is True
    assert [one["instance"] for one in health["services"] if one["up"]] == ["gateway-1"]


async def test_facts_progress_and_beats_of_other_services_arrive(one: Outside) -> None:
    token = ensure_local_token(one.nats.data)
    site = World(None, None, one.url, one.publisher)  # type: ignore[arg-type]
    async with (
        site.stream(token) as stream,
        one.nats.connected("executor") as bus,
        await NatsLog.open(bus) as executor,
    ):
        await stream.follow()
        ack = await stream.ask("submit", task=GOOD | {"id": "t1"})
        await executor.append(facts.done("local", "t1"))
        await stream.through(ack["seq"] + 1)
        assert [e["event"]["type"] for e in stream.events()] == ["task.created", "job.done"]
        news = msgspec.json.encode(Progress("local", "t1", 1, 0.5))
        await bus.publish(subjects.progress("local", "t1"), news)
        assert (await stream.until(op="progress"))["progress"] == 0.5
        await bus.publish(subjects.beat("executor-1"), msgspec.json.encode(Beat("executor-1", "i")))
        await bus.publish(subjects.progress("local", "t1"), news)
        await stream.until(op="progress")
        health = (await one.http.get("/api/health")).json()["data"]
        assert (health["executors"], health["connections"]) == (1, 1)


async def test_a_restart_of_the_server_loses_no_stream(one: Outside) -> None:
    token = ensure_local_token(one.nats.data)
    site = World(None, None, one.url, one.publisher)  # type: ignore[arg-type]
    async with site.stream(token) as stream:
        await stream.follow()
        first = await stream.ask("submit", task=GOOD)
        await one.nats.kill()
        await one.nats.embedded.start()
        second = await stream.ask("submit", task=GOOD)
        while second["op"] == "error":
            assert second["code"] == "unavailable"
            second = await stream.ask("submit", task=GOOD | {"id": "again"})
        assert (await stream.through(second["seq"]))[0] == first["seq"]
        assert stream.seqs() == list(range(1, second["seq"] + 1))


async def script(name: str, *arguments: str) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "docs/examples" / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_the_example_scripts_work(one: Outside) -> None:
    async with one.nats.connected("executor") as bus, await NatsLog.open(bus) as executor:
        login = str(one.nats.embedded.credentials_file("publisher"))
        running = asyncio.create_task(
            script("nats_publish.py", one.nats.url, login, json.dumps(GOOD | {"id": "n1"}))
        )
        async with asyncio.timeout(20):
            while not await one.task("publisher", "n1"):
                await one.publisher.wait_connected()
        await executor.append(facts.signed("publisher", "n1"))
        await executor.append(facts.done("publisher", "n1"))
        seen = await running
        assert [fact["type"] for fact in seen] == ["task.created", "job.signed", "job.done"]
        made = await one.http.post("/api/tasks", json=GOOD | {"id": "w1"})
        assert made.status_code == 201
        await executor.append(facts.signed("local", "w1"))
        await executor.append(facts.done("local", "w1"))
        followed = await script(
            "follow_ws.py", one.url, str(one.nats.data / "credentials" / "token"), "w1"
        )
        kinds = [event["event"]["type"] for event in followed]
        assert kinds == ["task.created", "job.signed", "job.done"]


async def test_a_port_that_is_taken_is_said(one: Outside) -> None:
    port = int(one.url.rpartition(":")[2])
    common = Common(
        nats_url=one.nats.url,
        data=one.nats.data / "second",
        credentials=one.nats.embedded.credentials_file("gateway"),
    )
    common.data.mkdir()
    with pytest.raises(Fatal, match="METAMCP_GATEWAY_PORT"):
        await run(lambda own: serve(own, common, Settings(port=port)), Process("gateway", "g-2"))


def test_the_scripts_are_short_and_import_nothing_of_ours() -> None:
    for name, most in (("nats_publish.py", 25), ("follow_ws.py", 43)):
        text = (ROOT / "docs/examples" / name).read_text()
        assert len(text.strip().splitlines()) <= most
        assert "services" not in text
        assert "contracts" not in text


@pytest.mark.parametrize("name", ["nats_publish.py", "follow_ws.py"])
def test_the_protocol_page_shows_the_scripts_as_they_are(name: str) -> None:
    script = (ROOT / "docs/examples" / name).read_text()
    assert f"```python\n{script}```" in (ROOT / "docs/protocol.md").read_text()


async def test_metrics_are_for_this_machine_wherever_the_gateway_listens(
    fresh_nats: NatsServer,
) -> None:
    process, port = Process("gateway"), free_port("127.0.0.1")
    common = Common(
        nats_url=fresh_nats.url,
        data=fresh_nats.data,
        credentials=fresh_nats.embedded.credentials_file("gateway"),
        metrics_port=port,
    )

    async def main(own: Process) -> None:
        await serve(own, common, Settings(host="0.0.0.0", port=0))

    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(run(main, process))
        await until(lambda: running.done() or "gateway_listening" in [x["event"] for x in lines])
        process.stopping.set()
        await running
    urls = [line["url"] for line in lines if line["event"] == "metrics_served"]
    assert urls == [f"http://127.0.0.1:{port}/metrics"]


async def test_a_gateway_whose_view_is_locked_listens_and_says_so(fresh_nats: NatsServer) -> None:
    common = Common(
        nats_url=fresh_nats.url,
        data=fresh_nats.data,
        credentials=fresh_nats.embedded.credentials_file("gateway"),
    )
    process, path = Process("gateway"), view_path(fresh_nats.data, "gateway-1")
    await (await Projection.open(path, tables.SCHEMA, tables.VERSION)).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"):
            other.execute(statement)
        other.execute("UPDATE checkpoint SET seq = seq")
        running = asyncio.create_task(
            run(lambda own: serve(own, common, Settings(port=0)), process)
        )
        await until(lambda: announce_file(fresh_nats.data).exists() or running.done())
        await until(lambda: bool(process.troubles.all()))
        async with fresh_nats.connected("publisher") as bus:
            outside = Outside(fresh_nats, process, bus)
            assert (await outside.http.get("/api/health/live")).status_code == 200
            ready = await outside.http.get("/api/health/ready")
            assert ready.status_code == 503
            assert "database is locked" in ready.json()["error"]["message"]
            refused = await outside.http.get("/api/tasks")
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
            other.close()
            await until_ready(outside)
            assert (await outside.http.post("/api/tasks", json=GOOD)).is_success
            assert not process.troubles.all()
            await outside.http.aclose()
    process.stopping.set()
    await running


async def test_an_address_that_cannot_be_written_yet_is_written_later(tmp_path: Path) -> None:
    data, troubles = tmp_path / "data", ProcessTroubles()
    writing = asyncio.create_task(announced(data, "http://here", "", troubles))
    await until(lambda: [one.kind for one in troubles.all()] == ["gateway_not_announced"])
    assert str(tmp_path) not in str(troubles.all())
    data.mkdir()
    await writing
    assert announce_file(data).exists()
    assert not troubles.all()
