"""A session of the older era outlives the gateway's memory of it, and not its own end."""

from __future__ import annotations

import asyncio
import json
import uuid

import httpx
import pytest

from tests.unit.gateway.mcp.test_revoked import listening, opened, ping
from tests.unit.gateway.mcp_requests import ACCEPT, LEGACY, SESSION, VERSION
from tests.unit.gateway.world import World


def lost(session: str | None = None) -> dict[str, str]:
    """The headers of a session that this gateway does not know."""
    return ACCEPT | {SESSION: session or uuid.uuid4().hex, VERSION: LEGACY}


async def called(client: httpx.AsyncClient, session: dict[str, str], id_: int = 5) -> str:
    params = {"name": "list_hosts", "arguments": {}}
    body = {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}
    answer = await client.post("/mcp", headers=session, content=json.dumps(body))
    assert answer.headers[SESSION] == session[SESSION]
    (data,) = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    return str(json.loads(data)["result"]["structuredContent"])


async def test_a_session_that_was_lost_goes_on(gateway: World) -> None:
    async with gateway.http() as client:
        session = lost()
        assert await called(client, session) == "{'result': []}"
        async with listening(client, session):
            assert await ping(client, session) == 200


async def test_its_stream_may_come_first_and_its_client_may_say_no_version(gateway: World) -> None:
    async with gateway.http() as client:
        session = lost()
        async with listening(client, session):
            del session[VERSION]
            assert await ping(client, session) == 200


async def test_requests_at_once_begin_it_once(gateway: World) -> None:
    async with gateway.http() as client:
        session = lost()
        calls = (called(client, session, id_) for id_ in range(5))
        assert set(await asyncio.gather(*calls)) == {"{'result': []}"}
    assert [*gateway.site.door._manager._server_instances] == [session[SESSION]]


async def test_it_belongs_to_who_uses_it(gateway: World) -> None:
    async with gateway.http() as client, gateway.http("bob-token") as other:
        session = lost()
        assert await ping(client, session) == 200
        assert await ping(other, session) == 404


@pytest.mark.parametrize("session", ["", "x", "é", "0" * 31, "A" * 32, "0" * 33])
async def test_what_is_no_name_of_ours_is_not_found(gateway: World, session: str) -> None:
    async with gateway.http() as client:
        body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        headers = [(k, v.encode()) for k, v in (lost("?") | {SESSION: session}).items()]
        answer = await client.post("/mcp", headers=headers, content=json.dumps(body))
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Session not found"
    assert not gateway.site.door._manager._server_instances


async def test_one_that_was_not_used_for_long_goes_on(gateway: World) -> None:
    async with gateway.http() as client:
        session = await opened(client)
        held = gateway.site.door._manager._server_instances
        transport = held[session[SESSION]]
        transport.idle_scope.cancel()
        async with asyncio.timeout(20):
            while held:
                await asyncio.wait([asyncio.ensure_future(client.get("/api/health/live"))])
        assert await called(client, session) == "{'result': []}"
        assert held[session[SESSION]] is not transport


async def test_one_that_its_client_has_ended_is_over(gateway: World) -> None:
    async with gateway.http() as client:
        session = await opened(client)
        assert (await client.delete("/mcp", headers=session)).status_code == 200
        assert await ping(client, session) == 404
        assert (await client.delete("/mcp", headers=lost())).status_code == 404
