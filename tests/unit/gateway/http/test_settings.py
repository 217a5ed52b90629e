"""What admins see of how services run: settings without secrets, keys, publishers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import msgspec

from contracts.facts import LogKey
from contracts.publisher import LIST_FILE, Publisher
from services.bus.bus import Bus
from services.join import join
from services.process import run
from services.process.ids import new_id
from services.process.run import Process
from services.process.settings import Common
from services.router import settings as router
from tests.support.nats import NatsServer
from tests.unit.gateway.world import SETTINGS, World, error_of, world

SECRET = msgspec.structs.replace(SETTINGS, github_client_id="app", github_client_secret="s3cret")


def key(kid: str, replaces: str = "") -> LogKey:
    jwk = {"kty": "RSA", "alg": "RS256", "kid": kid}
    return LogKey(id=new_id(), by="executor-1", kid=kid, jwk=jwk, replaces=replaces)


async def test_settings_and_keys_are_for_admins(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus, SECRET) as one:
        await one.append(key("k1"), key("k2", "k1"))
        await one.settled()
        async with one.http() as alice, one.http("admin-token") as admin:
            for path in ("/api/settings", "/api/keys", "/api/publishers"):
                assert error_of(await alice.get(path)).code == 403
            answer = await admin.get("/api/settings")
            assert "s3cret" not in answer.text
            found = {each["name"]: each for each in answer.json()["data"]}
            assert (found["port"]["value"], found["port"]["source"]) == (0, "start")
            assert found["github_client_secret"]["value"] is True
            keys = (await admin.get("/api/keys")).json()["data"]
            assert [(each["kid"], each["replaced"] is None) for each in keys] == [
                ("k2", True),
                ("k1", False),
            ]


async def test_each_process_of_another_service_tells_its_own(
    gateway: World, nats_server: NatsServer
) -> None:
    """Two routers answer, each with what it was started with; nobody does once they are gone."""

    async def told(service: str = "router") -> httpx.Response:
        async with gateway.http("admin-token") as admin:
            return await admin.get("/api/settings", params={"service": service})

    both = asyncio.Barrier(3)

    async def main(own: Process) -> None:
        common = Common(nats_url=nats_server.url, data=nats_server.data)
        await join(own, common, router.Settings(max_attempts=int(own.instance[-1])))
        await both.wait()
        await own.stopping.wait()

    ones = [Process("router", f"router-{number}") for number in (7, 8)]
    running = [asyncio.create_task(run.serve(main, one)) for one in ones]
    async with asyncio.timeout(30):
        await both.wait()
        shown = (await told()).json()["data"]
        for one in ones:
            one.stopping.set()
        await asyncio.gather(*running)
        assert error_of(await told()).code == 503
    found = [each for each in shown if each["name"] == "max_attempts"]
    assert [(each["instance"], each["value"], each["source"]) for each in found] == [
        ("router-7", 7, "start"),
        ("router-8", 8, "start"),
    ]
    assert {each["section"] for each in shown} == {"common", "router"}
    assert error_of(await told("nobody")).code == 400


async def test_publishers_are_those_of_the_list(gateway: World, tmp_path: Path) -> None:
    async def shown() -> httpx.Response:
        async with gateway.http("admin-token") as admin:
            return await admin.get("/api/publishers")

    assert (await shown()).json()["data"] == [{"name": "publisher", "user": "publisher"}]
    listed = [Publisher("crm", "acme", "1"), Publisher("ci", "build")]
    (tmp_path / LIST_FILE).write_bytes(msgspec.json.encode(listed))
    expected = [{"name": "crm", "user": "acme"}, {"name": "ci", "user": "build"}]
    assert (await shown()).json()["data"] == expected
    (tmp_path / LIST_FILE).write_bytes(b"[{")
    assert error_of(await shown()).code == 503
