"""Two gateways as processes, one of which is killed at every step of what people and their clients
ask: no family of tokens is good twice, and nobody is locked out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.killing import (
    LOGIN,
    REFRESH,
    Killing,
    browser_of,
    killing,
    posted,
    signed_in,
    writes,
)
from tests.support.oauth_browser import PASSWORD, Browser, HandMade, query
from tests.support.two_processes import PUBLIC

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

DEVICE = "/api/auth/device"
OTHER = "nine cows on a bridge"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Killing]:
    async with killing(tmp_path_factory.mktemp("killed")) as running:
        yield running


async def ended(here: Killing, *tokens: str) -> None:
    """None of these refresh tokens is good, at any time."""
    for token in tokens:
        assert (await here.refreshed(token)).status_code == 401


async def test_killed_while_it_makes_the_keys(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        user = await here.two.person()
        await here.forget_keys()
        async with way.client() as http:
            await way.risk()
            session = await signed_in(http, user)
            assert (await http.get("/oauth/jwks.json")).status_code == 200
        assert await here.good(session["access_token"])
    of_login = [*writes("put key", "put session", "put user"), "answer"]
    assert deaths.steps == [*of_login, *writes("put signing"), "answer"]


async def test_killed_in_a_login(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        user = await here.two.person()
        async with here.two.direct(here.two.operator) as admin:
            quota = await admin.put(f"/api/users/{user}/quota", json={"limits": {"sign_ins": 2}})
            assert quota.status_code == 200
        for _ in "12":
            await here.signed_in(user)
        async with way.client() as http:
            await way.risk()
            session = await signed_in(http, user)
        assert await here.good(session["access_token"])
        # What nobody has got makes room like any other.
        assert await here.sessions(session["access_token"]) == 2
        if way.lost:
            assert await here.good(json.loads(way.lost)["data"]["access_token"])
    assert deaths.steps == [*writes("delete session", "put session", "put user"), "answer"]


async def test_killed_in_a_refresh(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        first = await here.signed_in(await here.two.person())
        async with way.client() as http:
            await way.risk()
            second = await posted(http, REFRESH, refresh_token=first["refresh_token"])
        if way.lost:
            lost = json.loads(way.lost)["data"]
            assert lost["refresh_token"] == second["refresh_token"]
        again = (await here.refreshed(first["refresh_token"])).json()["data"]
        assert again["refresh_token"] == second["refresh_token"]
        third = (await here.refreshed(second["refresh_token"])).json()["data"]
        assert await here.good(third["access_token"])
        every = [one["refresh_token"] for one in (first, second, third)]
        await ended(here, *every)
        assert not await here.good(third["access_token"])
    assert deaths.steps == [*writes("put session"), "answer"]


async def test_killed_while_it_ends_a_stolen_family(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        session = await here.signed_in(await here.two.person())
        tokens = [session["refresh_token"]]
        for _ in "12":
            tokens.append((await here.refreshed(tokens[-1])).json()["data"]["refresh_token"])
        async with way.client() as http:
            await way.risk()
            answer = await http.post(REFRESH, json={"refresh_token": tokens[0]})
        assert answer.status_code == 401
        await ended(here, *reversed(tokens))
    assert deaths.steps == [*writes("delete session"), "answer"]


async def lets_in(here: Killing, program: httpx.AsyncClient, person: httpx.AsyncClient) -> Any:
    """A program asks to be let in, and a person does so; again if it was lost."""
    for _ in "12":
        codes = await posted(program, DEVICE)
        await posted(person, f"{DEVICE}/allow", user_code=codes["user_code"])
        answer = await program.post(f"{DEVICE}/token", json={"device_code": codes["device_code"]})
        if answer.status_code == 200:
            found = answer.json()["data"]
            assert found["state"] == "allowed"
            return found["session"]
        assert answer.status_code == 404
    raise AssertionError("locked out")


async def test_killed_while_a_program_is_let_in(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        own = await here.signed_in(await here.two.person())
        async with way.client() as program, way.client(own["access_token"]) as person:
            await way.risk()
            session = await lets_in(here, program, person)
        assert await here.good(session["access_token"])
        assert await here.sessions(own["access_token"]) <= 3
    asked = [*writes("put device"), "answer"]
    assert deaths.steps == [*asked, *asked, *writes("put device", "put session"), "answer"]


async def test_killed_while_a_password_is_changed(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        user = await here.two.person()
        own, thief = await here.signed_in(user), await here.signed_in(user)
        async with way.client(own["access_token"]) as http:
            await way.risk()
            body = {"old": PASSWORD, "new": OTHER}
            answer = await http.post("/api/auth/password", json=body)
        assert answer.status_code in (200, 403), answer.text
        # Who is told that the old one is wrong may sign in with the new one, and nobody else is in.
        async with here.two.direct() as http:
            assert (await http.post(LOGIN, json={"user": user, "password": PASSWORD})).is_error
            await signed_in(http, user, OTHER)
        assert await here.good(own["access_token"])
        assert not await here.good(thief["access_token"])
        await ended(here, thief["refresh_token"])
    assert deaths.steps == [*writes("delete session", "put user"), "answer"]


async def comes_in(here: Killing, access: str) -> bool:
    """Whether a client's token is good at the MCP door."""
    async with here.two.direct(access) as http:
        return (await http.get("/mcp")).status_code != 401


async def granted(client: HandMade, browser: Browser) -> list[Any]:
    """A person lets a client act for them, which then refreshes; again if it was lost."""
    for _ in "12":
        back = query(await browser.visit(client.asks()))
        answer = await client.fetches(back["code"])
        if answer.status_code == 200:
            following = await client.refreshes(answer.json()["refresh_token"])
            assert following.status_code == 200, following.text
            return [answer.json(), following.json()]
        assert answer.json()["error"] == "invalid_grant"
    raise AssertionError("locked out")


async def test_killed_while_a_client_is_let_in(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        async with way.client() as http, way.client() as person:
            client, browser = HandMade(http, PUBLIC), await browser_of(here, person)
            assert (await client.register()).status_code == 201
            await way.risk()
            tokens = await granted(client, browser)
            await way.over()
            lost = json.loads(way.lost) if way.lost.startswith("{") else {}
            if lost and lost["refresh_token"] != tokens[1]["refresh_token"]:
                # The answer to the code: whoever shows it again ends what came of it.
                assert not await comes_in(here, lost["access_token"])
                assert (await client.refreshes(lost["refresh_token"])).is_error
            assert await comes_in(here, tokens[1]["access_token"])
            third = (await client.refreshes(tokens[1]["refresh_token"])).json()
            every = [*tokens, third]
            for one in every:
                assert (await client.refreshes(one["refresh_token"])).is_error
            assert not await comes_in(here, third["access_token"])
    allowed = ["answer", *writes("put consent", "put code"), "answer"]
    fetched = [*writes("put grant", "put code", "put client"), "answer"]
    assert deaths.steps == [*allowed, *fetched, *writes("put grant"), "answer"]


async def test_killed_while_a_client_gives_its_grant_back(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        async with way.client() as http, way.client() as person:
            client, browser = HandMade(http, PUBLIC), await browser_of(here, person)
            assert (await client.register()).status_code == 201
            tokens = (await granted(client, browser))[1]
            await way.risk()
            form = {"token": tokens["refresh_token"], "client_id": client.id}
            assert (await http.post("/oauth/revoke", data=form)).status_code == 200
            await way.over()
            assert (await client.refreshes(tokens["refresh_token"])).is_error
        assert not await comes_in(here, tokens["access_token"])
    assert deaths.steps == [*writes("delete grant"), "answer"]
