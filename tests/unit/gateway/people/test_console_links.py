"""Links that sign a browser in: once, for ten minutes, and for no more than what made them may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import Rejected
from services.bus.bus import Bus
from services.gateway.access.identity import Principal
from services.gateway.people import console_links
from tests.unit.gateway.peopled import ADMIN, added, kinds, noted, peopled, signed_in
from tests.unit.gateway.world import TOKENS, World, error_of, write_tokens

MAKE = "/api/auth/console-links"
TAKE = "/api/auth/console"


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


async def made(one: World, token: str = ADMIN) -> str:
    async with one.http(token) as client:
        answer = await client.post(MAKE)
        assert answer.status_code == 201, answer.text
    link = answer.json()["data"]
    assert link["path"] == f"/console#code={link['code']}"
    return str(link["code"])


async def taken(one: World, browser: httpx.AsyncClient, code: str, **headers: str) -> Any:
    return await browser.post(TAKE, json={"code": code}, headers={"Origin": one.url} | headers)


async def test_a_link_signs_a_browser_in_once(one: World) -> None:
    code = await made(one)
    async with one.http(None) as browser, one.http(None) as other:
        # Two at once, and one later: of all of them one is let in.
        answers = await asyncio.gather(*(taken(one, who, code) for who in (browser, other)))
        assert sorted(answer.status_code for answer in answers) == [200, 404]
        inside = browser if browser.cookies else other
        cookie = next(answer for answer in answers if answer.is_success).headers["set-cookie"]
        assert "HttpOnly; SameSite=Lax" in cookie
        again = error_of(await taken(one, inside, code))
        assert "used already: make another with `metamcp console`" in again.message
        me = (await inside.get("/api/me")).json()["data"]
        assert (me["user"], me["roles"]) == ("root", ["admin", "auditor", "user"])
        sessions = (await inside.get("/api/auth/sessions")).json()["data"]
        assert [s["method"] for s in sessions if s["current"]] == ["link"]
        # It is a session like others: changes need the anti-forgery token, and it can be ended.
        form = (await inside.get("/api/auth/csrf")).json()["data"]["csrf_token"]
        assert (await inside.post("/api/auth/logout")).status_code == 403
        out = await inside.post(
            "/api/auth/logout", headers={"Origin": one.url, "X-CSRF-Token": form}
        )
        assert out.is_success
        assert (await inside.get("/api/me")).status_code == 401
    assert ("sign_in", "ok", "") in kinds(one, "root")
    stored = repr(await one.site.parts.state.bucket.all())
    assert code not in stored + noted(one)


async def test_no_other_site_has_a_browser_sign_in(one: World) -> None:
    code = await made(one)
    async with one.http(None) as browser:
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
            assert error_of(await taken(one, browser, code, **headers)).code == 403
        assert error_of(await browser.post(TAKE, json={"code": code})).code == 403
        assert (await taken(one, browser, code)).status_code == 200, "it was not used up by them"


async def test_a_link_ends_and_nobody_guesses_or_makes_many(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_links, "LINK_S", -1)
    old = await made(one)
    monkeypatch.setattr(console_links, "LINK_S", 600)
    async with one.http(None) as browser:
        told = error_of(await taken(one, browser, old))
        assert (told.code, "make another with `metamcp console`" in told.message) == (404, True)
        codes = [(await taken(one, browser, f"mtl_{n}")).status_code for n in range(8)]
        assert (codes[0], codes[-1]) == (404, 429)
        # Whoever guesses keeps nobody out for long, but the right code has to wait as well.
        assert (await taken(one, browser, await made(one))).headers["retry-after"]
    monkeypatch.setattr(console_links, "MOST_OF_USER", 1)
    async with one.http(ADMIN) as client:
        assert error_of(await client.post(MAKE)).code == 503


async def test_a_session_may_what_its_token_may_and_ends_with_it(
    one: World, tmp_path: Path
) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with one.http(session["access_token"]) as client:
        body = {"scopes": ["admin", "tasks:read"]}
        token = (await client.post("/api/tokens", json=body)).json()["data"]
    async with one.http(None) as browser, one.http(ADMIN) as admin:
        assert (await taken(one, browser, await made(one, token["token"]))).is_success
        me = (await browser.get("/api/me")).json()["data"]
        assert (me["user"], me["scopes"]) == (user, ["tasks:read", "admin"])
        assert (await browser.get("/api/mcps")).status_code == 403
        await admin.delete(f"/api/tokens/{token['id']}")
        assert (await browser.get("/api/me")).status_code == 401
    async with one.http(None) as browser:
        # Also with the data folder's own token, of whose user there is no account.
        code = await made(one)
        assert (await taken(one, browser, code)).is_success
        late = await made(one)
        rest = {name: entry for name, entry in TOKENS.items() if name != ADMIN}
        write_tokens(tmp_path, rest)
        assert (await browser.get("/api/me")).status_code == 401
        assert error_of(await taken(one, browser, late)).code == 403


async def test_who_has_signed_in_makes_one_too_and_ends_with_the_account(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with one.http(None) as browser, one.http(ADMIN) as admin:
        first = (await taken(one, browser, await made(one, session["access_token"]))).json()
        # Another link in the same browser leaves no session behind that nobody can show.
        assert (await taken(one, browser, await made(one, session["access_token"]))).is_success
        assert one.site.parts.signed_in.get(first["data"]["session"]) is None
        assert len(one.site.parts.signed_in.of_user(user)) == 2
        late = await made(one, session["access_token"])
        await admin.patch(f"/api/users/{user}", json={"disabled": True})
        assert (await browser.get("/api/me")).status_code == 401
        assert error_of(await taken(one, browser, late)).code == 403


async def test_a_service_and_a_client_of_somebody_make_none(one: World) -> None:
    service = await added(one, service=True, password=None)
    async with one.http(ADMIN) as admin:
        issued = (await admin.post("/api/tokens", json={"user": service})).json()["data"]["token"]
    async with one.http(issued) as client:
        assert error_of(await client.post(MAKE)).code == 403
    client_of = Principal("ann", frozenset(), token="grant", asked_by="client:x")
    with pytest.raises(Rejected, match="not by clients"):
        await one.site.parts.console_links.add(client_of, "ey.x.y")
