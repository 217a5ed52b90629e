"""Results over the HTTP API, with a real results service over the same log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import JobDone
from contracts.result import READ_BYTES, Pointer, inline
from services.gateway.http import ranges
from services.gateway.http.ranges import ByteRange, Unsatisfiable, asked_for
from services.results.settings import Settings
from services.store.blobs import Blobs
from tests.support import facts
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway import world as worlds
from tests.unit.gateway.world import World, world
from tests.unit.results.test_actor import keeping

DATA = bytes(range(256)) * 8000
"""More than two parts of what the results service answers at once."""


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and a results service."""
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("results") as results_bus,
        world(tmp_path, bus) as one,
    ):
        file, settings = tmp_path / "results.sqlite", Settings(retention_days=30)
        async with keeping(one.log, Blobs(results_bus), file, settings) as keeper:  # type: ignore[arg-type]
            await results_bus.serve("results", "1.0.0", keeper.commands())
            one.keeper = keeper  # type: ignore[attr-defined]
            yield one


async def finished(gateway: World, task: str, result: Any, user: str = "alice") -> None:
    """A task that left a result, known to all."""
    done: JobDone = facts.done(user, task, result=result, host="h1", attempt=1)
    await gateway.append(facts.created(user, task), done)
    await gateway.settled()
    keeper: Any = gateway.keeper  # type: ignore[attr-defined]
    assert await keeper._projection.reached(await gateway.log.head(), 20)


async def stored(gateway: World, data: bytes = DATA, user: str = "alice") -> Pointer:
    return await Blobs(gateway.bus).put(user, data, "image/png")


def error_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return worlds.error_of(answer).reason


async def test_results_are_downloaded(gateway: World) -> None:
    await finished(gateway, "small", inline(b'{"x":1}'))
    await finished(gateway, "large", await stored(gateway))
    await gateway.append(facts.created("alice", "young"))
    async with gateway.http() as client:
        for path in ("/api/tasks/small/result", "/api/results/small/content"):
            small = await client.get(path)
            assert (small.json(), small.headers["content-type"]) == ({"x": 1}, "application/json")
        large = await client.get("/api/results/large/content")
        assert large.content == DATA
        assert large.headers["content-type"] == "image/png"
        assert large.headers["content-length"] == str(len(DATA))
        assert large.headers["accept-ranges"] == "bytes"
        assert large.headers["x-content-type-options"] == "nosniff"
        young = await client.get("/api/tasks/young/result")
        assert error_of(young, 404) == "not_found"
        assert "no result yet" in young.json()["error"]["message"]
        assert error_of(await client.get("/api/results/none/content"), 404) == "not_found"


async def test_parts_of_results(gateway: World) -> None:
    await finished(gateway, "small", inline(b'{"x":1}'))
    await finished(gateway, "large", await stored(gateway))
    cases = {"small": b'{"x":1}', "large": DATA}
    async with gateway.http() as client:
        for task, data in cases.items():
            path = f"/api/results/{task}/content"
            whole = await client.get(path)
            tag = whole.headers["etag"]
            for header, span in (("bytes=2-4", (2, 5)), ("bytes=-3", (len(data) - 3, len(data)))):
                part = await client.get(path, headers={"Range": header})
                assert part.status_code == 206
                assert part.content == data[span[0] : span[1]]
                expected = f"bytes {span[0]}-{span[1] - 1}/{len(data)}"
                assert part.headers["content-range"] == expected
            again = await client.get(path, headers={"If-None-Match": f'"x", {tag}'})
            assert (again.status_code, again.content) == (304, b"")
            beyond = await client.get(path, headers={"Range": f"bytes={len(data)}-"})
            assert (beyond.status_code, beyond.headers["content-range"]) == (
                416,
                f"bytes */{len(data)}",
            )
            assert beyond.json()["error"]["reason"] == "range_not_satisfiable"
            stale = {"Range": "bytes=0-1", "If-Range": '"other"'}
            assert (await client.get(path, headers=stale)).content == data
            fresh = {"Range": "bytes=0-1", "If-Range": tag}
            assert (await client.get(path, headers=fresh)).content == data[:2]
        middle = {"Range": f"bytes={READ_BYTES - 1}-{2 * READ_BYTES}"}
        part = await client.get("/api/results/large/content", headers=middle)
        assert part.content == DATA[READ_BYTES - 1 : 2 * READ_BYTES + 1]


