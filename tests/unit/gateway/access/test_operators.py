"""What the operator's hosts are started and reached with: nothing shows it to users.

All of it has PLANTED in it, so that it is known when it shows anywhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import McpRegistered
from contracts.host import Execute, Host, Noop, OpenApi, Stdio, StreamableHttp, for_users
from services.gateway.openapi.document import PATH as SCHEMA
from services.process.ids import new_id
from tests.support.nats import NatsServer
from tests.unit.gateway.http.test_events import events
from tests.unit.gateway.mcp.test_door import agent
from tests.unit.gateway.whole import Whole, whole
from tests.unit.gateway.world import TOKENS, World, write_tokens

PLANTED = "planted"
FEW = {"limits": {"start_s": 0.2}}
ENDPOINTS: dict[str, dict[str, Any]] = {
    "program": {
        "kind": "stdio",
        "command": "planted-command",
        "args": ["--planted-option", "planted-value", "/planted/folder"],
        "env": {"PLANTED_NAME": "planted-value"},
        "env_from": ["PLANTED_VARIABLE"],
        "cwd": "/planted",
    },
    "runs": {
        "kind": "stdio",
        "command": "sh",
        "args": ["-c", "echo planted-word >&2; exit 3"],
    },
    "web": {
        "kind": "http",
        "url": "http://planted.invalid/planted-path?planted-query=planted",
        "headers": {"X-Planted": "planted-value"},
    },
    "space": {
        "kind": "execute",
        "url": "http://planted.invalid/planted-path",
        "headers": {"X-Planted": "planted-value"},
    },
}
TOOLS = {"probe": {"tool": "check", "arguments": {"a": "planted"}}, "roots": ["/planted/root"]}
ALICE, ADMIN, AUDITOR = "alice-token", "admin-token", "auditor-token"


@pytest.fixture
async def system(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Whole]:
    async with whole(nats_server, tmp_path) as one:
        async with one.http(ADMIN) as admin:
            for name, endpoint in ENDPOINTS.items():
                more = {"task_types": {"work": {}}} if endpoint["kind"] == "execute" else TOOLS
                entry = {"endpoint": endpoint, **FEW, **more}
                answer = await admin.post(f"/api/mcps/{name}", json=entry)
                assert answer.status_code == 201, answer.text
                probed = await admin.post(f"/api/mcps/{name}/probe")
                assert probed.json()["data"]["reason"], probed.text
        await one.written()
        write_tokens(tmp_path, TOKENS | {"plain-root-token": {"user": "root"}})
        yield one


async def everything(one: World, token: str) -> dict[str, str]:
    """What can be read with this token, by where it was read."""
    found = {}
    async with one.http(token) as client:
        for path in paths(one):
            found[path] = (await client.get(path)).text
        for name in ENDPOINTS:
            for verb in ("", "/log"):
                path = f"/api/mcps/{name}{verb}"
                found[path] = (await client.get(path)).text
            probe = await client.post(f"/api/mcps/{name}/probe")
            found[f"probe {name}"] = probe.text
    head = await one.log.head()
    for after in ("start", head - 1):
        async with one.stream(token) as socket:
            await socket.follow("s", "hosts", after=after)
            found[f"stream after {after}"] = json.dumps(socket.events())
        async with events(one, f"?to=hosts&after={after}", token) as stream:
            told = [await stream.next()]
            while told[-1]["event"] != "caught_up":
                told.append(await stream.next())
            found[f"events after {after}"] = str(told)
    return found


def paths(one: World) -> list[str]:
    """All that can be read and needs no name in it, but for what never ends."""
    routes = one.site.app._http.app.routes  # type: ignore[attr-defined]
    found = [r.path_format for r in routes if "GET" in r.route_handler_map]
    endless = ("/api/events", "/api/access/follow")
    plain = [path for path in found if "{" not in path and path not in endless]
    assert "/api/mcps" in plain
    return [*plain, f"{SCHEMA}/openapi.json"]


async def test_users_see_how_a_host_of_the_operators_is_and_no_more(system: Whole) -> None:
    seen = await everything(system, ALICE)
    assert {path: text for path, text in seen.items() if PLANTED in text.lower()} == {}
    assert "it exited with code 3" in seen["/api/mcps/runs"]
    listed = json.loads(seen["/api/mcps"])["data"]
    kinds = {entry["id"]: entry["endpoint"]["kind"] for entry in listed}
    assert kinds == {name: endpoint["kind"] for name, endpoint in ENDPOINTS.items()}


async def test_admins_see_all_of_it(system: Whole) -> None:
    seen = await everything(system, ADMIN)
    for where in ("/api/mcps", "/api/mcps/web", "stream after start", "events after start"):
        assert "planted-value" in seen[where], where
        if where != "/api/mcps/web":
            assert "planted-word" in seen[where], where


async def test_agents_see_no_more_than_their_users(system: Whole) -> None:
    async with agent(system, ADMIN) as client:
        listed = (await client.list_tools()).model_dump_json()
        told = (await client.call_tool("list_hosts", {})).model_dump_json()
    assert "program" in told
    assert PLANTED not in (listed + told).lower()


async def test_what_happens_to_a_host_is_shown_to_each_as_they_may_see_it(system: Whole) -> None:
    async with system.stream(ALICE) as hers, system.stream(ADMIN) as admins:
        for socket in (hers, admins):
            await socket.follow("s", "hosts")
        async with system.http(ADMIN) as admin:
            assert (await admin.post("/api/mcps/web/disable")).is_success
        head = await system.log.head()
        async with asyncio.timeout(20):
            for socket in (hers, admins):
                await socket.through(head)
        assert hers.seqs() == admins.seqs()
        assert PLANTED not in json.dumps(hers.events()).lower()
        assert "planted-value" in json.dumps(admins.events())


async def test_a_socket_that_loses_a_role_sees_what_users_see(system: Whole) -> None:
    async with system.stream(ADMIN) as socket:
        await socket.follow("s", "hosts")
        answer = await socket.ask("auth", token="plain-root-token")
        assert answer["op"] == "ack", answer
        spec = Host(id="web", name="x", endpoint=StreamableHttp("https://planted.invalid"))
        (seq,) = await system.append(
            McpRegistered(id=new_id(), by="registry-1", host="web", k=99, spec=spec)
        )
        await socket.through(seq)
        assert PLANTED not in json.dumps(socket.events())


def test_of_an_endpoint_the_kind_is_left_and_whom_a_secret_is_for() -> None:
    def seen(endpoint: Any, **fields: Any) -> Host:
        return for_users(Host(id="h", name="h", endpoint=endpoint, **fields))

    assert seen(Stdio("x", ("y",), {"A": "b"}, ("C",), "/d")).endpoint == Stdio("")
    web = StreamableHttp("https://a", {"A": "b"}, "GITHUB_TOKEN", "sub")
    assert seen(web).endpoint == StreamableHttp("", bearer_from="GITHUB_TOKEN")
    assert seen(Execute("https://a", {"A": "b"}, "T", "s")).endpoint == Execute("", bearer_from="T")
    api = OpenApi("https://a", document_url="https://b", secrets={"k": "T"}, bearer_from="T")
    assert seen(api).endpoint == OpenApi("", bearer_from="T")
    assert seen(Noop(1.0)).endpoint == Noop(1.0)
    assert seen(web, owner="alice").endpoint == StreamableHttp("", bearer_from="GITHUB_TOKEN")
    theirs = Host(id="h", name="h", endpoint=web, owner="alice", source="command")
    assert for_users(theirs) is theirs
