"""A person lets a client act for them: the whole way, and every way to do it wrong."""

from __future__ import annotations

import asyncio
import time

import httpx
import jwt
import msgspec
import pytest

from services.gateway.oauth import grants
from services.gateway.people.users import changed
from tests.support.oauth_browser import CALLBACK, Browser, HandMade, ReadForm, query
from tests.unit.gateway.oauth.acting import oauth_of, people_of, person
from tests.unit.gateway.world import World

OTHER = "http://127.0.0.1:33418/other"
MCP = {"Accept": "application/json, text/event-stream"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


async def comes_in(one: World, token: str) -> httpx.Response:
    """Show a token at the MCP door."""
    async with one.http(token) as http:
        return await http.post("/mcp", json=HELLO, headers=MCP)


async def lists(one: World, token: str) -> int:
    """Show it at the API."""
    async with one.http(token) as http:
        return (await http.get("/api/tasks")).status_code


def refused(answer: httpx.Response, error: str, status: int = 400) -> str:
    """That a program is told so; the answer is why."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error_description"])


async def coded(browser: Browser, client: HandMade) -> str:
    return query(await browser.visit(client.asks()))["code"]


async def test_a_client_is_let_in_by_a_person(
    one: World, browser: Browser, client: HandMade
) -> None:
    url = client.asks(state="s t&te")
    back = await browser.visit(url)
    assert back.startswith(f"{CALLBACK}?")
    assert query(back)["state"] == "s t&te"
    assert query(back)["iss"] == one.url
    answer = await client.fetches(query(back)["code"])
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 1800)
    assert tokens["scope"] == "mcp:call"
    assert answer.headers["cache-control"] == "no-store"
    assert (await comes_in(one, tokens["access_token"])).status_code == 200
    principal = await one.site.authenticate(tokens["access_token"])
    assert principal is not None
    assert (principal.user, principal.roles) == (browser.user, frozenset())
    assert principal.scopes == frozenset({"mcp:call"})
    assert principal.asked_by == f"client:{client.id}"
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (one.url, f"{one.url}/mcp")
    assert claims["exp"] - claims["iat"] == 1800


async def test_a_person_is_asked_once_for_the_same_and_again_for_more(
    browser: Browser, client: HandMade
) -> None:
    await client.granted(browser)
    await client.granted(browser)
    assert browser.asked == 1
    await client.granted(browser, scope="mcp:call tasks:read")
    assert browser.asked == 2
    await client.granted(browser, scope="tasks:read")
    assert browser.asked == 2
    await client.granted(browser, scope="tasks:read", prompt="consent")
    assert browser.asked == 3


async def test_the_consent_page_names_who_asks_and_for_what(
    one: World, browser: Browser, client: HandMade
) -> None:
    await client.register(client_name="<b>Evil</b> \u202egnp.exe")
    await browser.visit(client.asks(), "deny")
    page = await browser.http.get(client.asks(scope="mcp:call tasks:read"))
    assert "&lt;b&gt;Evil&lt;/b&gt; gnp.exe" in page.text
    assert "a program on your own computer" in page.text
    assert CALLBACK in page.text
    assert "use the MCP door" in page.text
    assert "see tasks, their steps" in page.text
    assert browser.user in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:33418;" in policy
    assert "script-src" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"


async def test_a_no_is_told_to_the_client_and_noted(
    one: World, browser: Browser, client: HandMade
) -> None:
    back = query(await browser.visit(client.asks(state="x"), "deny"))
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", "x", one.url)
    assert "code" not in back
    noted = [(event.kind, event.outcome) for event in one.site.parts.trail.waiting]
    assert ("denied", "refused") in noted
    assert ("consent.given", "ok") not in noted
    await client.granted(browser)
    assert "consent.given" in {event.kind for event in one.site.parts.trail.waiting}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
        ({"resource": "ISSUER/mcpx"}, "invalid_target"),
        ({"scope": "mcp:call nonsense"}, "invalid_scope"),
    ],
)
async def test_what_is_wrong_goes_back_to_the_client(
    one: World,
    browser: Browser,
    client: HandMade,
    changed: dict[str, str | None],
    error: str,
) -> None:
    given = {k: v.replace("ISSUER", one.url) if v else v for k, v in changed.items()}
    back = await browser.visit(client.asks(state="x", **given))
    assert back.startswith(CALLBACK)
    assert (query(back)["error"], query(back)["state"]) == (error, "x")
    assert query(back)["iss"] == one.url
    assert browser.asked == 0


@pytest.mark.parametrize(
    "redirect",
    [
        "https://elsewhere.example/callback",
        CALLBACK + "/more",
        CALLBACK + "?more=1",
        CALLBACK[:-1],
        "http://127.0.0.1:33418/callback/../x",
        "http://127.0.0.1.evil.example:33418/callback",
        "http://127.0.0.1:33418@evil.example/callback",
        "http://localhost:33418/callback",
        "https://127.0.0.1:33418/callback",
        "javascript:alert(1)",
    ],
)
async def test_no_other_redirect_gets_anything(
    browser: Browser, client: HandMade, redirect: str
) -> None:
    await browser.visit(client.asks())
    for url in (client.asks(redirect_uri=redirect), client.asks(redirect_uri=redirect, scope="?")):
        answer = await browser.http.get(url)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "not one of the client&#x27;s" in answer.text
        assert "evil.example" not in answer.text


async def test_the_port_of_a_loopback_address_is_free_and_that_of_others_is_not(
    one: World, browser: Browser, client: HandMade
) -> None:
    back = await browser.visit(client.asks(redirect_uri="http://127.0.0.1:5/callback"))
    assert back.startswith("http://127.0.0.1:5/callback?")
    code = query(back)["code"]
    assert "redirect_uri" in refused(await client.fetches(code), "invalid_grant")
    good = await client.fetches(code, redirect_uri="http://127.0.0.1:5/callback")
    assert good.status_code == 200
    await client.register(redirect_uris=["https://app.example:444/cb"])
    url = client.asks(redirect_uri="https://app.example:445/cb")
    assert (await browser.http.get(url)).status_code == 400


async def test_an_unknown_client_or_none_is_told_to_the_person(
    one: World, browser: Browser, client: HandMade
) -> None:
    for other in ({"client_id": "nobody"}, {"client_id": None}, {"client_id": "https://x"}):
        answer = await browser.http.get(client.asks(**other))
        assert "location" not in answer.headers or "/signin" in answer.headers["location"]
    await browser.visit(client.asks())
    for other in ({"client_id": "nobody"}, {"client_id": None}, {"client_id": "https://x"}):
        answer = await browser.http.get(client.asks(**other))
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/html")


async def test_a_parameter_that_comes_twice_is_refused(browser: Browser, client: HandMade) -> None:
    url = client.asks() + "&client_id=other"
    assert (await browser.http.get(url)).status_code == 400


async def test_without_somebody_signed_in_nothing_is_shown_in_silence(client: HandMade) -> None:
    answer = await client.http.get(client.asks(prompt="none"))
    assert answer.status_code == 400
    answer = await client.http.get(client.asks())
    assert answer.headers["location"].startswith("/signin?next=%2Foauth%2Fauthorize")


@pytest.mark.parametrize("verifier", ["w" * 64, "", "short", "v" * 63 + "\u00fc", None])
async def test_a_wrong_verifier_gets_nothing(
    browser: Browser, client: HandMade, verifier: str | None
) -> None:
    answer = await client.fetches(await coded(browser, client), code_verifier=verifier)
    refused(answer, "invalid_grant" if verifier else "invalid_request")


async def test_a_code_is_good_for_its_client_and_resource_alone(
    one: World, browser: Browser, client: HandMade
) -> None:
    code = await coded(browser, client)
    other = HandMade(client.http, one.url)
    await other.register()
    refused(await other.fetches(code), "invalid_grant")
    refused(await client.fetches(code, resource="https://x.example/mcp"), "invalid_target")
    refused(await client.fetches("nonsense"), "invalid_grant")
    refused(await client.fetches(code, redirect_uri=OTHER), "invalid_grant")
    assert (await client.fetches(code)).status_code == 200


async def test_a_code_that_comes_again_ends_what_came_of_it(
    one: World, browser: Browser, client: HandMade
) -> None:
    code = await coded(browser, client)
    tokens = (await client.fetches(code)).json()
    assert (await comes_in(one, tokens["access_token"])).status_code == 200
    assert "used before" in refused(await client.fetches(code), "invalid_grant")
    answer = await comes_in(one, tokens["access_token"])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    refused(await client.refreshes(tokens["refresh_token"]), "invalid_grant")
    refused(await client.fetches(code), "invalid_grant")


async def test_of_many_who_show_one_code_at_once_none_keeps_tokens(
    one: World, browser: Browser, client: HandMade
) -> None:
    code = await coded(browser, client)
    answers = await asyncio.gather(*(client.fetches(code) for _ in range(5)))
    good = [one_.json()["access_token"] for one_ in answers if one_.status_code == 200]
    assert len(good) <= 1
    for token in good:
        assert (await comes_in(one, token)).status_code == 401


async def test_a_code_ends_after_a_minute(
    one: World, browser: Browser, client: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grants.CODE_S == 60
    monkeypatch.setattr(grants, "CODE_S", -1.0)
    refused(await client.fetches(await coded(browser, client)), "invalid_grant")


async def test_a_foreign_form_gives_nothing(one: World, browser: Browser, client: HandMade) -> None:
    await browser.visit(client.asks(), "deny")
    form = ReadForm((await browser.http.get(client.asks())).text)
    for fields in ({"form_token": "x"}, {"form_token": ""}):
        answer = await browser.post(form, decision="allow", **fields)
        assert answer.status_code == 403
        assert "location" not in answer.headers
    url = one.url + form.action
    data = form.fields | {"decision": "allow"}
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert (await browser.http.post(url, data=data, headers=cross)).status_code == 403
    changed = await browser.post(form, decision="allow", redirect_uri="https://evil.example/")
    assert changed.status_code == 400
    async with person(one) as other:
        await other.visit(client.asks(), "deny")
        answer = await other.post(form, decision="allow")
        assert answer.status_code == 403, "the token is this session's"


async def test_a_token_of_somebody_who_may_not_come_in_any_more(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser)
    people = people_of(one)
    await people.change(browser.user, changed({"disabled": True}), "test")
    assert (await comes_in(one, tokens["access_token"])).status_code == 401
    refused(await client.refreshes(tokens["refresh_token"]), "invalid_grant")
    await people.change(browser.user, changed({"disabled": False}), "test")
    assert (await comes_in(one, tokens["access_token"])).status_code == 401
    tokens = await client.granted(browser)
    await people.end_everything(browser.user, "test")
    assert (await comes_in(one, tokens["access_token"])).status_code == 401
    refused(await client.refreshes(tokens["refresh_token"]), "invalid_grant")


async def test_roles_come_with_the_scope_admin_alone(one: World, client: HandMade) -> None:
    async with person(one, roles=("auditor", "admin")) as admin:
        tokens = await client.granted(admin)
        principal = await one.site.authenticate(tokens["access_token"])
        assert principal is not None
        assert principal.roles == frozenset()
        tokens = await client.granted(admin, scope="admin mcp:call")
        principal = await one.site.authenticate(tokens["access_token"])
        assert principal is not None
        assert principal.roles == frozenset({"auditor", "admin"})


async def test_a_token_without_the_scope_of_the_door_is_told_what_is_missing(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser, scope="tasks:read")
    answer = await comes_in(one, tokens["access_token"])
    assert answer.status_code == 403
    assert answer.json()["error"]["reason"] == "insufficient_scope"
    told = answer.headers["www-authenticate"]
    assert told.startswith('Bearer error="insufficient_scope", scope="mcp:call"')
    assert f'resource_metadata="{one.url}/.well-known/oauth-protected-resource/mcp"' in told
    assert await lists(one, tokens["access_token"]) == 200


async def test_an_ended_grant_ends_what_is_open(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser)
    async with one.stream(tokens["access_token"]) as stream:
        await stream.follow()
        (id_, _), *rest = oauth_of(one).grants.of_user(browser.user)
        assert not rest
        await oauth_of(one).grants.end(id_)
        assert await stream.closed() == 4401


async def test_the_oldest_grant_of_a_user_makes_room(
    one: World, browser: Browser, client: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "MOST_GRANTS", 2)
    three = [await client.granted(browser) for _ in range(3)]
    codes = [(await comes_in(one, tokens["access_token"])).status_code for tokens in three]
    assert codes == [401, 200, 200]


async def test_a_registration_that_is_used_stays_for_longer(
    one: World, browser: Browser, client: HandMade
) -> None:
    held = oauth_of(one).clients.known(client.id)
    assert held is not None
    assert held.expires == held.created + 86_400
    await client.granted(browser)
    held = oauth_of(one).clients.known(client.id)
    assert held is not None
    assert held.expires is not None
    assert held.expires > time.time() + 89 * 86_400
    await oauth_of(one).clients.table.put(
        client.id,
        msgspec.structs.replace(held, expires=time.time() - 1),
        oauth_of(one).clients.table.held[client.id].revision,
    )
    refused(await client.refreshes("x"), "invalid_client", 401)
