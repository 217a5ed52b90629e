"""A browser's cookie: what it opens, what it does not, and that no other site can use it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.bus.bus import Bus
from tests.unit.gateway.peopled import PASSWORD, added, login, peopled
from tests.unit.gateway.world import SETTINGS, TASK, World, error_of

Browser = tuple[httpx.AsyncClient, dict[str, Any]]


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


@contextlib.asynccontextmanager
async def browser(one: World) -> AsyncIterator[Browser]:
    """Somebody who has signed in with a browser."""
    user = await added(one)
    async with one.http(None) as client:
        body = {"user": user, "password": PASSWORD, "cookie": True}
        answer = await client.post("/api/auth/login", json=body, headers={"Origin": one.url})
        assert answer.status_code == 200, answer.text
        yield client, answer.json()["data"]


async def test_a_cookie_reads_what_is_its_users(one: World) -> None:
    async with browser(one) as (client, session):
        found = await client.get("/api/auth/sessions")
        assert [entry["current"] for entry in found.json()["data"]] == [True]
        shown = (await client.get("/api/auth/csrf")).json()["data"]
        assert shown == {"csrf_token": session["csrf_token"], "user": session["user"]}


async def test_it_can_not_be_read_by_pages_nor_sent_by_other_sites(one: World) -> None:
    answer = await login(one, await added(one), cookie=True)
    attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")]
    assert attributes[0].startswith("metamcp=")
    assert set(attributes[1:]) == {"Path=/", "Max-Age=604799", "HttpOnly", "SameSite=Lax"} or set(
        attributes[1:]
    ) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax"}
    plain = await login(one, await added(one))
    assert "set-cookie" not in plain.headers


async def test_behind_tls_it_is_for_this_host_and_tls_alone(tmp_path: Path, bus: Bus) -> None:
    settings = msgspec.structs.replace(SETTINGS, public_url="https://tasks.example.com")
    async with peopled(tmp_path, bus, settings) as one:
        answer = await login(one, await added(one), cookie=True)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-metamcp=")
    assert cookie.endswith("; Secure")
    assert "Domain" not in cookie


async def test_a_change_needs_the_token_and_a_page_of_ours(one: World) -> None:
    async with browser(one) as (client, session):
        token, ours = session["csrf_token"], {"Origin": one.url}
        wrong: list[dict[str, str]] = [
            {},
            ours,
            {"X-CSRF-Token": token},
            {"X-CSRF-Token": token, "Origin": "https://evil.example"},
            {"X-CSRF-Token": token, "Origin": "null"},
            {"X-CSRF-Token": token, "Origin": "null", "Sec-Fetch-Site": "cross-site"},
            {"X-CSRF-Token": token, "Origin": f"{one.url}.evil.example"},
            {"X-CSRF-Token": token[:-1] + "x", **ours},
            {"X-CSRF-Token": "", **ours},
        ]
        for headers in wrong:
            answer = await client.post("/api/tasks", json=TASK, headers=headers)
            assert error_of(answer).code == 403, headers
        for headers in (
            ours | {"X-CSRF-Token": token},
            {"X-CSRF-Token": token, "Origin": "null", "Sec-Fetch-Site": "same-origin"},
        ):
            answer = await client.post("/api/tasks", json=TASK, headers=headers)
            assert answer.status_code == 201, answer.text


async def test_the_token_of_another_session_is_none(one: World) -> None:
    async with browser(one) as (client, _), browser(one) as (_, other):
        headers = {"X-CSRF-Token": other["csrf_token"], "Origin": one.url}
        answer = await client.post("/api/tasks", json=TASK, headers=headers)
        assert error_of(answer).code == 403


async def test_no_other_site_signs_a_browser_in(one: World) -> None:
    async with one.http(None) as client:
        body = {"user": await added(one), "password": PASSWORD, "cookie": True}
        headers = {"Origin": "https://evil.example"}
        answer = await client.post("/api/auth/login", json=body, headers=headers)
        assert error_of(answer).code == 403
        assert "set-cookie" not in answer.headers


async def test_a_cookie_is_nothing_at_the_mcp_door_and_opens_no_websocket(one: World) -> None:
    async with browser(one) as (client, session):
        headers = {"X-CSRF-Token": session["csrf_token"], "Origin": one.url}
        for path in ("/mcp", "/mcp/"):
            answer = await client.post(path, json={}, headers=headers)
            assert answer.status_code == 401
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    shown = {"Cookie": cookie, "Origin": one.url}
    async with one.stream(None, additional_headers=shown) as stream:
        answer = await stream.ask("subscribe", sub="s", to="tasks")
        assert answer["op"] == "error"


async def test_a_cookie_that_was_changed_is_nobodys(one: World) -> None:
    async with browser(one) as (client, session):
        good = client.cookies["metamcp"]
        id_, _, mark = good.partition(".")
        assert id_ == session["session"]
        client.cookies.clear()
        for text in ("", id_, f"{id_}.", f"{id_}.{mark[:-1]}", f"x{id_}.{mark}", f"{good}.x", '"'):
            answer = await client.get("/api/preferences", headers={"Cookie": f"metamcp={text}"})
            assert error_of(answer).code == 401, text
        answer = await client.get("/api/preferences", headers={"Cookie": f"a=b; metamcp={good}"})
        assert answer.status_code == 200


async def test_signing_out_takes_it_away(one: World) -> None:
    async with browser(one) as (client, session):
        headers = {"X-CSRF-Token": session["csrf_token"], "Origin": one.url}
        kept = client.cookies["metamcp"]
        answer = await client.post("/api/auth/logout", headers=headers)
        assert answer.status_code == 200
        assert "Max-Age=0" in answer.headers["set-cookie"]
        again = await client.get("/api/preferences", headers={"Cookie": f"metamcp={kept}"})
        assert error_of(again).code == 401
