"""Batches over HTTP: each line for itself, the same batch again, and one stream to follow it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.budget import DEFAULT
from contracts.operation import MOST_TASKS
from services.bus.bus import Bus
from services.gateway.bulk.lines import MOST_LINE, of_stream
from tests.support import facts
from tests.unit.gateway.world import World, error_of, made, world

GOOD = b'{"type":"t.x","input":{"n":1}}'
LINES = {"Content-Type": "application/x-ndjson"}


async def sent(client: httpx.AsyncClient, body: Any, **params: Any) -> dict[str, Any]:
    answer = await client.post("/api/batches", content=body, headers=LINES, params=params)
    assert answer.status_code in (200, 201), answer.text
    data: dict[str, Any] = answer.json()["data"]
    assert (answer.status_code == 201) == (data["accepted"] > 0)
    return data


async def test_each_line_is_accepted_or_refused_by_itself_and_sent_again_it_is_the_same(
    gateway: World,
) -> None:
    given = [
        GOOD,
        b"",
        b"no task",
        b'{"type":"t.x","tags":{"a":"own"}}',
        b'{"type":"t.x","id":"mine"}',
        b'{"type":"t.x","input":[]}',
        GOOD,
    ]
    body = b"\n".join(given)
    async with gateway.http() as client:
        first = await sent(client, body, id="b1", tag=["a=all", "c=d"])
        assert {k: first[k] for k in ("batch", "accepted", "duplicates", "refused_count")} == {
            "batch": "b1",
            "accepted": 3,
            "duplicates": 0,
            "refused_count": 3,
        }
        told = [(one["line"], one["reason"]) for one in first["refused"]]
        assert told == [(3, "bad_request"), (5, "bad_request"), (6, "bad_request")]
        again = await sent(client, body, id="b1", tag=["a=all", "c=d"])
        assert (again["accepted"], again["duplicates"]) == (0, 3)
        other = await sent(client, GOOD, id="b1")
        assert [one["reason"] for one in other["refused"]] == ["conflict"], "it had other tags"
        tasks = {n: (await client.get(f"/api/tasks/b1-{n}")).json()["data"] for n in (1, 4, 7)}
        assert {n: one["tags"] for n, one in tasks.items()} == {
            1: {"a": "all", "c": "d"},
            4: {"a": "own", "c": "d"},
            7: {"a": "all", "c": "d"},
        }
        await gateway.append(facts.done("alice", "b1-4"))
        await gateway.settled()
        view = (await client.get("/api/batches/b1")).json()["data"]
        assert (view["total"], view["by_status"]) == (3, {"pending": 2, "succeeded": 1})
        assert view["ended_at"] is None
        await gateway.append(facts.done("alice", "b1-1"), facts.done("alice", "b1-7"))
        await gateway.settled()
        assert (await client.get("/api/batches/b1")).json()["data"]["ended_at"] is not None
        await sent(client, GOOD, id="b2")
        listed = (await client.get("/api/batches", params={"limit": 1})).json()
        assert [one["id"] for one in listed["data"]] == ["b2"]
        following = {"cursor": listed["next_cursor"]}
        listed = (await client.get("/api/batches", params=following)).json()
        assert [one["id"] for one in listed["data"]] == ["b1"]
    async with gateway.http("bob-token") as bob:
        assert error_of(await bob.get("/api/batches/b1")).reason == "not_found"
        assert (await bob.get("/api/batches")).json()["data"] == []


async def test_one_object_holds_tasks_as_well_and_what_is_no_batch_is_refused(
    gateway: World,
) -> None:
    async with gateway.http() as client:
        body = {"tasks": [{"type": "t.x"}, {"type": 1}, {"type": "t.y"}]}
        answer = await client.post("/api/batches", json=body)
        data = answer.json()["data"]
        assert (answer.status_code, data["accepted"]) == (201, 2)
        assert [one["line"] for one in data["refused"]] == [2]
        assert (await client.get(f"/api/tasks/{data['batch']}-3")).status_code == 200
        for wrong in ({"tasks": [1]}, {"tasks": {}}, [], {"tasks": [], "more": 1}):
            assert (await client.post("/api/batches", json=wrong)).status_code == 400
        many = {"tasks": [{}] * (MOST_TASKS + 1)}
        assert error_of(await client.post("/api/batches", json=many)).reason == "too_large"
        empty = await client.post("/api/batches", content=b"\n\n", headers=LINES)
        assert error_of(empty).reason == "bad_request"
        for params in ({"id": "x" * 59}, {"id": "a b"}, {"tag": "x"}, {"tag": "x y=1"}):
            answer = await client.post("/api/batches", content=GOOD, params=params)
            assert answer.status_code == 400, params


async def test_as_many_as_fit_the_quota_are_taken_and_the_rest_later_under_the_same_id(
    tmp_path: Path, bus: Bus
) -> None:
    budget = msgspec.structs.replace(DEFAULT, open_tasks=3)
    async with world(tmp_path, bus, budget=budget) as gateway, gateway.http() as client:
        body = b"\n".join([GOOD] * 5)
        first = await sent(client, body, id="b")
        assert (first["accepted"], first["refused_count"]) == (3, 2)
        assert [(one["line"], one["reason"]) for one in first["refused"]] == [
            (4, "rate_limited"),
            (5, "rate_limited"),
        ]
        await gateway.append(*(facts.done("alice", f"b-{n}") for n in (1, 2, 3)))
        await gateway.settled()
        rest = await sent(client, body, id="b")
        assert (rest["accepted"], rest["duplicates"], rest["refused_count"]) == (2, 3, 0)


async def test_a_body_that_breaks_off_leaves_what_was_whole_and_can_be_completed(
    gateway: World,
) -> None:
    begun = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield b"\n".join([GOOD] * 600) + b'\n{"type":"t.x","inp'
        await begun.wait()
        raise ConnectionError

    async with gateway.http() as client:
        sending = asyncio.create_task(
            client.post("/api/batches", content=broken(), headers=LINES, params={"id": "cut"})
        )
        # The first chunk is stored while the body is still coming.
        while await gateway.log.head() < 500:
            await gateway.site.feed.moved()
        begun.set()
        with pytest.raises(ConnectionError):
            await sending
        whole = await sent(client, b"\n".join([GOOD] * 601), id="cut")
        assert whole["accepted"] + whole["duplicates"] == 601
        assert whole["duplicates"] >= 500
        view = (await client.get("/api/batches/cut")).json()["data"]
        assert view["total"] == 601


async def test_lines_that_are_too_long_are_passed_over_without_being_held() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a\nb"
        for _ in range(3):
            yield b"x" * (MOST_LINE // 2)
        yield b"\nc\n\nd"

    found = [one async for one in of_stream(body())]
    assert found == [(1, b"a"), (2, None), (3, b"c"), (4, b""), (5, b"d")]


@pytest.mark.parametrize("cut", [1, 2, 3, 100])
async def test_the_mark_that_editors_put_before_a_file_is_no_part_of_it(cut: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        text = b"\xef\xbb\xbfa\n\xef\xbb\xbfb"
        yield text[:cut]
        yield text[cut:]

    found = [one async for one in of_stream(body())]
    assert found == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


async def test_a_batch_is_followed_as_one_stream_without_what_only_looks_like_it(
    gateway: World,
) -> None:
    async with gateway.http() as client, gateway.stream() as stream:
        await made(client, id="b-7")
        await sent(client, b"\n".join([GOOD] * 2), id="b")
        await gateway.settled()
        ack = await stream.follow(to="batch", batch="b", after="start")
        assert ack["op"] == "ack"
        await made(client, id="b-9")
        await sent(client, b"\n".join([GOOD] * 3), id="b")
        await sent(client, GOOD, id="other")
        seqs = await gateway.append(
            *(facts.done("alice", task) for task in ("b-7", "b-9", "b-1", "b-3", "other-1"))
        )
        await stream.through(seqs[3])
        seen = [(one["event"]["type"], one["event"]["task"]) for one in stream.events()]
        assert seen == [
            *(("task.created", f"b-{n}") for n in (1, 2, 3)),
            *(("job.done", f"b-{n}") for n in (1, 3)),
        ]
        after, mark = stream.events()[1]["seq"], None
        await stream.follow("t", to="batch", batch="b", after=after, mark=mark, types=["job.done"])
        assert stream.seqs("t") == [seqs[2], seqs[3]], "what it had seen does not come again"
        assert (await stream.ask("subscribe", sub="u", to="batch"))["code"] == "bad_id"
    async with gateway.stream("bob-token") as theirs:
        await theirs.follow(to="batch", batch="b", after="start")
        assert theirs.events() == []


async def test_server_sent_events_follow_a_batch_too(gateway: World) -> None:
    async with gateway.http() as client:
        await sent(client, b"\n".join([GOOD] * 2), id="b")
        params = {"to": "batch", "batch": "b", "after": "start"}
        async with client.stream("GET", "/api/events", params=params) as answer:
            seen = []
            async for line in answer.aiter_lines():
                if line.startswith("data: ") and "task.created" in line:
                    seen.append(json.loads(line.removeprefix("data: "))["event"]["task"])
                if line == "event: caught_up":
                    break
        assert seen == ["b-1", "b-2"]
