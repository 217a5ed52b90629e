"""A program without a browser: somebody who has signed in lets it in by its code, once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.bus.bus import Bus
from services.gateway.people import devices
from tests.unit.gateway.peopled import ADMIN, PASSWORD, added, good, peopled, signed_in
from tests.unit.gateway.world import World, error_of

ALLOW = "/api/auth/device/allow"
TOKEN = "/api/auth/device/token"


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


async def asked(one: World) -> dict[str, Any]:
    async with one.http(None) as client:
        answer = await client.post("/api/auth/device", headers={"User-Agent": "<b>tool</b>"})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]  # type: ignore[no-any-return]


async def polled(one: World, code: str) -> httpx.Response:
    async with one.http(None) as client:
        return await client.post(TOKEN, json={"device_code": code})


async def state(one: World, ask: dict[str, Any]) -> str:
    answer = await polled(one, ask["device_code"])
    return str(answer.json()["data"]["state"])


async def test_who_is_let_in_has_a_session_once(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    ask = await asked(one)
    assert re.fullmatch("[B-Z]{4}-[B-Z]{4}", ask["user_code"])
    assert ask["verification_uri"] == "/device"
    assert await state(one, ask) == "asked"
    async with one.http(session["access_token"]) as client:
        typed = ask["user_code"].lower().replace("-", " ")
        answer = await client.post(ALLOW, json={"user_code": typed})
        assert answer.json()["data"]["agent"] == "<b>tool</b>"
        # Whose answer was lost says it again; for all others it is decided.
        assert (await client.post(ALLOW, json={"user_code": typed})).status_code == 200
        again = await client.post(ALLOW, json={"user_code": typed, "allow": False})
        assert error_of(again).code == 404
    given = (await polled(one, ask["device_code"])).json()["data"]
    assert (given["state"], given["session"]["user"]) == ("allowed", user)
    assert await good(one, given["session"]["access_token"])
    async with one.http(session["access_token"]) as client:
        assert (await client.post(ALLOW, json={"user_code": typed})).status_code == 200
    other = await signed_in(one, await added(one))
    async with one.http(other["access_token"]) as client:
        assert error_of(await client.post(ALLOW, json={"user_code": typed})).code == 404
    assert error_of(await polled(one, ask["device_code"])).code == 404
    methods = {found.method for _, found in one.site.parts.signed_in.of_user(user)}
    assert methods == {"password", "device"}


async def test_who_is_refused_is_told(one: World) -> None:
    session, ask = await signed_in(one, await added(one)), await asked(one)
    async with one.http(session["access_token"]) as client:
        body = {"user_code": ask["user_code"], "allow": False}
        assert (await client.post(ALLOW, json=body)).status_code == 200
    assert await state(one, ask) == "refused"


async def test_nobody_lets_in_more_than_they_are(one: World) -> None:
    ask = await asked(one)
    session = await signed_in(one, await added(one))
    async with one.http(session["access_token"]) as client:
        body = {"scopes": ["admin"]}
        limited = (await client.post("/api/tokens", json=body)).json()["data"]["token"]
    async with one.http(limited) as client:
        answer = await client.post(ALLOW, json={"user_code": ask["user_code"]})
        assert answer.json()["error"]["reason"] == "insufficient_scope"
    async with one.http() as client:
        # A token of somebody who has no account.
        answer = await client.post(ALLOW, json={"user_code": ask["user_code"]})
        assert error_of(answer).code == 403
    assert await state(one, ask) == "asked"


async def test_a_user_who_is_disabled_meanwhile_lets_nothing_in(one: World) -> None:
    user, ask = await added(one), await asked(one)
    session = await signed_in(one, user)
    async with one.http(session["access_token"]) as client, one.http(ADMIN) as admin:
        assert (await client.post(ALLOW, json={"user_code": ask["user_code"]})).status_code == 200
        await admin.patch(f"/api/users/{user}", json={"disabled": True})
    assert await state(one, ask) == "refused"


async def test_codes_are_not_guessed_end_and_are_not_many(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of(await polled(one, "mtd_nothing")).code == 404
    session = await signed_in(one, await added(one))
    async with one.http(session["access_token"]) as client:
        for code in ("", "BCDF-GHJK", "x" * 200):
            assert error_of(await client.post(ALLOW, json={"user_code": code})).code == 404
    monkeypatch.setattr(devices, "ASK_S", -1)
    ask = await asked(one)
    assert error_of(await polled(one, ask["device_code"])).code == 404
    monkeypatch.setattr(devices, "MOST_OF_ADDRESS", 0)
    async with one.http(None) as client:
        assert error_of(await client.post("/api/auth/device")).code == 503


async def test_neither_code_is_stored(one: World) -> None:
    ask = await asked(one)
    stored = repr(await one.site.parts.state.bucket.all())
    assert ask["device_code"] not in stored
    assert ask["user_code"] not in stored
    assert ask["user_code"].replace("-", "") not in stored


def field(html: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', html)
    assert found, html
    return found[1]


async def test_people_let_it_in_with_a_browser(one: World) -> None:
    user, ask = await added(one), await asked(one)
    headers = {"Origin": one.url}
    async with one.http(None) as browser:
        where = ask["verification_uri_complete"]
        away = await browser.get(where)
        assert (away.status_code, away.headers["location"][:13]) == (303, "/signin?next=")
        session = {"user": user, "password": PASSWORD, "cookie": True}
        assert (await browser.post("/api/auth/login", json=session, headers=headers)).is_success
        page = await browser.get(where)
        assert f"<b>{user}</b>" in page.text
        assert "&lt;b&gt;tool" in page.text
        assert "<b>tool" not in page.text
        body = {"form": field(page.text, "form"), "code": field(page.text, "code"), "do": "allow"}
        for sent, given in (
            (body | {"form": "x"}, headers),
            (body, {"Origin": "https://evil.example"}),
            (body, {}),
        ):
            assert (await browser.post("/device", data=sent, headers=given)).status_code == 403
        assert await state(one, ask) == "asked"
        done = await browser.post("/device", data=body, headers=headers)
        assert (done.status_code, "It is let in" in done.text) == (200, True)
        assert (await browser.get(where)).status_code == 404
        assert "code that it shows" in (await browser.get("/device")).text
    assert await state(one, ask) == "allowed"


async def test_without_a_session_of_a_browser_the_page_lets_nothing_in(one: World) -> None:
    ask = await asked(one)
    body = {"code": ask["user_code"], "do": "allow", "form": ""}
    async with one.http(None) as nobody, one.http() as alice:
        for client in (nobody, alice):
            answer = await client.post("/device", data=body, headers={"Origin": one.url})
            assert answer.status_code == 400
    assert await state(one, ask) == "asked"
