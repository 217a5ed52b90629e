"""A gateway whose nearest replica of the log lags: who asks for a task finds it all the same."""

from __future__ import annotations

from pathlib import Path

from contracts.result import sha256_hex
from services.bus.bus import Bus
from services.log.jetstream import NatsLog
from tests.support import facts
from tests.support.lagging import lag
from tests.unit.gateway.world import made, world


async def test_a_task_that_was_just_accepted_is_there(tmp_path: Path, bus: Bus) -> None:
    async with await NatsLog.open(bus) as log, world(tmp_path, bus, log=log) as one:
        await one.settled()
        lag(log, await log.head())
        data = facts.name().encode()
        async with one.http() as client:
            await client.put("/api/blobs", content=data)
            task = await made(client, input={"files": {"a": {"sha256": sha256_hex(data)}}})
            view = await client.get(f"/api/tasks/{task['id']}")
            assert (view.status_code, view.json()["data"]["status"]) == (200, "pending")
            again = await client.post("/api/tasks", json={"id": task["id"], "type": "t.other"})
            assert again.status_code == 409
            await one.settled()
            needed = await client.delete(f"/api/blobs/{sha256_hex(data)}")
            assert needed.status_code == 409
            wish = await client.post(f"/api/tasks/{task['id']}/cancel")
            assert wish.status_code in (200, 202), wish.text
            nothing = await client.get(f"/api/tasks/{facts.name()}")
            assert nothing.status_code == 404