async def test_what_is_gone_or_wrong_is_never_answered(gateway: World) -> None:
    good = await stored(gateway)
    other = await stored(gateway, DATA[1:])
    gone = msgspec.structs.replace(good, uri=good.uri[:-64] + "0" * 64)
    await finished(gateway, "wrong", msgspec.structs.replace(good, sha256=other.sha256))
    await finished(gateway, "gone", gone)
    await finished(gateway, "lies", msgspec.structs.replace(other, size=other.size + 1))
    async with gateway.http() as client:
        for task, status in (("gone", 404), ("lies", 502), ("wrong", 502)):
            answer = await client.get(f"/api/results/{task}/content")
            assert error_of(answer, status) == (
                "not_found" if task == "gone" else "digest_mismatch"
            )
            verified = await client.post(f"/api/results/{task}/verify")
            assert error_of(verified, status)
        assert (await client.get("/api/tasks/wrong")).status_code == 200


async def test_a_read_that_breaks_off_is_never_complete(gateway: World) -> None:
    await finished(gateway, "large", await stored(gateway))
    asked = gateway.site.parts.others.request
    reads = 0

    async def breaking(subject: str, payload: bytes, within_s: float) -> bytes:
        nonlocal reads
        reads += subject.endswith(".read")
        broken = reads == 3
        answer = await asked(subject, payload, within_s)
        return answer[:-1] if broken else answer

    gateway.site.parts.others.request = breaking
    async with gateway.http() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/api/results/large/content")


async def test_lists(gateway: World) -> None:
    await finished(gateway, "small", inline(b'{"x":1}'))
    await finished(gateway, "large", await stored(gateway))
    await finished(gateway, "his", inline(b"1"), "bob")
    async with gateway.http() as client:
        page = (await client.get("/api/results")).json()
        assert [result["task"] for result in page["data"]] == ["large", "small"]
        assert (page["total"], page["size"], page["next_cursor"]) == (2, len(DATA) + 7, None)
        first = (await client.get("/api/results?limit=1")).json()
        assert first["total"] == 2
        second = (await client.get(f"/api/results?limit=1&cursor={first['next_cursor']}")).json()
        assert [result["task"] for result in second["data"]] == ["small"]
        marked = f"/api/results?limit=1&cursor={first['next_cursor']}&mark="
        again = await client.get(marked + first["next_mark"])
        assert again.json()["data"] == second["data"]
        assert (await client.get(marked + "0" * 12)).status_code == 409
        for query, found in (
            ("kind=inline", ["small"]),
            ("kind=dataset", []),
            ("host=h1", ["large", "small"]),
            ("host=none", []),
            ("since=2100-01-01T00:00:00Z", []),
            ("until=2100-01-01", ["large", "small"]),
            ("since=0", ["large", "small"]),
            ("deleted=true", []),
        ):
            page = (await client.get(f"/api/results?{query}")).json()
            assert [result["task"] for result in page["data"]] == found, query
        for query in ("kind=x", "limit=0", "limit=501", "since=x", "cursor=-1"):
            assert error_of(await client.get(f"/api/results?{query}"), 400), query


async def test_a_description_says_all(gateway: World) -> None:
    pointer = await stored(gateway)
    await finished(gateway, "large", pointer)
    async with gateway.http() as client:
        found = (await client.get("/api/results/large")).json()["data"]
        assert found["uri"] == pointer.uri
        assert found["expires"] == found["created"] + 30 * 86_400
        assert (found["host"], found["attempt"], found["size"]) == ("h1", 1, len(DATA))
        verified = (await client.post("/api/results/large/verify")).json()["data"]
        assert verified["bytes_read"] == len(DATA)


