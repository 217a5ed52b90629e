"""Blobs of users: listed, and deleted unless something needs them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.facts import JobDone, Outcome
from contracts.result import Pointer
from services.process.ids import new_id
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import Whole, whole


@pytest.fixture
async def gateway(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Whole]:
    async with whole(nats_server, tmp_path) as one:
        yield one


async def stored(client: httpx.AsyncClient, content: bytes | None = None) -> dict[str, Any]:
    answer = await client.put("/api/blobs", content=content or os.urandom(70_000))
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def deleted(client: httpx.AsyncClient, sha256: str, **params: str) -> tuple[int, str]:
    answer = await client.delete(f"/api/blobs/{sha256}", params=params)
    error = answer.json().get("error")
    return answer.status_code, error["message"] if error else ""


async def test_what_was_uploaded_is_listed_and_goes(gateway: Whole) -> None:
    async with gateway.http() as client:
        blob = await stored(client)
        listed = (await client.get("/api/blobs", params={"limit": 500})).json()["data"]
        assert (blob["sha256"], 70_000) in [(one["sha256"], one["size"]) for one in listed]
        assert (await deleted(client, blob["sha256"]))[0] == 200
        assert (await deleted(client, blob["sha256"]))[0] == 404
        listed = (await client.get("/api/blobs", params={"limit": 500})).json()["data"]
        assert blob["sha256"] not in [one["sha256"] for one in listed]
        assert (await stored(client))["size"] == 70_000


async def test_an_open_task_keeps_the_bytes_it_names(gateway: Whole) -> None:
    async with gateway.http() as client:
        input_, file = await stored(client, os.urandom(9).hex().encode()), await stored(client)
        named = await stored(client, json.dumps({"files": [{"pointer": file}]}).encode())
        tasks = []
        for pointer in (input_, named):
            body = {"type": "t.x", "input_pointer": pointer}
            tasks.append((await client.post("/api/tasks", json=body)).json()["data"]["id"])
        inline = {"type": "t.x", "input": {"path": (other := await stored(client))["uri"]}}
        tasks.append((await client.post("/api/tasks", json=inline)).json()["data"]["id"])
        await gateway.settled()
        for blob in (input_, named, file, other):
            status, message = await deleted(client, blob["sha256"])
            assert status == 409
            assert "which is not over" in message
        await gateway.append(*(facts.done("alice", t, Outcome.CANCELLED) for t in tasks))
        await gateway.written()
        for blob in (input_, named, file, other):
            assert (await deleted(client, blob["sha256"]))[0] == 200


async def test_a_result_is_deleted_as_a_result(gateway: Whole) -> None:
    async with gateway.http() as client:
        blob = await stored(client)
        task = facts.name()
        await gateway.append(
            facts.created("alice", task),
            JobDone(
                id=new_id(),
                by="test",
                user="alice",
                task=task,
                outcome=Outcome.SUCCEEDED,
                result=msgspec.convert(blob, Pointer),
            ),
        )
        await gateway.written()
        status, message = await deleted(client, blob["sha256"])
        assert status == 409
        assert "DELETE /api/results/" in message


async def test_only_operators_delete_what_is_others(gateway: Whole) -> None:
    async with gateway.http() as alice, gateway.http("bob-token") as bob:
        blob = await stored(alice)
        assert (await deleted(bob, blob["sha256"]))[0] == 404
        assert (await deleted(bob, blob["sha256"], user="alice"))[0] == 404
        assert (await bob.get("/api/blobs", params={"user": "alice"})).status_code == 404
        async with gateway.http("admin-token") as admin:
            listed = await admin.get("/api/blobs", params={"user": "alice", "limit": "500"})
            assert blob["sha256"] in [one["sha256"] for one in listed.json()["data"]]
            assert (await deleted(admin, blob["sha256"], user="alice"))[0] == 200
