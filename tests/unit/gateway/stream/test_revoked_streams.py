"""A revoked token closes what was opened with it, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.facts import name
from tests.unit.gateway.http.test_tokens import ADMIN, issued, issuing
from tests.unit.gateway.world import World


@pytest.fixture
async def one(gateway: World) -> AsyncIterator[World]:
    async with issuing(gateway) as running:
        yield running


async def test_websockets_of_a_revoked_token_are_closed(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        token, kept = await issued(admin, user), await issued(admin, user)
        async with (
            one.stream(token["token"]) as bearer,
            one.stream(None) as framed,
            one.stream(kept["token"]) as other,
        ):
            assert (await framed.ask("auth", token=token["token"]))["user"] == user
            for stream in (bearer, framed, other):
                await stream.follow()
            await admin.delete(f"/api/tokens/{token['id']}")
            assert await bearer.closed() == 4401
            assert await framed.closed() == 4401
            assert (await other.ask("unsubscribe", sub="s"))["op"] == "ack"


async def test_a_websocket_that_has_shown_another_token_stays(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        first, second = await issued(admin, user), await issued(admin, user)
        async with one.stream(first["token"]) as stream:
            assert (await stream.ask("auth", token=second["token"]))["op"] == "ack"
            await admin.delete(f"/api/tokens/{first['id']}")
            assert (await stream.follow())["op"] == "ack"
            await admin.delete(f"/api/tokens/{second['id']}")
            assert await stream.closed() == 4401


async def test_a_token_that_is_revoked_during_the_handshake_opens_nothing(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, serve = name("u"), one.site.streams.serve
    async with one.http(ADMIN) as admin:
        token = await issued(admin, user)

        async def late(*args: Any, **options: Any) -> None:
            await admin.delete(f"/api/tokens/{token['id']}")
            await serve(*args, **options)

        monkeypatch.setattr(one.site.streams, "serve", late)
        async with one.stream(token["token"]) as stream:
            assert await stream.closed() == 4401
    assert not one.site.streams.users


async def test_events_of_a_revoked_token_end(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        token, kept = await issued(admin, user), await issued(admin, user)
        async with one.http(token["token"]) as client, one.http(kept["token"]) as other:
            async with (
                client.stream("GET", "/api/events") as events,
                other.stream("GET", "/api/events") as going_on,
            ):
                lines, others = events.aiter_lines(), going_on.aiter_lines()
                assert (await anext(lines)).startswith("retry:")
                assert (await anext(others)).startswith("retry:")
                await admin.delete(f"/api/tokens/{token['id']}")
                async with asyncio.timeout(30):
                    async for _ in lines:
                        pass
                assert len(one.site.event_streams) == 1
            assert (await _status(client), await _status(other)) == (401, 200)


async def _status(client: httpx.AsyncClient) -> int:
    return (await client.get("/api/tasks")).status_code
