"""Two gateways as processes, one of which is killed at every step of coming in with a provider, of
linking and of unlinking: nobody is locked out, and no identity is ever two people's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from contracts.account import Provider
from contracts.subjects import CREDENTIAL_BUCKETS
from tests.support.killing import Killing, browser_of, killing, numbers, writes
from tests.support.oauth_browser import ReadForm
from tests.support.two_processes import PUBLIC

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

IDENTITIES = "/api/auth/identities"
HTML = {"Accept": "text/html"}
AT_GITHUB, AT_HUB = (CREDENTIAL_BUCKETS[one] for one in (Provider.GITHUB, Provider.HUGGINGFACE))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Killing]:
    async with killing(tmp_path_factory.mktemp("killed")) as running:
        yield running


async def back_from(http: httpx.AsyncClient, sent: httpx.Response) -> httpx.Response:
    """Consent at the provider, and come back."""
    assert sent.status_code == 303, sent.text
    consented = await http.get(sent.headers["location"])
    return await http.get(consented.headers["location"], headers=HTML)


async def by_github(http: httpx.AsyncClient, invite: str = "") -> int:
    """Sign in with GitHub; again if that got lost. The answer is the status of the last attempt."""
    status = 0
    for params in ({"invite": invite}, {"invite": invite}, {}):
        sent = await http.get("/api/auth/github/start", params=params, headers=HTML)
        status = sent.status_code
        if status == 303:
            status = (await back_from(http, sent)).status_code
        if status == 303:
            break
    return status


async def whoami(http: httpx.AsyncClient) -> str:
    """Who has signed in with this browser."""
    return str((await http.get("/api/auth/csrf")).json()["data"]["user"])


def newcomer(here: Killing) -> str:
    """Somebody whom nobody knows here sits at the browser; the answer is their name there."""
    number = next(numbers)
    here.github.who = 1_000 + number
    here.github.people[here.github.who] = {"login": f"newcomer{number}x", "name": None}
    here.hub.who = f"hub-{number}"
    here.hub.people[here.hub.who] = {"preferred_username": f"hub{number}x", "name": None}
    return f"newcomer{number}x"


BEGIN = [*writes("put login"), "answer"]
SIGNED_IN = [*writes("put session", "put user"), "answer"]


def kept(bucket: str) -> list[str]:
    """Steps of keeping a provider's token."""
    return writes("put provider_grant", f"put {bucket}", "put provider_grant")


async def test_killed_while_somebody_new_comes_in(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        login = newcomer(here)
        async with way.client() as http:
            await way.risk()
            assert await by_github(http) == 303
            await way.over()
            assert await whoami(http) == login
        async with way.client() as http:
            assert await by_github(http) == 303
            assert await whoami(http) == login
        assert await here.users(login) == [login]
    made = writes("put login", "put identity", "put user", "put identity")
    assert deaths.steps == [*BEGIN, *made, *kept(AT_GITHUB), *SIGNED_IN]


async def test_killed_while_somebody_is_taken_in_by_invitation(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        user = f"invited-{newcomer(here)}"
        async with here.two.direct(here.two.operator) as admin:
            made = (await admin.post("/api/auth/invitations", json={"user": user})).json()["data"]
        async with way.client() as http:
            await way.risk()
            assert await by_github(http, made["code"]) == 303
            await way.over()
            assert await whoami(http) == user
        other = newcomer(here)
        async with way.client() as http:
            assert await by_github(http, made["code"]) == 303
            assert await whoami(http) == other
        assert await here.users(user) == [user]
    taken = writes("put login", "put invitation", "put identity", "put user", "put identity")
    used_up = writes("delete invitation")
    assert deaths.steps == [*BEGIN, *taken, *used_up, *kept(AT_GITHUB), *SIGNED_IN]


async def links(http: httpx.AsyncClient) -> int:
    """Link an account at the hub to that of who has signed in."""
    path = "/api/auth/huggingface/start"
    page = await http.get(path, params={"link": "true"}, headers=HTML)
    form = ReadForm(page.text).fields
    sent = await http.post(path, data=form, headers=HTML | {"Origin": PUBLIC})
    return (await back_from(http, sent)).status_code


async def identities(http: httpx.AsyncClient) -> dict[str, str]:
    """Those of who has signed in: provider and key."""
    found = (await http.get(IDENTITIES)).json()["data"]
    return {one["provider"]: one["key"] for one in found}


async def test_killed_while_an_identity_is_linked(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        newcomer(here)
        async with way.client() as anns, way.client() as bens, way.client() as third:
            ann, ben = await browser_of(here, anns), await browser_of(here, bens)
            await way.risk()
            status = await links(anns)
            await way.over()
            if status != 303:
                assert status == 400
                # Somebody else is quicker with the same; but not if it was hers already.
                assert sorted([await links(bens), await links(anns)]) == [303, 409]
            has = [bool(await identities(http)) for http in (anns, bens)]
            assert sorted(has) == [False, True]
            await back_from(third, await third.get("/api/auth/huggingface/start", headers=HTML))
            assert await whoami(third) == (ann.user if has[0] else ben.user)
    linked = [*writes("put login", "put identity"), *kept(AT_HUB), "answer"]
    assert deaths.steps == ["answer", *BEGIN, *linked]


async def test_killed_while_an_identity_is_unlinked(here: Killing) -> None:
    deaths = here.two.deaths()
    async for way in deaths:
        login = newcomer(here)
        async with way.client() as http:
            assert (await by_github(http), await links(http)) == (303, 303)
            keys = await identities(http)
            form = {"X-CSRF-Token": (await http.get("/api/auth/csrf")).json()["data"]["csrf_token"]}
            http.headers.update(form | {"Origin": PUBLIC})
            await way.risk()
            gone = await http.delete(f"{IDENTITIES}/{keys['huggingface']}")
            assert gone.status_code in (200, 404), gone.text
            await way.over()
            assert await identities(http) == {"github": keys["github"]}
            last = await http.delete(f"{IDENTITIES}/{keys['github']}")
            assert last.status_code == 409
        async with way.client() as http:
            assert await by_github(http) == 303
            assert await whoami(http) == login
    forgotten = writes("delete provider_grant", f"delete {AT_HUB}")
    assert deaths.steps == [*writes("put identity", "delete identity"), *forgotten, "answer"]
