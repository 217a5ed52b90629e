"""Server-sent events through a real server: the same facts as on the websocket, and a way back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.errors import Rejected
from contracts.task import TaskSpec
from contracts.wire import Progress
from services.bus.bus import Bus
from services.gateway.http.events import place
from services.gateway.settings import Settings
from services.gateway.stream.marks import mark_of
from tests.support import facts
from tests.unit.gateway.world import World, world

BULKY = TaskSpec(type="t.x", input=msgspec.Raw(b'{"x":"%b"}' % (b"x" * 30_000)))
SMALL = Settings(port=0, rate_limit_requests=0, queue_bytes=64 * 1024)


class Events:
    """Reads an event stream as the HTML standard says, as far as we use it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next event's fields; comments and the retry time are left out."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line and "data" in found:
                    return found
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    found[name] = json.loads(value) if name == "data" else value
        raise EOFError

    async def facts(self, count: int) -> list[dict[str, Any]]:
        """The next facts, whatever stands between them."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = await self.next()
            if "event" in event["data"]:
                found.append(event)
        return found


@contextlib.asynccontextmanager
async def events(
    gateway: World, query: str = "", token: str = "alice-token", **headers: str
) -> AsyncIterator[Events]:
    async with (
        gateway.http(token) as client,
        client.stream("GET", f"/api/events{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer)


async def test_history_then_live(gateway: World) -> None:
    await gateway.append(facts.created("alice", "a1"), facts.created("bob", "b1"))
    async with events(gateway, "?after=start") as stream:
        first = await stream.next()
        record = await gateway.log.at(1)
        assert record is not None
        place_of = f"1@{gateway.log.epoch}@{mark_of(1, record.fact.id)}"
        assert (first["id"], first["event"]) == (place_of, "task.created")
        assert first["data"] == {"seq": 1, "at": record.at, "event": json.loads(record.data)}
        assert (await stream.next())["event"] == "caught_up"
        await gateway.append(facts.created("bob", "b2"), facts.done("alice", "a1"))
        assert (await stream.next())["event"] == "job.done"


async def test_who_comes_back_misses_nothing(gateway: World) -> None:
    await gateway.append(*(facts.created("alice", f"a{n}") for n in range(5)))
    async with events(gateway, "?after=start") as stream:
        seen = await stream.facts(3)
    headers = {"Last-Event-ID": seen[-1]["id"]}
    async with events(gateway, "?after=start", **headers) as stream:
        assert [event["data"]["seq"] for event in await stream.facts(2)] == [4, 5]


async def test_another_log_is_told(gateway: World) -> None:
    await gateway.append(facts.created("alice"))
    await gateway.settled()
    async with events(gateway, **{"Last-Event-ID": "1@another"}) as stream:
        assert (await stream.next())["event"] == "reset"
        assert (await stream.next())["event"] == "caught_up"


async def test_another_past_of_the_log_is_told(gateway: World) -> None:
    await gateway.append(facts.created("alice"), facts.created("alice"))
    async with events(gateway, "?after=start") as stream:
        first, second = await stream.facts(2)
    mark = second["id"].rpartition("@")[2]
    wrong = first["id"].rpartition("@")[0] + "@" + mark
    async with events(gateway, **{"Last-Event-ID": wrong}) as stream:
        assert (await stream.next())["event"] == "reset"
        end = await stream.next()
    assert (end["event"], end["id"]) == ("caught_up", second["id"])
    async with events(gateway, **{"Last-Event-ID": end["id"]}) as stream:
        assert (await stream.next())["event"] == "caught_up"


async def test_only_the_types_asked_for(gateway: World) -> None:
    await gateway.append(facts.created("alice", "a1"), facts.done("alice", "a1"))
    async with events(gateway, "?after=start&types=job.done") as stream:
        assert (await stream.next())["event"] == "job.done"


async def test_progress_is_live(gateway: World) -> None:
    async with events(gateway, "?to=task&task=a1") as stream:
        assert (await stream.next())["event"] == "caught_up"
        report = Progress("alice", "a1", 1, 0.5)
        gateway.site.feed.progress("alice", "a1", msgspec.json.encode(report))
        event = await stream.next()
    assert (event["event"], event["data"]["progress"]) == ("progress", 0.5)
    assert "id" not in event


@pytest.mark.parametrize(
    ("query", "status", "token"),
    [
        ("?to=all", 403, "alice-token"),
        ("?to=task", 400, "alice-token"),
        ("?types=nothing", 400, "alice-token"),
        ("?after=-1", 400, "alice-token"),
        ("", 401, "no-token"),
    ],
)
async def test_what_may_not_be_followed(
    gateway: World, query: str, status: int, token: str
) -> None:
    async with gateway.http(token) as client:
        answer = await client.get(f"/api/events{query}")
    assert answer.status_code == status
    assert answer.json()["success"] is False


async def test_an_auditor_follows_everything(gateway: World) -> None:
    await gateway.append(facts.created("alice"), facts.created("bob"))
    async with events(gateway, "?to=all&after=start", "admin-token") as stream:
        assert len(await stream.facts(2)) == 2


async def test_who_reads_too_slowly_is_ended_and_resumes(bus: Bus, tmp_path: Path) -> None:
    async with world(tmp_path, bus, SMALL) as one:
        async with events(one) as stream:
            assert (await stream.next())["event"] == "caught_up"
            # Until it is more than the sockets' own buffers hold while nothing is read.
            async with asyncio.timeout(60):
                while one.site.event_streams:
                    await one.append(*(facts.created("alice", spec=BULKY) for _ in range(20)))
                    await one.settled()
            read: list[dict[str, Any]] = []
            with contextlib.suppress(EOFError):
                while True:
                    read.append(await stream.next())
        async with events(one, **{"Last-Event-ID": read[-1]["id"]}) as stream:
            (following,) = await stream.facts(1)
        assert following["data"]["seq"] == read[-1]["data"]["seq"] + 1


async def test_a_client_that_goes_is_forgotten(gateway: World) -> None:
    async with events(gateway) as stream:
        assert (await stream.next())["event"] == "caught_up"
        assert len(gateway.site.event_streams) == 1
    await gateway.append(facts.created("alice"))
    async with asyncio.timeout(20):
        while gateway.site.event_streams:
            await gateway.append(facts.created("alice"))


async def test_streams_end_when_the_gateway_drains(gateway: World) -> None:
    async with events(gateway) as stream:
        assert (await stream.next())["event"] == "caught_up"
        gateway.site.event_streams.end_all()
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_browser_comes_with_a_ticket(gateway: World) -> None:
    async with gateway.http() as client:
        ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
    await gateway.append(facts.created("alice"))
    query = f"?after=start&ticket={ticket}"
    async with events(gateway, query, "") as stream:
        assert len(await stream.facts(1)) == 1
    async with gateway.http(None) as client:
        assert (await client.get(f"/api/events{query}")).status_code == 401


def test_places() -> None:
    epoch = "2026-01-01T00:00:00Z"
    assert place(None) == (None, None, None)
    assert place("start") == ("start", None, None)
    assert place("12") == (12, None, None)
    assert place(f"12@{epoch}") == (12, epoch, None)
    assert place(f"12@{epoch}@") == (12, epoch, None)
    assert place(f"12@{epoch}@0123456789ab") == (12, epoch, "0123456789ab")
    for wrong in ("", "x", "1.5", "-3", "9" * 30, "²"):
        with pytest.raises(Rejected):
            place(wrong)
