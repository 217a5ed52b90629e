"""A gateway that dies, or is cut off from NATS, at each write on the way to tokens and beyond.

Whatever is lost, no two families come of one consent, and nobody is locked out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.bus.bus import Bus
from services.gateway.oauth.server import OAuth
from services.gateway.people.state import PeopleState
from services.gateway.settings import Settings
from services.store.stream import StoreError
from tests.support.oauth_browser import Browser, HandMade, query
from tests.unit.gateway.oauth.acting import followed, oauth_of, person
from tests.unit.gateway.oauth.test_flow import comes_in, refused
from tests.unit.gateway.world import World, world

PUBLIC = "https://tasks.example"
BEHIND = Settings(port=0, rate_limit_requests=0, public_url=PUBLIC)


class Cut:
    """Cuts one gateway off at one write: before it reaches NATS, or before the answer comes."""

    def __init__(self, state: PeopleState) -> None:
        self._put = state.bucket.put
        self._left: int | None = None
        self._reaches = False
        self.done = 0
        """Writes since `arm`."""
        state.bucket.put = self.put  # type: ignore[method-assign]

    def arm(self, at: int, *, reaches: bool) -> None:
        self._left, self._reaches, self.done = at, reaches, 0

    def disarm(self) -> None:
        self._left = None

    async def put(self, *arguments: Any, **fields: Any) -> int | None:
        self.done += 1
        if self._left is None or self.done <= self._left:
            return await self._put(*arguments, **fields)
        if self._reaches and self.done == self._left + 1:
            await self._put(*arguments, **fields)
        raise StoreError("cut off")


class Scene:
    """Two gateways; the first has troubles, and the client goes on at the second."""

    def __init__(self, one: World, other: World, http: httpx.AsyncClient) -> None:
        self.one = one
        self.other = other
        self.cut = Cut(one.site.parts.state)
        self.first = HandMade(http, one.url, PUBLIC)
        self.second = HandMade(http, other.url, PUBLIC)

    async def registered(self) -> None:
        assert (await self.first.register()).status_code == 201
        self.second.id = self.first.id
        for one in (self.first, self.second):
            # The first of all gateways makes the key: that is one write more.
            assert (await one.http.get(f"{one.gateway}/oauth/jwks.json")).status_code == 200

    async def families(self, user: str) -> int:
        """How many grants somebody has."""
        state = self.other.site.parts.state
        await state.refresh()
        return len(oauth_of(self.other).grants.of_user(user))

    async def starts_over(self, browser: Browser) -> str:
        """Ask the person again at the gateway that works; the answer is an access token."""
        async with person(self.other) as there:
            tokens = await self.second.granted(there)
        assert (await comes_in(self.other, tokens["access_token"])).status_code == 200
        return str(tokens["access_token"])


@pytest.fixture
async def scene(tmp_path: Path, bus: Bus, key_file: Path) -> AsyncIterator[Scene]:
    (tmp_path / "2").mkdir()
    async with (
        world(tmp_path, bus, BEHIND, key_file=key_file) as one,
        world(tmp_path / "2", bus, BEHIND, key_file=key_file) as other,
        followed(one),
        followed(other),
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        made = Scene(one, other, http)
        await made.registered()
        yield made


STEPS = [(at, reaches) for at in range(4) for reaches in (False, True)]


@pytest.mark.parametrize(("at", "reaches"), STEPS)
async def test_a_code_is_fetched_while_the_gateway_is_cut_off(
    scene: Scene, at: int, reaches: bool
) -> None:
    async with person(scene.one) as browser:
        back = query(await browser.visit(scene.first.asks()))
        scene.cut.arm(at, reaches=reaches)
        answer = await scene.first.fetches(back["code"])
        cut = scene.cut.done > at
        scene.cut.disarm()
        # The grant and the code are what tokens need; that the client stays is said after that.
        assert answer.status_code == (503 if cut and at < 2 else 200)
        again = await scene.second.fetches(back["code"])
        lived = at == 0 and not reaches
        if lived:
            assert again.status_code == 200, "nothing had happened"
        else:
            refused(again, "invalid_grant")
        assert await scene.families(browser.user) == int(lived)
        if answer.status_code == 200:
            token = answer.json()["access_token"]
            await scene.one.site.parts.state.refresh()
            assert (await comes_in(scene.one, token)).status_code == 401
        await scene.starts_over(browser)


@pytest.mark.parametrize(("at", "reaches"), STEPS[:4])
async def test_tokens_are_refreshed_while_the_gateway_is_cut_off(
    scene: Scene, at: int, reaches: bool
) -> None:
    async with person(scene.one) as browser:
        token = (await scene.first.granted(browser))["refresh_token"]
        scene.cut.arm(at, reaches=reaches)
        answer = await scene.first.refreshes(token)
        scene.cut.disarm()
        assert answer.status_code == (503 if at == 0 else 200)
        again = await scene.second.refreshes(token)
        assert again.status_code == 200, "a lost answer is given again"
        if answer.status_code == 200:
            assert again.json()["refresh_token"] == answer.json()["refresh_token"]
        following = await scene.second.refreshes(again.json()["refresh_token"])
        assert following.status_code == 200
        assert await scene.families(browser.user) == 1
        refused(await scene.second.refreshes(token), "invalid_grant")
        assert await scene.families(browser.user) == 0


@pytest.mark.parametrize(("at", "reaches"), STEPS[:6])
async def test_somebody_says_yes_while_the_gateway_is_cut_off(
    scene: Scene, at: int, reaches: bool
) -> None:
    async with person(scene.one) as browser:
        await browser.visit(scene.first.asks(), "deny")
        scene.cut.arm(at, reaches=reaches)
        url = scene.first.asks()
        page = await browser.http.get(url)
        if at < 2:
            with pytest.raises(AssertionError, match="try again"):
                await browser.visit(url)
        else:
            assert "code" in query(await browser.visit(url))
        scene.cut.disarm()
        assert page.status_code == 200
        assert await scene.families(browser.user) == 0
        assert (await scene.first.granted(browser))["access_token"]


async def test_of_gateways_that_start_at_once_all_sign_with_one_key(
    tmp_path: Path, bus: Bus, key_file: Path, scene: Scene
) -> None:
    keys = [await found.keys.get() for found in (oauth_of(scene.one), oauth_of(scene.other))]
    assert len({key.jwk["kid"] for key in keys}) == 1


async def test_a_key_is_made_once_by_many(fresh_nats: Any, tmp_path: Path, key_file: Path) -> None:
    async with fresh_nats.connected("gateway") as bus:
        for part in "12":
            (tmp_path / part).mkdir()
        async with (
            world(tmp_path / "1", bus, key_file=key_file) as one,
            world(tmp_path / "2", bus, key_file=key_file) as other,
        ):
            every: list[OAuth] = [oauth_of(one), oauth_of(other)] * 4
            keys = await asyncio.gather(*(found.keys.get() for found in every))
    assert len({key.jwk["kid"] for key in keys}) == 1
    assert "private" not in repr(keys[0])
