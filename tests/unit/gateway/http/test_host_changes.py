"""Hosts changed over the HTTP API, by a real registry over the same log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.budget import Budget
from contracts.wire import Discovered, HttpError, SpaceSeen
from services.registry.settings import Settings
from tests.support.nats import NatsServer
from tests.unit.gateway import world as worlds
from tests.unit.gateway.served import registry
from tests.unit.gateway.world import World, world

URL = "http://127.0.0.1:1/mcp"
ENTRY = {"endpoint": {"kind": "http", "url": URL}, "limits": {"start_s": 0.1}}


def error_of(answer: httpx.Response, status: int) -> HttpError:
    assert answer.status_code == status, answer.text
    return worlds.error_of(answer)


async def spaces(user: str) -> Discovered:
    return Discovered((SpaceSeen(f"{user}/one", "RUNNING", f"{user}-one"),))


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and a registry; users may register hosts on this machine."""
    settings = Settings(allow_noop=True, probe_limit_s=1.0)
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("registry") as registry_bus,
        world(tmp_path, bus, budget=Budget(hosts=2)) as one,
        registry(one, registry_bus, tmp_path, settings, spaces),
    ):
        yield one


@contextlib.asynccontextmanager
async def users(gateway: World) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with (
        gateway.http("alice-token") as alice,
        gateway.http("bob-token") as bob,
        gateway.http("admin-token") as admin,
    ):
        yield {"alice": alice, "bob": bob, "admin": admin}


async def ids(client: httpx.AsyncClient) -> list[str]:
    return [host["id"] for host in (await client.get("/api/mcps")).json()["data"]]


async def test_a_host_may_be_registered_with_its_id_in_the_body(gateway: World) -> None:
    async with users(gateway) as who:
        first, again = [
            await who["alice"].post("/api/mcps", json=ENTRY | {"id": "mine"}) for _ in range(2)
        ]
        assert (first.status_code, again.status_code) == (201, 200), first.text
        assert first.json()["data"]["id"] == "alice/mine"
        assert first.json()["data"]["owner"] == "alice"
        other = await who["alice"].post("/api/mcps", json=ENTRY | {"id": "mine", "name": "other"})
        error_of(other, 409)
        for body in (ENTRY, ENTRY | {"id": 7}):
            refused = error_of(await who["alice"].post("/api/mcps", json=body), 400)
            assert refused.details[0]["key"] == "id"
        error_of(await who["alice"].post("/api/mcps", json=ENTRY | {"id": "a b"}), 400)


async def test_a_users_host_serves_its_user_alone(gateway: World) -> None:
    async with users(gateway) as who:
        answer = await who["alice"].post("/api/mcps/mine", json=ENTRY)
        assert answer.status_code == 201, answer.text
        view = answer.json()["data"]
        assert (view["id"], view["owner"], view["source"]) == ("alice/mine", "alice", "command")
        assert await ids(who["alice"]) == ["alice/mine"]
        assert await ids(who["bob"]) == []
        again = await who["alice"].post("/api/mcps/mine", json=ENTRY)
        assert (again.status_code, again.json()["data"]["seq"]) == (200, view["seq"])
        other = await who["alice"].post("/api/mcps/mine", json=ENTRY | {"name": "New"})
        assert error_of(other, 409).reason == "conflict"
        updated = await who["alice"].put("/api/mcps/mine", json=ENTRY | {"name": "New"})
        assert updated.json()["data"]["name"] == "New"
        assert (await who["alice"].get("/api/mcps/mine")).json()["data"]["name"] == "New"


async def test_others_hosts_do_not_exist(gateway: World) -> None:
    async with users(gateway) as who:
        await who["alice"].post("/api/mcps/mine", json=ENTRY)
        for method, path in (
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "/enable"),
            ("POST", "/disable"),
            ("POST", "/probe"),
        ):
            body = ENTRY if method == "PUT" else None
            for host in ("mine", "alice/mine"):
                answer = await who["bob"].request(method, f"/api/mcps/{host}{path}", json=body)
                assert error_of(answer, 404).reason == "not_found", (method, path)
        refused = await who["bob"].post("/api/mcps/alice/mine", json=ENTRY)
        assert error_of(refused, 403).message.startswith("a host that you register is yours")
        assert (await who["bob"].post("/api/mcps/mine", json=ENTRY)).status_code == 201
        assert (await ids(who["alice"]), await ids(who["bob"])) == (["alice/mine"], ["bob/mine"])


