"""Publishers come, change and go while an orchestrator works; nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.errors
import pytest
from nats.aio.client import Client

from contracts import roles
from services.bus.bus import Bus, ConnectFailed, Credentials
from services.process.files import is_private
from services.up import up
from services.up.nats_config import OPERATOR, SYSTEM
from tests.bench.pipeline import NOOP, VARIABLES
from tests.support.system import forked_services
from tests.unit.cli.program import program

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
TASK = {"type": "noop", "input": {}}


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[up.Running]:
    manifest = folder / "noop.toml"
    manifest.write_text(NOOP)
    plan = up.Plan(
        data=folder / "data",
        manifests=(manifest,),
        port=0,
        variables=VARIABLES | {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"},
    )
    with forked_services():
        async with up.start(plan) as one:
            yield one


async def said(one: up.Running | Path, *words: str, code: int = 0) -> Any:
    """What `metamcp publisher …` prints as JSON, or on stderr if it fails."""
    data = one if isinstance(one, Path) else one.data
    async with program("publisher", *words, "--data", str(data), "--json") as command:
        ended, out = await command.ended()
        assert ended == code, (out, command.said)
        return json.loads(out) if not code else command.said


class Outside:
    """A service with plain NATS and the login it was given."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.facts: asyncio.Queue[str] = asyncio.Queue()

    async def follow(self) -> None:
        async def note(message: Any) -> None:
            self.facts.put_nowait(message.subject)

        await self.client.subscribe("task.created.>", cb=note)
        await self.client.subscribe("job.done.>", cb=note)
        await self.client.flush()

    async def done(self, task: str) -> None:
        """Publish a task and wait for its end."""
        await self.client.publish("task.created", json.dumps(TASK | {"id": task}).encode())
        await self.sees(f"job.done.{task}.end")

    async def sees(self, subject: str) -> None:
        async with asyncio.timeout(30):
            while await self.facts.get() != subject:
                pass


@contextlib.asynccontextmanager
async def outside(one: up.Running, login: dict[str, str], **options: Any) -> AsyncIterator[Outside]:
    async def quiet(_: Exception) -> None:
        """Errors are seen where they matter."""

    client = await nats.connect(
        one.nats_url,
        user=login["user"],
        password=login["password"],
        error_cb=quiet,
        **{"allow_reconnect": False} | options,
    )
    service = Outside(client)
    await service.follow()
    try:
        yield service
    finally:
        await client.close()


async def takes(one: up.Running, login: dict[str, str]) -> bool:
    """Whether the server is there and lets this login in."""
    try:
        bus = await Bus.connect(one.nats_url, name="outside", credentials=Credentials(**login))
    except ConnectFailed:
        return False
    await bus.close()
    return True


async def refused(one: up.Running, login: dict[str, str]) -> None:
    with pytest.raises(ConnectFailed, match="refuses these credentials"):
        await Bus.connect(one.nats_url, name="outside", credentials=Credentials(**login))


async def cut_off(service: Outside) -> None:
    """Wait until the server has ended the connection: nothing can be published on it."""
    async with asyncio.timeout(10):
        while not service.client.is_closed:
            with contextlib.suppress(nats.errors.Error):
                await service.client.flush(1)
    with pytest.raises(nats.errors.Error):
        await service.client.publish("task.created", b"{}")


async def connections(one: up.Running) -> dict[int, str]:
    """Those of the operator, the services and the default publisher, by the server's number."""
    system = await up.connect(one.nats_url, SYSTEM, one.credentials, name="looker")
    try:
        query = b'{"auth":true,"limit":1000}'
        answer = json.loads(await system.request("$SYS.REQ.SERVER.PING.CONNZ", query))
    finally:
        await system.close()
    kept = {OPERATOR, *roles.SERVICES, "publisher"}
    return {
        found["cid"]: found["authorized_user"]
        for found in answer["data"]["connections"]
        if found["authorized_user"] in kept
    }