async def test_results_are_deleted_by_their_owner(gateway: World) -> None:
    await finished(gateway, "large", await stored(gateway))
    await finished(gateway, "small", inline(b"1"))
    async with gateway.http() as client, gateway.http("bob-token") as bob:
        for task in ("large", "small"):
            assert error_of(await bob.delete(f"/api/results/{task}"), 404) == "not_found"
            deleted = await client.delete(f"/api/results/{task}?reason=no+more")
            assert deleted.json()["data"]["deleted"] == "no more"
            await gateway.settled()
            assert error_of(await client.get(f"/api/results/{task}/content"), 404) == "not_found"
            assert (await client.get(f"/api/results/{task}")).json()["data"]["deleted"]
            assert (await client.delete(f"/api/results/{task}")).status_code == 200


async def test_others_results_do_not_exist(gateway: World) -> None:
    await finished(gateway, "large", await stored(gateway))
    async with gateway.http("bob-token") as bob, gateway.http("admin-token") as admin:
        for path in ("", "/content"):
            assert error_of(await bob.get(f"/api/results/large{path}"), 404) == "not_found"
            mine = await bob.get(f"/api/results/large{path}?user=alice")
            assert error_of(mine, 404) == "not_found"
            assert (await admin.get(f"/api/results/large{path}?user=alice")).status_code == 200
        assert error_of(await bob.post("/api/results/large/verify"), 404) == "not_found"
        assert (await bob.get("/api/results")).json()["data"] == []


async def test_without_a_results_service_small_results_are_there(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        pointer = await Blobs(bus).put("alice", name().encode() * 50_000)
        await one.append(
            facts.created("alice", "s"),
            facts.done("alice", "s", result=inline(b"1")),
            facts.created("alice", "l"),
            facts.done("alice", "l", result=pointer),
        )
        async with one.http() as client:
            assert (await client.get("/api/tasks/s/result")).content == b"1"
            answer = await client.get("/api/tasks/l/result")
            assert error_of(answer, 503) == "unavailable"
            assert answer.headers["retry-after"]


async def test_a_slow_reader_gets_everything(gateway: World) -> None:
    await finished(gateway, "large", await stored(gateway))
    got = b""
    async with (
        gateway.http() as client,
        client.stream("GET", "/api/results/large/content") as answer,
    ):
        async for part in answer.aiter_bytes(100_000):
            got += part
            await asyncio.wait((asyncio.ensure_future(asyncio.to_thread(int)),))
    assert got == DATA


@given(st.integers(0, 200), st.integers(0, 300), st.integers(0, 300))
def test_ranges(size: int, first: int, last: int) -> None:
    data = bytes(size)
    for header, expected in (
        (f"bytes={first}-{last}", data[first : last + 1] if last >= first else None),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", data[-last:] if last else b""),
    ):
        try:
            span = asked_for(header, size)
        except Unsatisfiable:
            assert not expected
            continue
        if span is None:
            assert expected is None
        else:
            assert 0 <= span.start < span.stop <= size
            assert expected is not None
            assert span.stop - span.start == len(expected)


def test_headers_that_ask_for_no_part() -> None:
    for header in (None, "", "bytes=", "bytes=-", "bytes=5-2", "items=0-1", "bytes=0-1,3-4", "x"):
        assert asked_for(header, 10) is None
    assert asked_for("bytes=0-1", 10, matches=False) is None
    assert asked_for("BYTES = 0-1".replace(" ", ""), 10) == ByteRange(0, 2)
    assert ranges.names("*", '"a"')
    assert ranges.names('W/"a"', '"a"')
    assert not ranges.names(None, '"a"')
    assert not ranges.names('"b"', '"a"')
