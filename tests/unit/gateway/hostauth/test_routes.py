"""Signing in at hosts over HTTP, with a browser or from a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import msgspec
import pytest

from contracts.facts import McpRegistered
from contracts.host import Access, Host, StreamableHttp
from services.bus.bus import Bus
from services.gateway.hostauth.links import HostWish
from services.process.ids import new_id
from tests.support.facts import name
from tests.support.host_auth import HostAuth
from tests.unit.gateway.hostauth.linking import BASE, visited
from tests.unit.gateway.peopled import PASSWORD, added, peopled
from tests.unit.gateway.world import SETTINGS, World, error_of


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    settings = msgspec.structs.replace(SETTINGS, public_url=BASE)
    async with peopled(tmp_path, bus, settings) as running:
        yield running


@contextlib.asynccontextmanager
async def browser(one: World, user: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has signed in with a browser."""
    async with one.http(None) as client:
        body = {"user": user, "password": PASSWORD, "cookie": True}
        answer = await client.post("/api/auth/login", json=body, headers={"Origin": one.url})
        assert answer.status_code == 200, answer.text
        token = answer.json()["data"]["csrf_token"]
        client.headers.update({"Origin": one.url, "X-CSRF-Token": token, "Accept": "text/html"})
        yield client


async def host(one: World, auth: HostAuth, **fields: Any) -> str:
    """Register one of the operator's."""
    id_ = name("h")
    spec = Host(id=id_, name=id_, endpoint=StreamableHttp(auth.resource), **fields)
    await one.append(McpRegistered(id=new_id(), by="registry-1", host=id_, k=1, spec=spec))
    await one.site.projection.reached(await one.log.head(), 5)
    return id_


async def test_a_browser_comes_back_and_its_user_is_signed_in(one: World, auth: HostAuth) -> None:
    id_, user = await host(one, auth), await added(one)
    async with browser(one, user) as client:
        before = (await client.get(f"/api/mcps/{id_}/link")).json()["data"]
        begun = await client.post(f"/api/mcps/{id_}/link", json={"scopes": ["files:write"]})
        answer = await visited(begun.json()["data"]["authorize_url"])
        page = await client.get("/link/callback", params=answer)
        after = (await client.get(f"/api/mcps/{id_}/link")).json()["data"]
        listed = (await client.get("/api/links")).json()["data"]
        again = await client.get("/link/callback", params=answer)
        ended = (await client.delete(f"/api/mcps/{id_}/link")).json()["data"]
    assert (before["linked"], after["linked"]) == (False, True)
    assert after["scopes"] == ["files:read", "files:write"]
    assert listed == [after]
    assert (page.status_code, user in page.text) == (200, True)
    assert "script" not in page.headers["content-security-policy"]
    assert (again.status_code, "metamcp link" in again.text) == (400, True)
    assert ended == {"host": id_, "linked": True, "revoked": True}
    noted = [(each.kind, each.user, each.subject) for each in one.site.parts.trail.waiting]
    assert {("host.linked", user, id_), ("host.unlinked", user, id_)} <= set(noted)
    shown = page.text + str(noted) + str(after) + str(ended)
    assert not [token for token in auth.revoked if token in shown]


async def test_who_began_in_a_terminal_signs_in_with_the_browser_first(
    one: World, auth: HostAuth
) -> None:
    id_ = await host(one, auth)
    async with one.http() as terminal:
        begun = (await terminal.post(f"/api/mcps/{id_}/link")).json()["data"]
    answer = await visited(begun["authorize_url"])
    async with one.http(None) as client:
        sent = await client.get("/link/callback", params=answer)
    assert sent.status_code == 303
    onward = urlsplit(sent.headers["location"])
    assert onward.path == "/signin"
    assert parse_qs(onward.query)["next"] == [f"/link/callback?{urlencode(answer)}"]
    async with browser(one, await added(one)) as stranger:
        refused = await stranger.get("/link/callback", params=answer)
    assert refused.status_code == 403
    async with one.http() as terminal:
        assert not (await terminal.get(f"/api/mcps/{id_}/link")).json()["data"]["linked"]


@pytest.mark.parametrize("query", ["", "code=x", "state=a&state=b", f"state={'x' * 5000}"])
async def test_what_is_no_answer_is_refused(one: World, query: str) -> None:
    async with one.http(None) as client:
        assert error_of(await client.get(f"/link/callback?{query}")).code == 400


async def test_a_host_that_is_not_for_somebody_does_not_exist(one: World, auth: HostAuth) -> None:
    id_ = await host(one, auth, access=Access(users=("bob",)))
    async with one.http() as alice:
        for method in ("POST", "GET", "DELETE"):
            answer = await alice.request(method, f"/api/mcps/{id_}/link")
            assert error_of(answer).code == 404
    assert not auth.called


async def test_servers_read_who_we_are(one: World) -> None:
    async with one.http(None) as client:
        said = (await client.get("/link/client.json")).json()
    assert said["client_id"] == f"{BASE}/link/client.json"
    assert said["token_endpoint_auth_method"] == "none"


async def test_a_deleted_accounts_sign_ins_are_nobodys(one: World, auth: HostAuth) -> None:
    id_, user = await host(one, auth), await added(one)
    links = one.site.host_links
    spec = Host(id=id_, name=id_, endpoint=StreamableHttp(auth.resource))
    url, _ = await links.begin(HostWish(user, spec))
    await links.finish(await visited(url), user)
    assert await links.kept.of(user, id_) is not None
    async with one.http("admin-token") as admin:
        assert (await admin.delete(f"/api/users/{user}")).status_code == 200
    assert await links.kept.of(user, id_) is None
    await added(one, user, again=True)
    assert await links.kept.of(user, id_) is None
