"""`/api/settings` and `/api/keys`: for admins what the gateway runs with, without secrets."""

from __future__ import annotations

from pathlib import Path

import msgspec

from contracts.facts import LogKey
from services.bus.bus import Bus
from services.process.ids import new_id
from tests.unit.gateway.world import SETTINGS, error_of, world

SECRET = msgspec.structs.replace(SETTINGS, github_client_id="app", github_client_secret="s3cret")


def key(kid: str, replaces: str = "") -> LogKey:
    jwk = {"kty": "RSA", "alg": "RS256", "kid": kid}
    return LogKey(id=new_id(), by="executor-1", kid=kid, jwk=jwk, replaces=replaces)


async def test_settings_and_keys_are_for_admins(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus, SECRET) as one:
        await one.append(key("k1"), key("k2", "k1"))
        await one.settled()
        async with one.http() as alice, one.http("admin-token") as admin:
            for path in ("/api/settings", "/api/keys"):
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
