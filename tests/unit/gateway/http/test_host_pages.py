"""What pages about hosts ask for: how a host was, its load, files of clients, how to connect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.budget import Budget
from contracts.facts import McpHealth, McpRegistered, McpRemoved
from contracts.host import HealthStatus, Host, Noop
from contracts.wire import Discovered
from services.gateway.http.hostimport import MOST_IMPORT_BYTES
from services.process.ids import new_id
from services.registry.settings import Settings
from tests.support import facts as make
from tests.support.nats import NatsServer
from tests.unit.gateway.served import registry
from tests.unit.gateway.world import World, error_of, world


async def no_spaces(user: str) -> Discovered:
    return Discovered(())


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("registry") as other,
        world(tmp_path, bus, budget=Budget(hosts=2)) as one,
        registry(one, other, tmp_path, Settings(allow_noop=True), no_spaces),
    ):
        yield one


def host(k: int) -> McpRegistered:
    spec = Host(id="alice/h", name="h", endpoint=Noop(), owner="alice", enabled=False)
    return McpRegistered(id=new_id(), by="test", host="alice/h", k=k, spec=spec)


def health(k: int, **more: Any) -> McpHealth:
    status = HealthStatus.WARNING if k % 2 else HealthStatus.HEALTHY
    return McpHealth(id=new_id(), by="test", host="alice/h", k=k, status=status, **more)


async def numbers(one: World, token: str, query: str = "") -> tuple[list[int], int | None]:
    async with one.http(token) as client:
        answer = await client.get(f"/api/mcps/alice/h/history{query}")
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [change["k"] for change in page["data"]], page["next_cursor"]


async def test_a_host_s_past_is_told_in_pages_since_it_was_added(world_alone: World) -> None:
    one = world_alone
    await one.append(host(1), health(1, reason="of the one before"))
    await one.append(McpRemoved(id=new_id(), by="test", host="alice/h", k=1), host(2))
    assert await numbers(one, "alice-token") == ([], None)
    await one.append(*(health(k, said="its last words") for k in range(2, 8)))
    assert await numbers(one, "alice-token", "?limit=4") == ([7, 6, 5, 4], 4)
    assert await numbers(one, "alice-token", "?limit=4&cursor=4") == ([3, 2], None)
    assert await numbers(one, "alice-token", "?limit=3&cursor=5") == ([4, 3, 2], 2)
    assert await numbers(one, "alice-token", "?limit=3&cursor=2") == ([], None)
    async with one.http("alice-token") as alice, one.http("admin-token") as admin:
        for client, said in ((alice, ""), (admin, "its last words")):
            newest = (await client.get("/api/mcps/alice/h/history?limit=1")).json()["data"][0]
            assert (newest["status"], newest["said"]) == ("warning", said)
    async with one.http("bob-token") as bob:
        assert error_of(await bob.get("/api/mcps/alice/h/history")).code == 404


@pytest.fixture
async def world_alone(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway without a registry, whose facts the test writes."""
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as one:
        yield one


async def test_what_hosts_have_to_do_is_told_of_those_that_one_sees(world_alone: World) -> None:
    one = world_alone
    await one.append(host(1))
    for task in ("t1", "t2", "t3", "t4"):
        await one.append(make.created("alice", task), make.routed("alice", task, host="alice/h"))
    await one.append(*(make.signed("alice", task, host="alice/h") for task in ("t1", "t2")))
    await one.append(make.done("alice", "t2", host="alice/h"), make.failed("alice", "t1"))
    async with one.http("alice-token") as alice, one.http("bob-token") as bob:
        told = (await alice.get("/api/load")).json()["data"]
        assert told == [{"host": "alice/h", "running": 0, "queued": 3, "most": 4}]
        assert (await bob.get("/api/load")).json()["data"] == []


FILE = """{
  // of an editor
  "mcpServers": {
    "web": {"url": "https://web.invalid/mcp", "headers": {"X-Api-Key": "planted-1"}},
    "two": {"url": "https://two.invalid/mcp"}, "three": {"url": "https://three.invalid/mcp"},
    "prog": {"command": "npx", "args": ["-y", "x"]}, "home": {"command": "~/bin/x"},
    "file": {"command": "x", "envFile": "/etc/passwd"},
    "here": {"command": "${workspaceFolder}/x"}
  }
}"""


async def test_a_client_s_file_is_read_without_anything_of_this_machine(gateway: World) -> None:
    async with gateway.http("alice-token") as alice:

        async def told(**more: Any) -> dict[str, dict[str, Any]]:
            answer = await alice.post("/api/mcps/import", json={"text": FILE} | more)
            assert answer.status_code == 200, answer.text
            assert "planted" not in answer.text
            return {one["server"]: one for one in answer.json()["data"]}

        looked = await told(dry_run=True)
        good = {name for name, one in looked.items() if one["good"]}
        assert good == {"web", "two", "three"}
        assert looked["web"]["secrets"] == ["WEB_X_API_KEY"]
        assert looked["web"]["to_do"].endswith("secrets/alice/WEB_X_API_KEY of the data folder")
        assert "machine" in looked["home"]["outcome"]
        assert "metamcp hosts import" in looked["file"]["outcome"]
        assert "write its path" in looked["here"]["outcome"]
        assert (await alice.get("/api/mcps")).json()["data"] == []
        done = await told(only=["web", "two", "prog"], ids={"web": "wiki"})
        assert {name: one["outcome"] for name, one in done.items() if one["good"]} == {
            "web": "registered",
            "two": "registered",
        }
        assert [one["id"] for one in (await alice.get("/api/mcps")).json()["data"]] == [
            "alice/two",
            "alice/wiki",
        ]
        # A budget is said of the server that goes beyond it.
        assert "budget" in (await told(only=["three"]))["three"]["outcome"]
        for body, status in (
            ({"text": "{}"}, 400),
            ({"text": "a: 1", "name": "x.yaml"}, 400),
            ({"text": "[" * 500}, 400),
            ({"text": " " * (MOST_IMPORT_BYTES + 1)}, 413),
        ):
            answer = await alice.post("/api/mcps/import", json=body)
            assert answer.status_code == status, answer.text


async def test_pieces_name_the_address_and_never_a_token(world_alone: World) -> None:
    async with world_alone.http("alice-token") as alice:

        async def shown(query: str) -> dict[str, Any]:
            answer = await alice.get(f"/api/connect?{query}")
            assert answer.status_code == 200, answer.text
            assert "alice-token" not in answer.text
            data: dict[str, Any] = answer.json()["data"]
            return data | {one["client"]: one["text"] for one in data["pieces"]}

        told = await shown("hosts=git,files&search=true&origin=https://a.example:8443")
        address = "https://a.example:8443/mcp?hosts=git,files&tools=search"
        assert told["mcp"] == address
        for client in ("claude-code", "claude-desktop", "vscode", "cursor", "codex", "gemini"):
            assert address in told[client], client
        assert "wss://a.example:8443/api/stream" in told["websocket"]
        assert f"{world_alone.url}/mcp" in (await shown(""))["mcp"]
        open_ = await shown("profile=review&auth=oauth&origin=https://a.example")
        assert "https://a.example/mcp/review" in open_["cursor"]
        assert not [c for c in ("claude-code", "vscode", "codex", "gemini") if "TOKEN" in open_[c]]
        for wrong in ("hosts=a&profile=b", "hosts=a b", "profile=../x", "origin=javascript:x"):
            assert (await alice.get(f"/api/connect?{wrong}")).status_code == 400, wrong
