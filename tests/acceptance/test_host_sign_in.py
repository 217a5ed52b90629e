"""A host that asks for OAuth, from the first refusal to a call, through all services."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.facts import name
from tests.support.host_auth import HostAuth, host_auth
from tests.support.system import System, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def called(one: System, host: str) -> dict[str, Any]:
    """Call its tool as a task."""
    data = {"tool": "whoami", "arguments": {}}
    task = await one.submit(input=data, host=host, max_attempts=1)
    return await one.finished(task)


async def shown(one: System, host: str) -> dict[str, Any]:
    return (await one.get(f"/api/mcps/{host}")).json()["data"]  # type: ignore[no-any-return]


async def signed_in(one: System, host: str, auth: HostAuth) -> None:
    """Have a browser do it."""
    begun = await one.http.post(f"{one.url}/api/mcps/{host}/link")
    assert begun.status_code == 200, begun.text
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
        page = await browser.get(begun.json()["data"]["authorize_url"])
    assert (page.status_code, "Signed in" in page.text) == (200, True), page.text
    assert auth.count("authorization_code") == 1


async def test_a_host_that_wants_a_sign_in_serves_whoever_has_signed_in(
    shared_system: System,
) -> None:
    one, host = shared_system, name("closed")
    async with host_auth() as auth:
        entry = {"endpoint": {"kind": "http", "url": auth.resource}}
        added = await one.http.post(f"{one.url}/api/mcps/{host}", json=entry)
        assert added.status_code == 201, added.text
        probed = await one.http.post(f"{one.url}/api/mcps/{host}/probe")
        assert probed.json()["data"]["status"] == "warning", probed.text
        assert probed.json()["data"]["reason"].startswith("sign-in needed:")
        refused = await called(one, host)
        assert refused["status"] == "failed", refused
        assert f"`metamcp link {host}`" in refused["error"]["message"]
        await signed_in(one, host, auth)

        async def listed() -> bool:
            return [tool["name"] for tool in (await shown(one, host))["tools"]] == ["whoami"]

        await until(listed)
        assert (await called(one, host))["status"] == "succeeded"
        auth.tokens.clear()
        await one.http.delete(f"{one.url}/api/mcps/{host}/link")
        await one.http.delete(f"{one.url}/api/mcps/{host}")
        text = b"".join(str(record.fact).encode() for record in await one.facts())
        assert not [token for token in auth.revoked if token.encode() in text]
        assert len(auth.revoked) == 2
