"""Signing in with GitHub, Hugging Face and an OpenID Connect provider: the whole way of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.account import Provider
from services.bus.bus import Bus
from services.gateway.people.records import User
from tests.support import oidc as oidc_support
from tests.support.github_sign_in import CLIENT, GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.people.providers.signing import ADDRESS, NAME, Signing, browser, signing


async def test_providers_are_listed(gateway: Signing) -> None:
    async with gateway.http(None) as client:
        found = (await client.get("/api/auth/providers")).json()["data"]
    titles = {"github": "GitHub", "huggingface": "Hugging Face", NAME: NAME}
    assert found == [
        {
            "name": name,
            "title": title,
            "start": f"/api/auth/{name}/start",
            "url": f"{ADDRESS}/api/auth/{name}/start",
        }
        for name, title in titles.items()
    ]


async def test_with_github(gateway: Signing, github: GitHubOAuth) -> None:
    async with browser(gateway) as ann:
        answer = await ann.sign_in("github", next="/api/docs")
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/docs")
        assert ann.user == "ann-example"
    (query,) = github.queries
    assert query["scope"] == "repo user:email workflow"
    assert query["client_id"] == CLIENT
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == f"{ADDRESS}/api/auth/github/callback"
    user = gateway.users.get("ann-example")
    assert user is not None
    assert (user.display, user.email, user.roles, user.password) == (
        *("Ann", "ann@example.com"),
        *((), ""),
    )
    ((_, session),) = gateway.site.parts.signed_in.of_user("ann-example")
    assert (session.method, session.address) == ("github", "127.0.0.1")
    linked = await gateway.site.linking.account("ann-example", Provider.GITHUB)
    assert (linked.name, linked.scopes) == ("Ann-Example", ("repo", "user:email", "workflow"))
    token = await gateway.site.linking._accounts.token("ann-example", Provider.GITHUB)
    assert token in github.tokens
    kinds = [(e.kind, e.user, e.outcome, e.method) for e in gateway.trail]
    assert kinds == [
        ("user.created", "ann-example", "ok", ""),
        ("identity.linked", "ann-example", "ok", "github"),
        ("sign_in", "ann-example", "ok", "github"),
    ]


async def test_with_hugging_face(gateway: Signing, hub: OidcServer) -> None:
    async with browser(gateway) as ann:
        answer = await ann.sign_in("huggingface")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert ann.user == "ann-example"
    (query,) = hub.queries
    scopes = "openid profile email read-repos write-repos manage-repos"
    assert query["scope"] == scopes
    assert {"nonce", "code_challenge"} <= query.keys()
    linked = await gateway.site.linking.account("ann-example", Provider.HUGGINGFACE)
    assert (linked.name, linked.scopes) == ("Ann.Example", tuple(scopes.split()))


async def test_with_an_openid_connect_provider(gateway: Signing, company: OidcServer) -> None:
    async with browser(gateway) as ann:
        assert (await ann.sign_in(NAME)).status_code == 303
        assert ann.user == "ann"
    (query,) = company.queries
    assert query["scope"] == "openid profile email"
    (identity,) = gateway.door.identities.of("ann").values()
    assert (identity.provider, identity.subject, identity.login) == (
        *(company.issuer, "id-ann"),
        "ann",
    )
    assert gateway.last().method == company.issuer


async def test_who_comes_again_is_the_same(gateway: Signing, github: GitHubOAuth) -> None:
    async with browser(gateway) as first:
        await first.sign_in("github")
    github.people[1]["login"] = "Ann-Renamed"
    async with browser(gateway) as again:
        await again.sign_in("github")
        assert again.user == "ann-example"
    (identity,) = gateway.door.identities.of("ann-example").values()
    assert identity.login == "Ann-Renamed"


async def test_nobody_gets_an_account_by_its_name_or_address(
    gateway: Signing, company: OidcServer
) -> None:
    await gateway.put(User(name="ann", email="ann@example.com", created=1.0))
    async with browser(gateway) as other:
        await other.sign_in(NAME)
        assert other.user == "ann-2"
    company.people["id-eve"] = {"preferred_username": "ANN", "email": "ann@example.com"}
    company.who = "id-eve"
    async with browser(gateway) as eve:
        await eve.sign_in(NAME)
        assert eve.user == "ann-3"


@pytest.mark.parametrize("login", ["alice", "root", "local", "admin"])
async def test_nobody_gets_what_belongs_to_a_token_without_an_account(
    gateway: Signing, company: OidcServer, login: str
) -> None:
    company.people["id-ann"]["preferred_username"] = login
    async with browser(gateway) as somebody:
        await somebody.sign_in(NAME)
        assert somebody.user == f"{login}-2"


async def test_nobody_gets_the_tasks_of_a_name(gateway: Signing, company: OidcServer) -> None:
    await gateway.site.parts.tokens.add("carol", (), None, "")
    company.people["id-ann"]["preferred_username"] = "carol"
    async with browser(gateway) as somebody:
        await somebody.sign_in(NAME)
        assert somebody.user == "carol-2"
    await gateway.site.linking._accounts.link("dora", Provider.GITHUB, "dora", "ghp_x")
    company.who = "id-ben"
    company.people["id-ben"]["preferred_username"] = "dora"
    async with browser(gateway) as another:
        await another.sign_in(NAME)
        assert another.user == "dora-2"


@pytest.mark.parametrize("by", ["project", "invitation"])
async def test_nobody_gets_the_place_that_is_kept_for_a_name(gateway: Signing, by: str) -> None:
    async with gateway.http() as alice, gateway.http("admin-token") as root:
        if by == "project":
            made = (await alice.post("/api/projects", json={"name": "shop"})).json()["data"]
            path = f"/api/projects/{made['id']}/members/ann"
            assert (await alice.put(path, json={"role": "editor"})).is_success
        else:
            assert (await root.post("/api/auth/invitations", json={"user": "ann"})).is_success
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        assert ann.user == "ann-2"


async def test_a_disabled_account_does_not_come_in_and_gets_no_other(
    gateway: Signing, company: OidcServer
) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
    await gateway.put(User(name="ann", created=1.0, disabled=True))
    async with browser(gateway) as ann:
        answer = await ann.sign_in(NAME)
        assert answer.status_code == 403
        assert "ask an administrator" in answer.text
        assert ann.session == ""
    assert (gateway.last().outcome, gateway.last().reason) == ("refused", "disabled")
    assert gateway.last().user == "ann"


async def test_an_identity_of_a_deleted_user_is_not_the_next_of_that_name(
    gateway: Signing, company: OidcServer
) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
    await gateway.put(User(name="ann", created=4e9))
    assert gateway.door.identities.of("ann") == {}
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        assert ann.user == "ann-2"


async def test_who_was_deleted_comes_as_somebody_new(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        await gateway.users.delete("ann", "root")
        assert gateway.door.identities.of("ann") == {}
        assert ann.user == ""
        await ann.sign_in(NAME)
        assert ann.user == "ann-2"


async def test_when_somebody_last_came_is_noted(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
    user = gateway.users.get("ann")
    assert user is not None
    assert user.seen > 0


async def test_an_account_of_a_program_is_not_signed_in_to(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        await gateway.put(User(name="ann", created=1.0, service=True))
    async with browser(gateway) as ann:
        answer = await ann.sign_in(NAME)
        assert (answer.status_code, ann.session) == (403, "")


async def test_two_gateways_start_at_one_and_come_back_to_the_other(
    gateway: Signing, own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    async with (
        signing(tmp_path / "second", own_bus, chosen) as other,
        browser(gateway) as ann,
    ):
        back = await ann.away(NAME)
        ann.gateway = other
        assert (await ann.get(back)).status_code == 303
        assert ann.user == "ann"
        again = await ann.get(back)
        assert again.status_code == 400
        ann.gateway = gateway
        assert (await ann.get(back)).status_code == 400
        assert gateway.last().reason == "used_state"


async def test_several_logins_of_one_browser_end_in_any_order(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        first = await ann.away(NAME, next="/one")
        second = await ann.away("github", next="/two")
        assert (await ann.get(second)).headers["location"] == "/two"
        assert (await ann.get(first)).headers["location"] == "/one"


async def test_no_secret_of_it_is_stored_or_logged(
    gateway: Signing, own_bus: Bus, company: OidcServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(gateway) as ann:
        back = await ann.away(NAME)
        (query,) = company.queries
        (login,) = gateway.door._logins._table.held.values()
        stored = repr(login)
        await ann.get(back)
        secret = ann.client.cookies["metamcp_login"]
    state = parse_qs(urlsplit(back).query)["state"][0]
    # The provider's own log is not ours.
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name != "aiohttp.access")
    for text in (state, secret, query["nonce"], oidc_support.SECRET):
        assert text not in stored
        assert text not in logged
        assert text not in repr(gateway.trail)


async def test_the_way_back_is_not_kept_by_anybody(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        answer = await ann.sign_in(NAME)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
