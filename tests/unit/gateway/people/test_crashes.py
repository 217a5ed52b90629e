"""Two gateways, one of which dies at every step of login and refresh, or loses its answer: no
family of tokens is good twice, and nobody is locked out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import Rejected
from services.bus.bus import Bus
from services.gateway.people.ports import Begun, Came
from services.gateway.people.signins import SignedIn
from services.gateway.people.state import PeopleTable
from services.store.kv import Bucket
from tests.unit.gateway.peopled import PASSWORD, added, good, login, peopled
from tests.unit.gateway.world import World

CAME = Came("password", "192.0.2.1")
MOST_STEPS = 40


class Died(BaseException):
    """The gateway is gone; nothing that it was about to do is done."""


class Dying:
    """Lets a gateway go so many steps of what it asks NATS, then it dies: before or after one."""

    def __init__(self, bucket: Bucket, steps: int, *, after: bool) -> None:
        self._left = steps
        self._after = after
        self._dead = False
        for name in ("get", "put", "delete", "changes", "revision_of_mark"):
            setattr(bucket, name, self._stepped(getattr(bucket, name)))

    def _stepped(self, asked: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def step(*of: Any, **more: Any) -> Any:
            last = self._left == 0
            self._left -= 1
            if self._dead or (last and not self._after):
                self._dead = True
                raise Died
            answer = await asked(*of, **more)
            if last:
                # It was done, and nobody here will ever know.
                self._dead = True
                raise Died
            return answer

        return step


async def dies(work: Awaitable[Any]) -> bool:
    """Do it; whether it has died on the way."""
    try:
        await work
    except Died:
        return True
    return False


@pytest.fixture
async def survivor(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path / "survivor", bus) as running:
        yield running


def ports(one: World) -> SignedIn:
    return one.site.parts.signed_in


async def refreshed(one: World, token: str) -> Begun:
    return (await ports(one).refresh(token, CAME))[1]


async def each_death(
    nats: Any, folder: Path, work: Callable[[World], Awaitable[Any]]
) -> AsyncIterator[None]:
    """Have a second gateway die at each step in turn; the caller looks after every death."""
    for after in (False, True):
        for steps in range(MOST_STEPS):
            own = folder / f"dying-{int(after)}-{steps}"
            async with nats.connected("gateway") as bus, quiet(own, bus) as dying:
                Dying(dying.site.parts.state.bucket, steps, after=after)
                died = await dies(work(dying))
            yield
            if not died:
                break
        else:
            raise AssertionError("it never came to its end")


def quiet(folder: Path, bus: Bus) -> Any:
    """A gateway that hears of others only when it asks, so that steps can be counted."""
    return peopled(folder, bus, follow=False)


async def test_a_gateway_that_dies_in_a_login_locks_nobody_out(
    survivor: World, nats_server: Any, tmp_path: Path
) -> None:
    user = await added(survivor)
    deaths = 0

    async def sign_in(dying: World) -> None:
        await dying.site.parts.entrance.sign_in(user, PASSWORD, CAME)

    async for _ in each_death(nats_server, tmp_path, sign_in):
        deaths += 1
        answer = await login(survivor, user)
        assert answer.status_code == 200
        assert await good(survivor, answer.json()["data"]["access_token"])
    assert deaths > 6


async def test_a_gateway_that_dies_in_a_refresh_leaves_one_good_family(
    survivor: World, nats_server: Any, tmp_path: Path
) -> None:
    user = await added(survivor)
    account = survivor.site.parts.users.get(user)
    assert account is not None
    begun = await ports(survivor).begin(account, CAME)
    deaths = 0

    async def refresh(dying: World) -> None:
        await refreshed(dying, begun.refresh)

    async for _ in each_death(nats_server, tmp_path, refresh):
        deaths += 1
        # The answer is lost: the client shows what it has, to the other gateway.
        following = await refreshed(survivor, begun.refresh)
        assert await good(survivor, following.access)
        third = await refreshed(survivor, following.refresh)
        # What was lost is good no more, in nobody's hands.
        with pytest.raises(Rejected):
            await refreshed(survivor, begun.refresh)
        assert ports(survivor).get(begun.session) is None
        with pytest.raises(Rejected):
            await refreshed(survivor, third.refresh)
        begun = await ports(survivor).begin(account, CAME)
    assert deaths > 4


async def test_two_gateways_that_refresh_at_once_give_one_successor(
    survivor: World, nats_server: Any, tmp_path: Path
) -> None:
    user = await added(survivor)
    async with nats_server.connected("gateway") as bus, peopled(tmp_path / "b", bus) as other:
        begun: dict[str, Any] = (await login(survivor, user)).json()["data"]
        token, used = begun["refresh_token"], set()
        for _ in range(10):
            found = await asyncio.gather(
                *(refreshed(one, token) for one in (survivor, other, survivor, other))
            )
            (following,) = {each.refresh for each in found}
            used.add(token)
            assert following not in used
            token = following
        held = ports(survivor)._table.get(begun["session"])
        assert held is not None
        assert held.value.number == 10


async def test_a_gateway_that_starts_first_and_one_that_starts_with_it_make_one_key(
    fresh_nats: Any, tmp_path: Path
) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        peopled(tmp_path / "a", bus, follow=False) as one,
        peopled(tmp_path / "b", bus, follow=False) as other,
    ):
        made = await asyncio.gather(*(ports(each).keys.ensure() for each in (one, other)))
        assert made[0].mark("x", "y") == made[1].mark("x", "y")


async def test_tokens_of_another_installation_are_nobodys(
    survivor: World, fresh_nats: Any, tmp_path: Path
) -> None:
    user = await added(survivor)
    session = (await login(survivor, user)).json()["data"]
    async with (
        fresh_nats.connected("gateway") as bus,
        peopled(tmp_path / "elsewhere", bus) as elsewhere,
    ):
        await added(elsewhere, user)
        own = (await login(elsewhere, user)).json()["data"]
        assert await good(elsewhere, own["access_token"])
        assert not await good(elsewhere, session["access_token"])
        assert not await good(survivor, own["access_token"])
        with pytest.raises(Rejected):
            await refreshed(elsewhere, session["refresh_token"])


async def test_a_gateway_with_another_master_key_says_so_and_takes_no_token(
    survivor: World, tmp_path: Path
) -> None:
    user = await added(survivor)
    session = (await login(survivor, user)).json()["data"]
    async with peopled(tmp_path / "other", survivor.bus, key=b"6b" * 32) as other:
        assert not await good(other, session["access_token"])
        answer = await login(other, user)
        assert answer.status_code == 503
        assert "master key" in answer.json()["error"]["message"]


async def test_an_acknowledgement_that_is_lost_is_no_conflict(
    survivor: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NATS has stored it, and the retry is told that somebody was quicker: oneself."""
    user = await added(survivor)
    account = survivor.site.parts.users.get(user)
    assert account is not None
    put = PeopleTable.put

    async def twice(self: Any, key: str, value: Any, expected: int) -> Any:
        await put(self, key, value, expected)
        return await put(self, key, value, expected)

    with monkeypatch.context() as patch:
        patch.setattr(PeopleTable, "put", twice)
        begun = await ports(survivor).begin(account, CAME)
        following = await refreshed(survivor, begun.refresh)
    assert await good(survivor, following.access)
    assert (await refreshed(survivor, following.refresh)).session == begun.session
