"""On a full disk nobody waits for what is noted."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import msgspec
import pytest

from contracts import subjects
from contracts.access import AccessEvent
from services.bus.bus import Bus
from services.log import jetstream
from services.store import blobs
from services.store.stream import StoreError, Stream
from services.up import up
from services.up.nats_config import OPERATOR
from tests.support.facts import name
from tests.support.small_store import small_store
from tests.unit.gateway.world import world

STORE = 64 * 1024 * 1024
INTAKE = int(jetstream.INTAKE_CONFIG["max_bytes"])
PART = 900 * 1024


async def fill(bus: Bus) -> None:
    """Put random bytes into the log until the server takes not even few of them."""
    part, n = PART, 0
    while part > 16:
        answer = await bus.request(f"task.created.full.t{n}", os.urandom(part), timeout=20)
        n += 1
        if "error" in msgspec.json.decode(answer):
            part //= 8


async def test_a_full_disk_holds_nobody_up(tmp_path: Path) -> None:
    user = name("alice")
    async with small_store(tmp_path / "store", STORE - INTAKE) as store:
        operator = await up.connect(store.url, OPERATOR, store.credentials, name="test")
        await jetstream.provision(operator)
        await blobs.provision(operator)
        await operator.close()
        bus = await up.connect(store.url, "gateway", store.credentials, name="test")
        access = Stream(bus, subjects.ACCESS_STREAM)
        try:
            await fill(bus)
            async with world(tmp_path / "data", bus) as gateway:
                trail, writer = gateway.site.parts.trail, gateway.site.writer
                for _ in range(100):
                    trail.note("sign_in", user=user)
                with pytest.raises(StoreError):
                    await writer.flush()
                async with gateway.http(None) as nobody:
                    assert (await nobody.get("/api/tasks")).status_code == 401
                    assert (await nobody.get("/api/health/live")).status_code == 200
                async with gateway.http() as alice:
                    answer = await alice.get("/api/me")
                    assert isinstance(answer, httpx.Response)
                    assert answer.status_code == 200
                assert len(trail.waiting) + len(writer._batch) >= 100
                assert await access.read(subjects.access("*", user), 1, 10) == []
        finally:
            await bus.close()


def test_an_event_is_small() -> None:
    event = AccessEvent(id="i" * 36, at=1.5, by="gateway-1", kind="sign_in", user="alice")
    assert len(msgspec.json.encode(event)) < 200
