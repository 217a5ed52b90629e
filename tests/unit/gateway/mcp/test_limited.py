"""Who is over a limit at `/mcp` is told so in the session's own form, and goes on in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as t
import pytest
from mcp import MCPError

from services.bus.bus import Bus
from services.gateway.mcp.limited import CODE
from services.gateway.settings import Settings
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent
from tests.unit.gateway.mcp_requests import ACCEPT, ID, LEGACY, MODERN, SESSION, VERSION, plain
from tests.unit.gateway.world import World, world

MOST = 8
WAIT = "too many requests: wait "


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    settings = Settings(port=0, rate_limit_requests=MOST, rate_limit_window_s=3600.0)
    async with world(tmp_path, bus, settings) as running:
        yield running


def spend(one: World) -> None:
    while not one.site.limit.count("user alice"):
        pass


@pytest.mark.parametrize("mode", ERAS)
async def test_a_session_outlives_the_limit(one: World, mode: Mode) -> None:
    async with agent(one, mode=mode) as client:
        spend(one)
        over = await client.call_tool("list_hosts", {})
        assert over.is_error is True
        assert isinstance(over.content[0], t.TextContent)
        assert over.content[0].text.startswith(WAIT)
        with pytest.raises(MCPError, match=WAIT) as refused:
            await client.list_tools()
        assert (refused.value.code, refused.value.data) == (CODE, {"reason": "rate_limited"})
        one.site.limit._counts.clear()
        assert (await client.call_tool("list_hosts", {})).is_error is False


@pytest.mark.parametrize("modern", [True, False])
async def test_the_answer_is_one_of_its_era(one: World, modern: bool) -> None:
    spend(one)
    asked = plain("tools/call", {"name": "list_hosts"}, modern=modern)
    async with one.http() as client:
        answer = await client.post("/mcp", headers=asked.headers, content=asked.content)
    assert answer.status_code == 200
    assert int(answer.headers["retry-after"]) > 0
    result = answer.json()["result"]
    assert answer.json()["id"] == ID
    assert result.get("resultType") == ("complete" if modern else None)
    assert result["isError"] is True


async def test_what_needs_no_answer_is_taken(one: World) -> None:
    async with one.http() as client:
        hello = plain("initialize", HELLO_PARAMS, modern=False)
        begun = await client.post("/mcp", headers=hello.headers, content=hello.content)
        session = ACCEPT | {SESSION: begun.headers[SESSION], VERSION: LEGACY}
        spend(one)
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await client.post("/mcp", headers=session, json=note)).status_code == 202
        listening = await client.get("/mcp", headers=session)
        assert listening.status_code == 429


HELLO_PARAMS = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "x", "version": "1"},
}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ODD: list[bytes] = [
    b"",
    b"[]",
    b"{",
    json.dumps([PING]).encode(),
    json.dumps(PING | {"id": None}).encode(),
    json.dumps(PING | {"id": 1.5}).encode(),
    json.dumps(PING | {"method": 5}).encode(),
    json.dumps(PING | {"id": "\ud800"}).encode(),
    json.dumps(PING).encode() + b" " * Settings().max_body,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_what_can_not_be_answered_is_refused(one: World, body: bytes, version: str) -> None:
    spend(one)
    async with one.http() as client:
        headers: dict[str, Any] = ACCEPT | {VERSION: version}
        answer = await client.post("/mcp", headers=headers, content=body)
    assert answer.status_code == 429
    assert answer.json()["error"]["message"].startswith(WAIT)


async def test_too_many_at_once_are_told_to_wait(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, rate_limit_requests=0, max_user_connections=2)
    async with world(tmp_path, bus, settings) as one, agent(one) as client:
        one.site.app._under_way["alice"] = 2
        over = await client.call_tool("list_hosts", {})
        assert over.is_error is True
        one.site.app._under_way["alice"] = 0
        assert (await client.call_tool("list_hosts", {})).is_error is False
