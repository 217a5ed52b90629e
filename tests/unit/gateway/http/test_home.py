"""What people see at `/`, where a sign-in ends, and what programs get there."""

from __future__ import annotations

from pathlib import Path

from services.bus.bus import Bus
from tests.unit.gateway.peopled import PASSWORD, added, peopled

HTML = {"Accept": "text/html,*/*;q=0.8"}


async def test_people_see_who_is_signed_in_and_programs_get_json(tmp_path: Path, bus: Bus) -> None:
    async with peopled(tmp_path, bus) as one, one.http(None) as client:
        assert (await client.get("/")).json()["data"]["name"] == "metamcp-orchestrator"
        nobody = await client.get("/", headers=HTML)
        assert 'href="/signin"' in nobody.text
        assert "default-src 'none'" in nobody.headers["content-security-policy"]
        user = await added(one)
        body = {"user": user, "password": PASSWORD, "cookie": True}
        await client.post("/api/auth/login", json=body, headers={"Origin": one.url})
        known = await client.get("/", headers=HTML)
        assert f"signed in as <b>{user}</b>" in known.text
        assert 'href="/device"' in known.text