class Load:
    """Tasks over HTTP and over NATS, one after the other; each has to succeed."""

    def __init__(self, one: up.Running, service: Outside) -> None:
        self.count = 0
        self._one = one
        self._service = service
        self._tasks = [asyncio.create_task(self._http()), asyncio.create_task(self._nats())]

    async def _http(self) -> None:
        headers = {"Authorization": f"Bearer {self._one.token}"}
        async with httpx.AsyncClient(
            base_url=self._one.url, headers=headers, trust_env=False, timeout=30
        ) as client:
            while True:
                answer = await client.post("/api/tasks", json=TASK, params={"wait": 30})
                assert answer.json()["data"]["status"] == "succeeded", answer.text
                self.count += 1

    async def _nats(self) -> None:
        while True:
            await self._service.done(f"load-{self.count}-{id(asyncio.current_task())}")
            self.count += 1

    async def more(self) -> None:
        """Return once it has gone on for a while."""
        wanted = self.count + 20
        async with asyncio.timeout(60):
            while self.count < wanted:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await self._service.client.flush()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()


@pytest.mark.long
async def test_publishers_come_change_and_go_under_load(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        own = json.loads((one.data / "credentials/publisher.json").read_text())
        async with outside(one, own) as default:
            load = Load(one, default)
            await load.more()
            before = await connections(one)
            assert set(before.values()) >= {*roles.SERVICES, "publisher"}
            await through_its_life(one, load)
            await load.more()
            await load.end()
            assert await connections(one) == before, "no connection of others has ended"
    # What is listed outlives the orchestrator, and so does what is not.
    async with running(tmp_path) as one:
        listed = await said(one, "list")
        assert [(row["name"], row["user"]) for row in listed] == [
            ("publisher", "publisher"),
            ("shop", "acme"),
        ]
        login = json.loads((one.data / "credentials/shop.json").read_text())
        async with outside(one, login) as shop:
            await shop.done("again")


async def through_its_life(one: up.Running, load: Load) -> None:
    crm = await said(one, "add", "crm", "--user", "acme")
    async with outside(one, crm["login"]) as calling:
        await calling.done("c0")
    shop = await said(one, "add", "shop", "--user", "acme")
    assert await said(one, "add", "crm", "--user", "acme") == crm
    assert (await said(one, "add", "crm", "--user", "other", code=4)).startswith("error: Pub")
    file = one.data / "credentials/crm.json"
    assert (crm["credentials"], crm["nats_url"]) == (str(file), one.nats_url)
    assert is_private(file)
    await load.more()
    async with outside(one, shop["login"]) as selling:
        await selling.done("s0")
        async with outside(one, crm["login"]) as calling:
            await calling.done("c1")
            await selling.sees("job.done.c1.end")
            answer = await calling.client.request(
                "metamcp.tasks.submit", json.dumps(TASK | {"id": "c2"}).encode(), timeout=30
            )
            assert json.loads(answer.data)["task"] == "c2"
            for task in ("c1", "c2"):
                assert await asked_by(one, task) == "publisher:crm"
            rotated = await said(one, "rotate", "crm")
            await cut_off(calling)
        await refused(one, crm["login"])
        async with outside(one, rotated["login"]) as calling:
            await calling.done("c3")
            await said(one, "remove", "crm")
            await cut_off(calling)
        await refused(one, rotated["login"])
        assert not [left for left in (one.data / "credentials").iterdir() if left == file]
        assert "no publisher crm" in await said(one, "remove", "crm", code=4)
        await selling.done("s1")
        assert await asked_by(one, "s1") == "publisher:shop"


async def asked_by(one: up.Running, task: str) -> str:
    headers = {"Authorization": f"Bearer {one.token}"}
    async with httpx.AsyncClient(base_url=one.url, headers=headers, trust_env=False) as client:
        answer = await client.get(f"/api/tasks/{task}", params={"user": "acme"})
        return str(answer.json()["data"]["asked_by"])


async def test_what_is_changed_while_nothing_runs_holds_from_the_next_start(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    made = await said(data, "add", "crm", "--user", "acme")
    await said(data, "remove", "publisher")
    async with running(tmp_path) as one:
        assert not (data / "credentials/publisher.json").exists()
        async with outside(one, made["login"]) as service:
            await service.done("first")
            one.kill("nats")
            await cut_off(service)
        async with asyncio.timeout(30):
            while not await takes(one, made["login"]):
                pass
        async with outside(one, made["login"]) as service:
            await service.done("second")