async def test_an_admin_registers_for_a_user_and_finds_what_was_meant(gateway: World) -> None:
    async with users(gateway) as who:
        admin, alice = who["admin"], who["alice"]
        made = await admin.post("/api/mcps/given", json=ENTRY | {"owner": "alice"})
        assert (made.status_code, made.json()["data"]["id"]) == (201, "alice/given")
        same = await admin.post("/api/mcps/alice/given", json=ENTRY)
        assert same.status_code == 200
        await admin.post("/api/mcps/given", json=ENTRY)
        assert await ids(alice) == ["given", "alice/given"], "the operator's first"
        assert (await alice.get("/api/mcps/given")).json()["data"]["id"] == "given"
        # What she changes is hers, what is for everybody is the operator's.
        assert (await alice.post("/api/mcps/given/disable")).json()["data"]["id"] == "alice/given"
        assert (await admin.post("/api/mcps/given/disable")).json()["data"]["id"] == "given"
        moved = await admin.put("/api/mcps/given", json=ENTRY | {"owner": "alice"})
        assert "can't become alice/given" in error_of(moved, 400).message
        assert (await alice.delete("/api/mcps/given")).json()["data"]["host"] == "alice/given"
        assert error_of(await alice.delete("/api/mcps/given"), 403).reason == "forbidden"


async def test_hosts_are_switched_probed_and_removed(gateway: World) -> None:
    async with users(gateway) as who:
        alice = who["alice"]
        await alice.post("/api/mcps/mine", json=ENTRY)
        off = (await alice.post("/api/mcps/mine/disable")).json()
        assert (off["data"]["enabled"], off["message"]) == (False, "disabled")
        assert (await alice.post("/api/mcps/mine/disable")).json()["message"] == "it was disabled"
        assert error_of(await alice.post("/api/mcps/mine/probe"), 404).message
        assert (await alice.post("/api/mcps/mine/enable")).json()["data"].get("enabled", True)
        probed = (await alice.post("/api/mcps/mine/probe")).json()["data"]
        assert probed["status"] == "unhealthy"
        assert probed["reason"]
        removed = await alice.delete("/api/mcps/mine")
        assert removed.json()["data"]["host"] == "alice/mine"
        assert await ids(alice) == []
        assert error_of(await alice.delete("/api/mcps/mine"), 404).reason == "not_found"


async def test_programs_are_for_the_operator(gateway: World) -> None:
    noop = {"endpoint": {"kind": "noop"}}
    async with users(gateway) as who:
        assert error_of(await who["alice"].post("/api/mcps/n", json=noop), 403).message
        assert (await who["admin"].post("/api/mcps/n", json=noop)).status_code == 201
        assert await ids(who["bob"]) == ["n"], "the operator's hosts are for everybody"
        assert error_of(await who["bob"].delete("/api/mcps/n"), 403).reason == "forbidden"


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("x", b"{", 400),
        ("x", b"[]", 400),
        ("x", b"[" * 200, 400),
        ("x", b'{"endpoint": {"kind": "http"}}', 400),
        ("x", b'{"endpoint": {"kind": "http", "url": "https://a.example"}, "tools": []}', 400),
        ("a%20b", b"{}", 400),
        ("add", b'{"endpoint": {"kind": "http", "url": "http://127.0.0.1:1/mcp"}}', 400),
        ("alice/log", b'{"endpoint": {"kind": "http", "url": "http://127.0.0.1:1/mcp"}}', 405),
        ("-/x", b"{}", 400),
    ],
)
async def test_what_can_not_be_read_is_said(
    gateway: World, name: str, body: bytes, status: int
) -> None:
    async with gateway.http() as client:
        answer = await client.post(f"/api/mcps/{name}", content=body)
    assert error_of(answer, status).message


async def test_users_have_so_many_hosts(gateway: World) -> None:
    async with gateway.http() as client:
        found: list[Any] = [
            await client.post(f"/api/mcps/h{n}", json=ENTRY | {"name": str(n)}) for n in range(3)
        ]
    assert [answer.status_code for answer in found] == [201, 201, 429]


async def test_spaces_are_looked_for(gateway: World) -> None:
    async with gateway.http() as client:
        found = (await client.post("/api/mcps/discover")).json()["data"]["spaces"]
    assert found == [{"space": "alice/one", "stage": "RUNNING", "host": "alice-one"}]


async def test_without_a_registry_nothing_is_changed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with (
        nats_server.connected("gateway") as bus,
        world(tmp_path, bus) as one,
        one.http() as client,
    ):
        missing = error_of(await client.post("/api/mcps/x", json=ENTRY), 503)
        assert "the registry service is not running" in missing.message
        await bus.close()
        away = error_of(await client.post("/api/mcps/x", json=ENTRY), 503)
        assert "can't be asked now" in away.message
        assert await one.log.head() == 0
