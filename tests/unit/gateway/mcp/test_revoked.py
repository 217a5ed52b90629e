"""What a token has opened at `/mcp` ends with it, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.facts import name
from tests.unit.gateway.http.test_tokens import ADMIN, issued, issuing
from tests.unit.gateway.mcp_requests import ACCEPT, HELLO, LEGACY, SESSION, VERSION
from tests.unit.gateway.world import World


@pytest.fixture
async def one(gateway: World) -> AsyncIterator[World]:
    async with issuing(gateway) as running:
        yield running


async def opened(client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a new session."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    answer = await client.post("/mcp", headers=ACCEPT, content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    return ACCEPT | {SESSION: answer.headers[SESSION], VERSION: LEGACY}


async def ping(client: httpx.AsyncClient, session: dict[str, str]) -> int:
    body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    answer = await client.post("/mcp", headers=session, content=json.dumps(body))
    return answer.status_code


@contextlib.asynccontextmanager
async def listening(
    client: httpx.AsyncClient, session: dict[str, str]
) -> AsyncIterator[asyncio.Task[bytes]]:
    """A stream for what the server has to say; the task ends with it."""
    async with client.stream("GET", "/mcp", headers=session) as answer:
        assert answer.status_code == 200
        reading = asyncio.create_task(answer.aread())
        yield reading
        reading.cancel()


async def test_streams_and_sessions_of_a_revoked_token_end(one: World) -> None:
    user = name("u")
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(one.http(ADMIN))
        token, kept = await issued(admin, user), await issued(admin, user)
        mine = await stack.enter_async_context(one.http(token["token"]))
        other = await stack.enter_async_context(one.http(kept["token"]))
        first, second = await opened(mine), await opened(other)
        ending = await stack.enter_async_context(listening(mine, first))
        going_on = await stack.enter_async_context(listening(other, second))
        assert await ping(other, first) == 200, "a user's sessions are good for all his tokens"
        await admin.delete(f"/api/tokens/{token['id']}")
        async with asyncio.timeout(1):
            await ending
        assert await ping(mine, first) == 401
        assert await ping(other, first) == 404
        assert await ping(other, second) == 200
        assert not going_on.done()
        assert not one.site.door._opened._ending


async def test_a_stream_ends_when_its_token_expires(one: World) -> None:
    async with one.http(ADMIN) as admin:
        token = await issued(admin, name("u"), ttl_s=2)
    async with one.http(token["token"]) as client:
        session = await opened(client)
        async with listening(client, session) as reading:
            async with asyncio.timeout(30):
                await reading
            assert abs(time.time() - token["expires"]) < 1


async def test_a_token_that_is_revoked_on_the_way_opens_no_stream(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one.http(ADMIN) as admin:
        token = await issued(admin, name("u"))
        async with one.http(token["token"]) as client:
            session = await opened(client)
            listen = one.site.door._opened._listen

            async def late(*args: object) -> None:
                one.site.parts.tokens._drop(one.site.parts.tokens._ids[token["id"]])
                await listen(*args)  # type: ignore[arg-type]

            monkeypatch.setattr(one.site.door._opened, "_listen", late)
            async with listening(client, session) as reading, asyncio.timeout(30):
                await reading
