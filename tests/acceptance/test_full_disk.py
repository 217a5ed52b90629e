"""A user who fills the store: others go on, and the operator gets out by the API alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from services.bus.bus import Bus
from services.up import up
from tests.bench.pipeline import NOOP, VARIABLES

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]
MB = 1_000_000
STORE = 48 * MB
TASK = {"type": "noop", "input": {}}
LATER = TASK | {"delay_s": 3600, "deadline_s": 7000}


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[up.Running]:
    manifest = folder / "noop.toml"
    manifest.write_text(NOOP)
    plan = up.Plan(
        data=folder / "data",
        manifests=(manifest,),
        port=0,
        variables=VARIABLES | {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"},
        settings=up.Settings(nats_bytes=STORE, in_process=True),
    )
    async with up.start(plan) as one:
        yield one


def client(one: up.Running, token: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=one.url, headers=headers, trust_env=False, timeout=30)


async def token_of(admin: httpx.AsyncClient, user: str) -> tuple[str, str]:
    made = (await admin.post("/api/tokens", json={"user": user})).json()["data"]
    return made["id"], made["token"]


async def room(bus: Bus) -> int:
    return STORE - int(json.loads(await bus.request("$JS.API.INFO"))["storage"])


async def fill(one: up.Running, leave: int) -> None:
    """Take the store's room past our own rules; `leave` 0: all of it."""
    folder = one.credentials
    executor = await up.connect(one.nats_url, "executor", folder, name="filler")
    gateway = await up.connect(one.nats_url, "gateway", folder, name="looker")
    try:
        size, number = 512 * 1024, 0
        while size and await room(gateway) > leave:
            number += 1
            answer = await executor.request(f"blob.chunk.filler.{number}", os.urandom(size))
            if b'"error"' in answer:
                size //= 8
    finally:
        await executor.close()
        await gateway.close()


async def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["reason"]


async def uploaded(user: httpx.AsyncClient) -> httpx.Response:
    return await user.put("/api/blobs", content=os.urandom(2 * MB))


async def until_full(admin: httpx.AsyncClient) -> dict[str, Any]:
    """Wait until the gateway knows; it looks every second."""
    async with asyncio.timeout(20):
        while True:
            answer = await admin.get("/api/health/ready")
            if answer.status_code == 200 and answer.json()["data"].get("full"):
                return answer.json()  # type: ignore[no-any-return]


async def test_the_operator_acts_while_the_store_is_full(tmp_path: Path) -> None:
    async with running(tmp_path) as one, client(one, one.token) as admin:
        id_, token = await token_of(admin, "mallory")
        bob_id, bobs = await token_of(admin, "bob")
        async with client(one, token) as mallory, client(one, bobs) as bob:
            stored: list[str] = []
            while (answer := await uploaded(mallory)).is_success:
                stored.append(answer.json()["data"]["sha256"])
            assert await reason(answer) == (507, "disk_full")
            assert len(stored) >= 8
            done = await bob.post("/api/tasks", json=TASK, params={"wait": 30})
            assert done.is_success, done.text
            assert done.json()["data"]["status"] == "succeeded", "the log has its part of the store"
            later = (await bob.post("/api/tasks", json=LATER)).json()["data"]["id"]

            await fill(one, leave=5 * MB)
            assert "nearly full" in (await until_full(admin))["message"]
            assert await reason(await bob.post("/api/tasks", json=TASK)) == (507, "disk_full")
            assert await reason(await bob.put("/api/blobs", content=b"x")) == (507, "disk_full")
            assert (await submitted(one, bobs))["code"] == "disk_full"
            assert (await bob.post(f"/api/tasks/{later}/cancel")).status_code == 200
            await admin_acts(admin, mallory, id_, stored[0])
            assert (await admin.post("/api/tasks", json=TASK)).status_code == 201
            ended = await bob.get(f"/api/tasks/{later}")
            assert ended.json()["data"]["cancel_requested"]

            await fill(one, leave=0)
            gone = await admin.delete(f"/api/tokens/{bob_id}")
            assert gone.status_code == 200, gone.text
            assert "at this gateway alone" in gone.json()["message"]
            assert (await bob.get("/api/tasks")).status_code == 401
            assert (await admin.post("/api/tasks", json=TASK)).status_code == 503
            ready = await admin.get("/api/health/ready")
            assert ready.status_code == 503
            assert "takes no facts" in ready.json()["error"]["message"]


async def admin_acts(
    admin: httpx.AsyncClient, mallory: httpx.AsyncClient, id_: str, sha256: str
) -> None:
    """Each of these writes, and comes through in the reserve."""
    revoked = await admin.delete(f"/api/tokens/{id_}")
    assert (revoked.status_code, revoked.json()["message"]) == (200, "revoked")
    assert (await mallory.get("/api/blobs")).status_code == 401
    listed = await admin.get("/api/blobs", params={"user": "mallory"})
    assert sha256 in [blob["sha256"] for blob in listed.json()["data"]]
    gone = await admin.delete(f"/api/blobs/{sha256}", params={"user": "mallory"})
    assert gone.status_code == 200, gone.text
    assert gone.json()["data"]["size"] == 2 * MB
    again = await admin.delete(f"/api/blobs/{sha256}", params={"user": "mallory"})
    assert again.status_code == 404
    disabled = await admin.post("/api/mcps/noop/disable")
    assert disabled.status_code == 200, disabled.text
    assert disabled.json()["data"]["enabled"] is False


async def submitted(one: up.Running, token: str) -> dict[str, Any]:
    """The answer to a task on a websocket."""
    address = one.url.replace("http", "ws", 1) + "/api/stream"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        address,
        subprotocols=["metamcp.v1"],
        additional_headers=headers,
        proxy=None,  # type: ignore[list-item]
    ) as socket:
        await socket.send(json.dumps({"op": "submit", "ref": 1, "task": TASK}))
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame.get("ref") == 1:
                return frame
