"""Who may open a websocket, and what closes it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from services.bus.bus import Bus
from services.gateway.settings import Settings
from services.log.memory import MemoryLog
from tests.support import facts
from tests.unit.gateway.world import TOKENS, World, world, write_tokens

MALFORMED = [
    "",
    "{",
    "[]",
    "null",
    '{"op":"dance","ref":1}',
    '{"op":"subscribe","sub":"a"}',
    '{"op":"subscribe","ref":"x","sub":"a"}',
    '{"op":"submit","ref":1,"task":{"type":"t","user":"bob"}}',
    '{"op":"hello","ref":1}',
    "[" * 50_000,
    '{"op":"submit","ref":9,"task":{"type":"t","input":' + '{"a":' * 900 + "1" + "}" * 902,
    b'{"op":"cancel","ref":1,"task":"\xff"}',
    b'{"op":"\xff"}',
    b"\x00\xff",
    b'{"op":"cancel"}',
]


@pytest.mark.parametrize("bad", MALFORMED)
async def test_a_malformed_frame_is_answered_and_the_socket_lives(
    gateway: World, bad: str | bytes
) -> None:
    async with gateway.stream() as one:
        await one.receive()
        await one.socket.send(bad)
        error = await one.receive()
        assert (error["op"], error["code"]) == ("error", "bad_request")
        assert error.get("ref") == (
            1 if b'"ref":1' in (bad if isinstance(bad, bytes) else bad.encode()) else None
        )
        assert (await one.follow())["op"] == "ack"


async def test_too_many_malformed_frames_close_the_socket(gateway: World) -> None:
    async with gateway.stream() as one:
        for _ in range(10):
            await one.socket.send("{")
        assert await one.closed() == 4400


async def test_auth_by_the_first_frame(gateway: World) -> None:
    async with gateway.stream(None) as one:
        refused = await one.ask("subscribe", sub="s")
        assert (refused["op"], refused["code"]) == ("error", "unauthorized")
        ack = await one.ask("auth", token="alice-token")
        assert ack["user"] == "alice"
        assert (await one.follow())["op"] == "ack"
        assert (await one.ask("auth", token="wrong"))["code"] == "unauthorized"
        assert (await one.ask("auth", token="bob-token"))["code"] == "forbidden"
        assert (await one.ask("auth", token="alice-token"))["op"] == "ack"


@pytest.mark.parametrize("how", ["header", "frame", "ticket"])
async def test_a_wrong_token_closes(gateway: World, how: str) -> None:
    path = "/api/stream?ticket=ticket_x" if how == "ticket" else "/api/stream"
    token = "wrong" if how == "header" else None
    async with gateway.stream(token, path=path) as one:
        if how == "frame":
            await one.socket.send('{"op":"auth","ref":1,"token":"wrong"}')
        assert await one.closed() == 4401


async def test_silence_instead_of_authentication_closes(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.stream.connection.AUTH_S", 0.1)
    async with gateway.stream(None) as one:
        assert await one.closed() == 4401


async def test_a_ticket_is_good_once(gateway: World) -> None:
    async with gateway.http() as client:
        ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
    async with gateway.stream(None, path=f"/api/stream?ticket={ticket}") as one:
        await one.follow()
        (last,) = await gateway.append(facts.created("alice"))
        assert await one.through(last) == [last]
    async with gateway.stream(None, path=f"/api/stream?ticket={ticket}") as one:
        assert await one.closed() == 4401


async def test_a_token_in_the_address_is_no_ticket(gateway: World) -> None:
    async with gateway.stream(None, path="/api/stream?ticket=alice-token") as one:
        assert await one.closed() == 4401
    async with gateway.http(None) as client:
        assert (await client.get("/api/events?ticket=alice-token")).status_code == 401


async def test_an_expired_token_closes_unless_renewed(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway:
        soon = time.time() + 0.4
        more: dict[str, Any] = {"short": {"user": "alice", "expires": soon}}
        more["long"] = {"user": "alice", "expires": soon + 1000}
        write_tokens(tmp_path, TOKENS | more)
        async with gateway.stream("short") as one, gateway.stream("short") as two:
            renewed = await two.ask("auth", token="long")
            assert renewed["expires"] == more["long"]["expires"]
            assert await one.closed() == 4401
            assert (await two.follow())["op"] == "ack"


@pytest.mark.parametrize("subprotocols", [None, ["metamcp.v2"]])
async def test_another_subprotocol_is_refused(gateway: World, subprotocols: Any) -> None:
    async with gateway.stream(subprotocols=subprotocols) as one:
        assert await one.closed() == 4406


@pytest.mark.parametrize(
    ("origin", "path", "status"),
    [
        ("http://evil.example", "/api/stream", 403),
        ("null", "/api/stream", 403),
        (None, "/api/other", 404),
        ("http://localhost:3000", "/api/stream", None),
        ("own", "/api/stream", None),
        (None, "/api/stream", None),
    ],
)
async def test_only_pages_that_are_allowed_may_connect(
    gateway: World, origin: Any, path: str, status: int | None
) -> None:
    origin = gateway.url if origin == "own" else origin
    if status is None:
        async with gateway.stream(origin=origin) as one:
            assert (await one.receive())["op"] == "hello"
        return
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.stream(path=path, origin=origin):
            pass
    assert refused.value.response.status_code == status


async def test_connections_are_limited(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, max_connections=1, rate_limit_requests=0)
    async with world(tmp_path, bus, settings) as gateway, gateway.stream() as one:
        await one.receive()
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.stream():
                pass
    assert refused.value.response.status_code == 503


async def test_a_stopping_gateway_asks_its_clients_to_come_back(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway, gateway.stream() as one:
        await one.follow()
        await gateway.site.streams.drain(1)
        assert await one.closed() == 4000


async def test_who_follows_goes_on_after_the_view_was_built_anew(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway:
        await gateway.settled()
        async with gateway.stream() as one:
            await one.receive()
            gateway.site._reset()
            assert await one.closed() == 4000


async def test_another_log_is_noticed(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway:
        await gateway.append(facts.created("alice"))
        await gateway.settled()
        async with gateway.stream() as one:
            await one.receive()
            gateway.site.streams.epoch = "of another log"
            gateway.site._reset()
            assert await one.closed() == 4001
    other = MemoryLog("2027-01-01T00:00:00Z")
    await other.append(facts.created("alice", "new"))
    async with world(tmp_path, bus, log=other) as gateway, gateway.stream() as one:
        await one.follow(after="start")
        assert [e["event"]["task"] for e in one.events()] == ["new"]


async def test_handshakes_count_as_requests(tmp_path: Path, bus: Bus) -> None:
    strict = Settings(port=0, rate_limit_requests=3)
    async with world(tmp_path, bus, strict) as gateway:
        for _ in range(3):
            async with gateway.stream() as one:
                await one.receive()
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.stream():
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["retry-after"]) > 0
        async with gateway.stream("bob-token") as other, gateway.stream("admin-token") as admin:
            await other.receive()
            await admin.receive()


async def test_one_user_can_not_take_all_places(tmp_path: Path, bus: Bus) -> None:
    few = Settings(port=0, rate_limit_requests=0, max_user_connections=2)
    async with world(tmp_path, bus, few) as gateway:
        async with gateway.stream() as one, gateway.stream(None) as two:
            await one.follow()
            assert (await two.ask("auth", token="alice-token"))["op"] == "ack"
            async with gateway.stream() as three:
                assert await three.closed() == 4029
            async with gateway.stream(None) as late:
                await late.socket.send('{"op":"auth","ref":1,"token":"alice-token"}')
                assert await late.closed() == 4029
            async with gateway.stream("bob-token") as other:
                await other.follow()
            await two.ask("auth", token="alice-token")
        never = asyncio.Event()
        async with asyncio.timeout(30):
            while gateway.site.streams.users:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), 0.01)
        async with gateway.stream() as again:
            await again.follow()
