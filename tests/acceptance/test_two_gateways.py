"""Two whole gateways on one nats-server: tokens and request limits are the same at both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from contracts.subjects import LIMITS_BUCKET
from services.gateway.access.identity import ensure_local_token
from services.gateway.listener import announce_file
from services.gateway.service import serve
from services.gateway.settings import Settings
from services.keys.vault import key_path
from services.process.run import Fatal, Process
from services.process.run import serve as run
from services.process.settings import Common
from services.store.kv import Bucket
from tests.support.nats import NatsServer

LIMIT = 8


@contextlib.asynccontextmanager
async def gateway(
    nats: NatsServer, instance: str, data: Path, *, limit: int = LIMIT
) -> AsyncIterator[str]:
    """A gateway with a data folder of its own; its address."""
    process = Process("gateway", instance)
    common = Common(
        nats_url=nats.url,
        data=data,
        credentials=nats.embedded.credentials_file("gateway"),
        enable_metrics=False,
    )

    async def main(own: Process) -> None:
        # A window that does not end while the test runs.
        settings = Settings(port=0, rate_limit_requests=limit, rate_limit_window_s=1e9)
        await serve(own, common, settings)

    running = asyncio.create_task(run(main, process))
    try:
        never = asyncio.Event()
        async with asyncio.timeout(30):
            while not announce_file(data).exists():
                if running.done():
                    await running
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), 0.02)
        yield str(msgspec.json.decode(announce_file(data).read_bytes())["url"])
    finally:
        process.stopping.set()
        await running


def client(url: str, token: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A data folder for each."""
    both = (tmp_path / "one", tmp_path / "two")
    for folder in both:
        folder.mkdir()
    return both


async def issue(url: str, data: Path, user: str) -> tuple[str, str]:
    """A token of this user and its id, issued by the operator's own token at that gateway."""
    async with client(url, ensure_local_token(data)) as admin:
        made = (await admin.post("/api/tokens", json={"user": user})).json()["data"]
    return made["token"], made["id"]


async def test_a_users_limit_holds_for_all_gateways(
    fresh_nats: NatsServer, folders: tuple[Path, Path]
) -> None:
    async with gateway(fresh_nats, "gateway-1", folders[0]) as first:
        token, _ = await issue(first, folders[0], "ann")
        other, _ = await issue(first, folders[0], "bob")
        async with client(first, token) as ann:
            answers = [(await ann.get("/api/tasks")).status_code for _ in range(LIMIT + 1)]
        assert answers == [200] * LIMIT + [429]
        await _reported(fresh_nats, LIMIT)
        async with (
            gateway(fresh_nats, "gateway-2", folders[1]) as second,
            client(second, token) as ann,
            client(second, other) as bob,
        ):
            answer = await ann.get("/api/tasks")
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["error"]["reason"] == "rate_limited"
            assert (await bob.get("/api/tasks")).status_code == 200


async def test_a_token_begins_and_ends_at_both(
    fresh_nats: NatsServer, folders: tuple[Path, Path]
) -> None:
    async with (
        gateway(fresh_nats, "gateway-1", folders[0], limit=0) as first,
        gateway(fresh_nats, "gateway-2", folders[1], limit=0) as second,
    ):
        token, known_as = await issue(first, folders[0], "ann")
        async with client(second, token) as ann:
            await _until(ann, 200, but=401)
            async with client(first, ensure_local_token(folders[0])) as admin:
                answer = await admin.delete(f"/api/tokens/{known_as}")
                assert answer.status_code == 200
            await _until(ann, 401, but=200)


async def test_a_lost_master_key_stops_the_start_and_loses_nothing(
    fresh_nats: NatsServer, folders: tuple[Path, Path]
) -> None:
    login = {"user": "ann", "password": "seven horses in a boat"}
    async with (
        gateway(fresh_nats, "gateway-1", folders[0], limit=0) as first,
        client(first, ensure_local_token(folders[0])) as admin,
    ):
        made = {"name": "ann", "password": login["password"]}
        assert (await admin.post("/api/users", json=made)).status_code == 201
        session = (await admin.post("/api/auth/login", json=login)).json()["data"]
    key = key_path(folders[0], None)
    kept = key.rename(folders[0] / "kept")
    # The first start without the file makes another one; a second one has that.
    for _ in "12":
        with pytest.raises(Fatal, match=r"another master key.*key\.root"):
            async with gateway(fresh_nats, "gateway-1", folders[0]):
                pass
    kept.rename(key)
    async with gateway(fresh_nats, "gateway-1", folders[0], limit=0) as first:
        async with client(first, session["access_token"]) as ann:
            assert (await ann.get("/api/tasks")).status_code == 200
        # What was given out in one data folder is nobody's in another one.
        async with client(first, ensure_local_token(folders[1])) as stranger:
            assert (await stranger.get("/api/tasks")).status_code == 401


async def _until(asking: httpx.AsyncClient, wanted: int, *, but: int) -> None:
    """Ask until the answer has this status, and the other one before."""
    async with asyncio.timeout(60):
        while (found := (await asking.get("/api/tasks")).status_code) != wanted:
            assert found == but


async def _reported(nats: NatsServer, count: int) -> None:
    """Wait until a gateway has told the others of so many requests of one user."""
    async with nats.connected("gateway") as bus, asyncio.timeout(60):
        bucket = Bucket(bus, LIMITS_BUCKET)
        while not any(
            count in msgspec.json.decode(entry.value)["counts"].values()
            for entry in (await bucket.all()).values()
        ):
            await bus.flush()
