"""Clients: registered by themselves, or made by an administrator."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.gateway.oauth import clients
from services.gateway.people.records import User
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.support.oauth_browser import CALLBACK, Browser, HandMade, query
from tests.unit.gateway.oauth.acting import oauth_of, people_of, person
from tests.unit.gateway.oauth.test_flow import comes_in, refused
from tests.unit.gateway.world import World, error_of, world

ADMIN = "admin-token"


async def test_a_client_registers_itself(one: World, client: HandMade) -> None:
    answer = await client.register(client_name="Mine", scope="mcp:call other", software_id="x")
    told = answer.json()
    assert told["redirect_uris"] == [CALLBACK]
    assert told["client_name"] == "Mine"
    assert told["scope"] == "mcp:call"
    assert told["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in told
    assert answer.headers["cache-control"] == "no-store"
    secret = (await client.register(token_endpoint_auth_method="client_secret_post")).json()
    assert len(secret["client_secret"]) >= 43
    assert secret["client_secret_expires_at"] == 0
    held = oauth_of(one).clients.known(secret["client_id"])
    assert held is not None
    assert secret["client_secret"] not in msgspec.json.encode(held).decode()
    assert "client.registered" in {event.kind for event in one.site.parts.trail.waiting}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK] * 21}, "invalid_redirect_uri"),
        ({"redirect_uris": "x"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
    ],
)
async def test_what_no_client_may_be(client: HandMade, changed: dict[str, Any], error: str) -> None:
    refused(await client.register(**changed), error)


async def test_what_is_no_registration_is_refused(one: World) -> None:
    async with one.http(None) as http:
        for body in (b"", b"[]", b"{", b"\xff", b'{"redirect_uris": 1}'):
            answer = await http.post("/oauth/register", content=body)
            refused(answer, "invalid_client_metadata")
        big = await http.post("/oauth/register", content=b"x" * 70_000)
        refused(big, "invalid_request", 413)
        answer = await http.get("/oauth/register")
        refused(answer, "invalid_request", 405)
        assert answer.headers["allow"] == "POST"


async def test_registrations_of_one_address_are_few(client: HandMade) -> None:
    for _ in range(clients.MOST_REGISTRATIONS):
        answer = await client.register()
    refused(answer, "slow_down", 429)


async def test_registrations_are_few_at_all_gateways_together(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MOST_REGISTRATIONS", 4)
    monkeypatch.setattr(clients, "REGISTRATIONS_S", 1e9)  # no window ends while this runs
    (tmp_path / "2").mkdir()
    async with (
        fresh_nats.connected("gateway") as bus,
        world(tmp_path, bus) as one,
        world(tmp_path / "2", bus) as other,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        for side in (one, other):
            for _ in range(2):
                assert (await HandMade(http, side.url).register()).status_code == 201
            await one.site.exchange.once()
            await other.site.exchange.once()
        await one.site.exchange.once()
        for side in (one, other):
            refused(await HandMade(http, side.url).register(), "slow_down", 429)


async def test_the_oldest_that_nobody_used_makes_room(
    one: World, browser: Browser, client: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.id
    monkeypatch.setattr(clients, "MOST_CLIENTS", 1)
    refused(await client.register(), "temporarily_unavailable", 503)
    monkeypatch.setattr(clients, "NEW_S", -1.0)
    table = oauth_of(one).clients.table
    everybody = [id_ for id_ in table.held if id_ != first]
    for id_ in everybody:
        await table.delete(id_)
    assert (await client.register()).status_code == 201
    assert oauth_of(one).clients.known(first) is None
    monkeypatch.setattr(clients, "MOST_CLIENTS", 10_000)
    await client.granted(browser)
    monkeypatch.setattr(clients, "MOST_CLIENTS", 1)
    refused(await client.register(), "temporarily_unavailable", 503)


async def test_a_secret_is_needed_and_only_the_right_one(
    one: World, browser: Browser, client: HandMade
) -> None:
    await client.register(token_endpoint_auth_method="client_secret_basic")
    secret = str(client.secret)
    code = query(await browser.visit(client.asks()))["code"]
    for wrong in (None, "", "x", secret + "x", secret.upper()):
        refused(await client.fetches(code, client_secret=wrong), "invalid_client", 401)
    url = f"{one.url}/oauth/token"
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    for given in (f"{client.id}:x", f"x:{secret}", client.id, ":", "\xff"):
        basic = base64.b64encode(given.encode("latin-1")).decode()
        headers = {"Authorization": f"Basic {basic}"}
        answer = await client.http.post(url, data=form, headers=headers)
        refused(answer, "invalid_client", 401)
        assert answer.headers["www-authenticate"].startswith("Basic")
    bad = await client.http.post(url, data=form, headers={"Authorization": "Basic !"})
    refused(bad, "invalid_client", 401)
    good = (client.id, secret)
    both = await client.http.post(url, data=form | {"client_secret": secret}, auth=good)
    refused(both, "invalid_request")
    other = await client.http.post(url, data=form | {"client_id": "x"}, auth=good)
    refused(other, "invalid_request")
    fine = await client.http.post(url, data=form, auth=good)
    refused(fine, "invalid_grant")
    assert (await client.fetches(code)).status_code == 200


async def test_a_public_client_has_no_secret(client: HandMade) -> None:
    refused(await client.refreshes("x", client_secret="x"), "invalid_client", 401)
    refused(await client.token("password", username="a"), "unsupported_grant_type")
    refused(await client.token("client_credentials"), "unauthorized_client")
    answer = await client.http.post(f"{client.gateway}/oauth/token", json={"grant_type": "x"})
    refused(answer, "invalid_request")


async def service(one: World) -> str:
    user = name("svc")
    await people_of(one).create(User(name=user, service=True), asked_by="test")
    return user


async def test_an_administrator_makes_lists_and_removes_clients(one: World) -> None:
    user = await service(one)
    async with one.http(ADMIN) as admin, one.http() as alice:
        body = {"name": "Reports", "user": user, "scopes": ["mcp:call", "tasks:read"]}
        made = (await admin.post("/api/clients", json=body)).json()["data"]
        client = HandMade(admin, one.url)
        async with httpx.AsyncClient(trust_env=False) as http:
            client.http, client.id, client.secret = http, made["id"], made["secret"]
            answer = await client.token("client_credentials")
            assert answer.json()["scope"] == "mcp:call"
            assert "refresh_token" not in answer.json()
            more = await client.token("client_credentials", scope="admin")
            refused(more, "invalid_scope")
            principal = await one.site.authenticate(answer.json()["access_token"])
            assert principal is not None
            assert (principal.user, principal.token) == (user, made["id"])
            assert principal.asked_by == f"client:{made['id']}"
            token = answer.json()["access_token"]
            assert (await comes_in(one, token)).status_code == 200
            listed = (await admin.get("/api/clients", params={"limit": 500})).json()["data"]
            (shown,) = [one_ for one_ in listed if one_["id"] == made["id"]]
            assert "secret" not in shown
            assert error_of(await alice.get("/api/clients")).code == 403
            assert (await admin.delete(f"/api/clients/{made['id']}")).status_code == 200
            assert (await comes_in(one, token)).status_code == 401
            refused(await client.token("client_credentials"), "invalid_client", 401)
        assert error_of(await admin.delete(f"/api/clients/{made['id']}")).code == 404


async def test_clients_are_listed_in_pages(one: World, client: HandMade) -> None:
    for _ in range(3):
        await client.register()
    found: list[str] = []
    cursor: dict[str, int] = {}
    async with one.http(ADMIN) as admin:
        while True:
            answer = await admin.get("/api/clients", params={"limit": 2} | cursor)
            page = answer.json()
            found += [each["id"] for each in page["data"]]
            assert len(page["data"]) <= 2
            if page.get("next_cursor") is None:
                break
            cursor = {"cursor": page["next_cursor"]}
    assert len(found) == len(set(found)) == len(oauth_of(one).clients.table.held)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"user": ""}, 400),
        ({"user": "", "redirects": ["http://app.example"]}, 400),
        ({"public": True}, 400),
        ({"user": "nobody"}, 409),
        ({"user": "PERSON"}, 409),
        ({"user": "a b"}, 400),
        ({"scopes": ["nonsense"]}, 400),
        ({"name": ""}, 400),
        ({"more": 1}, 400),
    ],
)
async def test_what_an_administrator_may_not_make(
    one: World, browser: Browser, changed: dict[str, Any], status: int
) -> None:
    body = {"name": "x", "user": await service(one)} | changed
    text = json.dumps(body).replace("PERSON", browser.user)
    async with one.http(ADMIN) as admin:
        assert error_of(await admin.post("/api/clients", content=text)).code == status


async def test_a_client_that_is_removed_loses_what_people_gave_it(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser)
    async with one.http(ADMIN) as admin:
        assert (await admin.delete(f"/api/clients/{client.id}")).status_code == 200
    assert (await comes_in(one, tokens["access_token"])).status_code == 401
    refused(await client.refreshes(tokens["refresh_token"]), "invalid_client", 401)


async def test_a_person_lists_and_ends_what_they_allowed(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser, scope="admin mcp:call")
    narrow = await client.granted(browser, scope="mcp:call")
    async with one.http(narrow["access_token"]) as little:
        assert error_of(await little.get("/api/auth/grants")).reason == "insufficient_scope"
        answer = await little.delete("/api/auth/grants/x")
        assert error_of(answer).reason == "insufficient_scope"
    async with person(one) as other:
        foreign = await client.granted(other)
    async with one.http(tokens["access_token"]) as mine:
        only, _ = (await mine.get("/api/auth/grants")).json()["data"]
        assert (only["client"], only["scopes"]) == (client.id, ["admin", "mcp:call"])
        page = (await mine.get("/api/auth/grants", params={"limit": 1})).json()
        assert [each["id"] for each in page["data"]] == [only["id"]]
        rest = await mine.get("/api/auth/grants", params={"cursor": page["next_cursor"]})
        assert len(rest.json()["data"]) == 1
        (theirs, _), *_ = oauth_of(one).grants.of_user(other.user)
        assert error_of(await mine.delete(f"/api/auth/grants/{theirs}")).code == 404
        assert (await mine.delete(f"/api/auth/grants/{only['id']}")).status_code == 200
    assert (await comes_in(one, tokens["access_token"])).status_code == 401
    assert (await comes_in(one, foreign["access_token"])).status_code == 200
    asked = browser.asked
    await client.granted(browser)
    assert browser.asked == asked + 1, "what was said before is forgotten"
    assert "consent.withdrawn" in {event.kind for event in one.site.parts.trail.waiting}
