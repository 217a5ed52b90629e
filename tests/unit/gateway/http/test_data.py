"""Inputs, results and hosts over the HTTP API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from contracts import facts as kinds
from contracts.host import HealthStatus, Host, Stdio, TaskBinding
from contracts.result import Pointer
from services.bus.bus import Bus
from services.gateway.settings import Settings
from services.process.ids import new_id
from services.store.blobs import Blobs
from tests.support.facts import name
from tests.unit.gateway.world import TASK, World, error_of, made, world


async def test_a_big_input_moves_to_the_object_store(gateway: World) -> None:
    user_input = {"text": "x" * 100_000}
    async with gateway.http() as client:
        task = (await made(client, input=user_input, id="big"))["id"]
        again = await client.post("/api/tasks", json=TASK | {"input": user_input, "id": "big"})
        assert again.status_code == 200
        found = (await client.get(f"/api/tasks/{task}")).json()["data"]["spec"]
    pointer = msgspec.convert(found["input_pointer"], Pointer)
    assert json.loads(await Blobs(gateway.bus).read(pointer)) == user_input
    assert found["input"] == {}


async def test_an_uploaded_blob_is_an_input_of_its_owner_only(gateway: World) -> None:
    content = json.dumps({"big": name() * 20_000}).encode()
    async with gateway.http() as client, gateway.http("bob-token") as bob:
        put = await client.put(
            "/api/blobs", content=content, headers={"content-type": "application/json"}
        )
        assert put.status_code == 201
        pointer = put.json()["data"]
        assert (pointer["size"], pointer["uri"].split("/")[-2]) == (len(content), "alice")
        body = {"type": "t.x", "input_pointer": pointer}
        assert (await client.post("/api/tasks", json=body)).status_code == 201
        assert error_of(await bob.post("/api/tasks", json=body)).reason == "bad_request"
        both = await client.post("/api/tasks", json=body | {"input": {"x": 1}})
        assert "not both" in error_of(both).message
        sha = "0" * 64
        gone = pointer | {"sha256": sha, "uri": pointer["uri"].rpartition("/")[0] + "/" + sha}
        missing = await client.post("/api/tasks", json=body | {"input_pointer": gone})
        assert "names nothing" in error_of(missing).message


async def test_uploads_have_a_limit(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, blob_limit=1024, rate_limit_requests=0)
    async with world(tmp_path, bus, settings) as gateway, gateway.http() as client:
        assert (await client.put("/api/blobs", content=b"x" * 1024)).status_code == 201

        async def chunks() -> Any:
            for _ in range(4):
                yield b"x" * 300

        for content in (b"x" * 1025, chunks()):
            answer = await client.put("/api/blobs", content=content)
            assert error_of(answer).reason == "too_large"


def host(id_: str, owner: str | None = None) -> kinds.McpRegistered:
    spec = Host(
        id=id_, name=id_, endpoint=Stdio("x"), owner=owner, task_types={f"t.{id_}": TaskBinding(())}
    )
    return kinds.McpRegistered(id=new_id(), by="registry-1", host=id_, k=1, spec=spec)


async def test_hosts_are_shown_to_those_who_may_use_them(gateway: World) -> None:
    health = kinds.McpHealth(
        id=new_id(), by="registry-1", host="all", k=1, status=HealthStatus.HEALTHY, latency_ms=3
    )
    await gateway.append(host("all"), host("hers", "alice"), host("his", "bob"), health)
    await gateway.settled()

    async def seen(token: str, query: str = "") -> list[str]:
        async with gateway.http(token) as client:
            return [h["id"] for h in (await client.get(f"/api/mcps{query}")).json()["data"]]

    assert await seen("alice-token") == ["all", "hers"]
    assert await seen("bob-token") == ["all", "his"]
    assert await seen("admin-token") == ["all", "hers", "his"]
    assert await seen("alice-token", "?task_type=t.hers") == ["hers"]
    assert await seen("alice-token", "?task_type=mcp.call") == ["all", "hers"]
    async with gateway.http() as client:
        first = (await client.get("/api/mcps")).json()["data"][0]
    assert (first["health"]["status"], first["health"]["latency_ms"]) == ("healthy", 3)


async def test_keys_of_permits_are_public(gateway: World) -> None:
    jwk = {"kty": "RSA", "kid": "k1", "n": "x", "e": "AQAB"}
    await gateway.append(kinds.LogKey(id=new_id(), by="executor-1", kid="k1", jwk=jwk))
    await gateway.site.projection.reached(1, 5)
    async with gateway.http(None) as client:
        assert (await client.get("/.well-known/jwks.json")).json() == {"keys": [jwk]}
