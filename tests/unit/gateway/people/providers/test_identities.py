"""Identities of one person: linked by who is signed in, unlinked but for the last way in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.errors import Rejected
from services.bus.bus import Bus
from services.gateway.people.identities import LinkedIdentities, identity_key
from services.gateway.people.records import LinkedIdentity, User
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.people.providers.signing import (
    ADDRESS,
    NAME,
    Browser,
    Signing,
    browser,
    signing,
    value,
)

FROM_US = {"Accept": "text/html", "Origin": ADDRESS}


def form_of(text: str) -> dict[str, str]:
    """What the page of linking would send."""
    found = {}
    for part in text.split("<input")[1:]:
        name = part.partition('name="')[2].partition('"')[0]
        found[name] = part.partition('value="')[2].partition('"')[0]
    return found


async def link(ann: Browser, provider: str, **params: str) -> httpx.Response:
    """Link as a person does: look at the page, send its form, consent, come back."""
    shown = await ann.start(provider, link="true", **params)
    assert shown.status_code == 200, shown.text
    sent = await send(ann, provider, form_of(shown.text))
    assert sent.status_code == 303, sent.text
    return await ann.get(await ann.consent(sent.headers["location"]))


async def send(ann: Browser, provider: str, form: dict[str, str], **headers: str) -> httpx.Response:
    url = f"{ann.gateway.url}/api/auth/{provider}/start"
    return await ann.client.post(url, data=form, headers={**FROM_US, **headers})


async def test_another_identity_is_linked(gateway: Signing, github: GitHubOAuth) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        answer = await link(ann, "github", next="/api/docs")
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/docs")
        assert ann.user == "ann"
        found = gateway.door.identities.of("ann").values()
        assert {one.login for one in found} == {"ann", "Ann-Example"}
        assert len(gateway.users._table.held) == 1
        assert gateway.last("identity.linked").user == "ann"
    async with browser(gateway) as again:
        await again.sign_in("github")
        assert again.user == "ann"


async def test_the_page_of_linking_says_who_and_runs_nothing(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        answer = await ann.start("github", link="true")
    assert "<b>ann</b>" in answer.text
    assert '<form method="post" action="/api/auth/github/start">' in answer.text
    policy = answer.headers["content-security-policy"]
    origin = gateway.door.providers["github"].authority
    assert f"form-action 'self' {origin};" in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    # Else the form would come with the origin `null`.
    assert answer.headers["referrer-policy"] == "same-origin"


async def test_nobody_links_without_being_signed_in(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        away = await ann.start("github", link="true", next="/api/docs")
        back = "/api/auth/github/start?link=true&next=%2Fapi%2Fdocs"
        assert (away.status_code, value(away.headers["location"], "next")) == (303, back)
        json = {"Accept": "application/json"}
        told = await ann.get("/api/auth/github/start?link=true", headers=json)
        assert told.status_code == 403
        assert (await ann.start("github", link="true", next="//evil.example")).status_code == 400
        assert (await send(ann, "github", {"form": "form-x"})).status_code == 403


async def test_another_site_can_not_begin_to_link(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        good = form_of((await ann.start("github", link="true")).text)
        for form, headers in (
            ({}, {}),
            ({"form": "form-other"}, {}),
            (good, {"Origin": "https://evil.example"}),
            ({"form": [good["form"], "x"]}, {}),
        ):
            answer = await send(ann, "github", form, **headers)
            assert answer.status_code in (400, 403), answer.text
        # `link` by an address alone shows a page, whatever else stands in it.
        shown = await ann.start("github", link="true", next="/x")
        assert shown.status_code == 200


async def test_a_link_that_began_ends_with_the_sign_in(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        form = form_of((await ann.start("github", link="true")).text)
        back = await ann.consent((await send(ann, "github", form)).headers["location"])
        ann.client.cookies.delete("metamcp")
        answer = await ann.get(back)
        assert answer.status_code == 403
        assert gateway.last().reason == "other_user"
    assert len(gateway.door.identities.of("ann")) == 1


async def test_what_is_somebody_elses_is_not_linked(gateway: Signing, company: OidcServer) -> None:
    async with browser(gateway) as ann, browser(gateway) as ben:
        await ann.sign_in("github")
        await ben.sign_in(NAME)
        answer = await link(ben, "github")
        assert answer.status_code == 409
        assert "somebody else" in answer.text
        assert len(gateway.door.identities.of("ann")) == 1
        # Nor when that somebody is disabled.
        await gateway.put(User(name="ann-example", created=1.0, disabled=True))
        assert (await link(ben, "github")).status_code == 409


async def test_ones_own_is_linked_again(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in("github")
        before = gateway.door.identities.of("ann-example")
        assert (await link(ann, "github")).status_code == 303
        assert gateway.door.identities.of("ann-example") == before


async def test_identities_are_listed_and_unlinked(gateway: Signing, github: GitHubOAuth) -> None:
    async with browser(gateway) as ann:
        alice_ = await gateway.put(User(name="alice", created=1.0))
        # The token of Alice and her session are one person's.
        ann.client.cookies.set("metamcp", await gateway.cookie(alice_), domain="127.0.0.1")
        await link(ann, NAME)
        await link(ann, "github")
    async with gateway.http() as alice, gateway.http("bob-token") as bob:
        found = (await alice.get("/api/auth/identities")).json()["data"]
        assert {one["login"] for one in found} == {"ann", "Ann-Example"}
        assert (await bob.get("/api/auth/identities")).json()["data"] == []
        at_github = next(one for one in found if one["provider"] == "github")
        path = f"/api/auth/identities/{at_github['key']}"
        assert (await bob.delete(path)).status_code == 404
        gone = (await alice.delete(path)).json()
        assert gone["data"] == {"key": at_github["key"], "provider": "github", "revoked": True}
        assert gateway.last("identity.unlinked").user == "alice"
        assert (await alice.delete(path)).status_code == 404
        (last,) = (await alice.get("/api/auth/identities")).json()["data"]
        kept = await alice.delete(f"/api/auth/identities/{last['key']}")
        assert kept.status_code == 409
        assert "only way in" in kept.json()["error"]["message"]
        await gateway.put(User(name="alice", created=1.0, password="$argon2id$…"))
        assert (await alice.delete(f"/api/auth/identities/{last['key']}")).status_code == 200
    async with browser(gateway) as ann:
        await ann.sign_in("github")
        assert ann.user == "ann-example"


async def two(gateway: Signing, other: Signing) -> tuple[User, list[str]]:
    """A person with two identities, which both gateways know."""
    user = await gateway.put(User(name="twin", created=1.0))
    keys = [identity_key("https://id.example", subject) for subject in "12"]
    for key, subject in zip(keys, "12", strict=True):
        one = LinkedIdentity(provider="p", subject=subject, user="")
        assert await gateway.door.identities.link(key, one, user)
    await other.site.parts.state.refresh()
    return user, keys


async def test_the_last_two_are_not_taken_away_at_once(
    gateway: Signing, own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    async with signing(tmp_path / "second", own_bus, chosen) as other:
        for _ in range(5):
            user, keys = await two(gateway, other)
            sites: list[LinkedIdentities] = [gateway.door.identities, other.door.identities]
            done = await asyncio.gather(
                *(site.unlink(user, key) for site, key in zip(sites, keys, strict=True)),
                return_exceptions=True,
            )
            assert any(isinstance(one, Rejected) for one in done)
            for site in (gateway, other):
                await site.site.parts.state.refresh()
                left = site.door.identities.of("twin")
                assert left
                assert not any(one.leaving for one in left.values())
            for key in left:
                await gateway.door.identities._table.delete(key)


async def test_two_gateways_make_one_account_of_one_newcomer(
    gateway: Signing, own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    async with (
        signing(tmp_path / "second", own_bus, chosen) as other,
        browser(gateway) as one,
        browser(other) as two_,
    ):
        first, second = await one.away(NAME), await two_.away(NAME)
        answers = await asyncio.gather(one.get(first), two_.get(second))
        assert sorted(answer.status_code for answer in answers)[0] == 303
        assert {answer.status_code for answer in answers} <= {303, 409}
        await gateway.site.parts.state.refresh()
        assert set(gateway.users._table.held) == {"ann"}
        assert len(gateway.door.identities.of("ann")) == 1


async def test_a_death_while_an_account_is_made_locks_nobody_out(
    gateway: Signing, company: OidcServer
) -> None:
    """Whoever claimed the identity is gone: the next one goes on with what was made."""
    key = identity_key(company.issuer, "id-ann")
    one = LinkedIdentity(provider=company.issuer, subject="id-ann", user="")
    claim = (await gateway.door.identities.claim(key, one)).value.claim
    await gateway.users.create(User(name="ann"), "somebody else")
    made = await gateway.users.create(User(name="ann-2", made_for=claim), "the dead one")
    async with browser(gateway) as ann:
        assert (await ann.sign_in(NAME)).status_code == 303
        assert ann.user == made.name


async def test_who_was_made_for_an_identity_is_its_own_no_more(
    gateway: Signing, company: OidcServer
) -> None:
    """An identity that was unlinked comes in as somebody new, never as whom it once made."""
    async with browser(gateway) as ann, browser(gateway) as again:
        await ann.sign_in(NAME)
        (key,) = gateway.door.identities.of("ann")
        await gateway.put(msgspec.structs.replace(_account(gateway, "ann"), password="$argon2id$"))
        await gateway.door.identities.unlink(_account(gateway, "ann"), key)
        await again.sign_in(NAME)
        assert again.user == "ann-2"


async def test_a_claim_that_nobody_goes_on_with_ends(
    gateway: Signing, company: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities, table = gateway.door.identities, gateway.door.identities._table
    one = LinkedIdentity(provider=company.issuer, subject="id-ann", user="")
    key = identity_key(company.issuer, "id-ann")
    with monkeypatch.context() as patch:
        patch.setattr("services.gateway.people.identities.CLAIM_S", -1.0)
        await identities.claim(key, one)
    assert identities._keys
    table.forget_expired()
    assert not identities._keys
    assert not table.held


def _account(gateway: Signing, name: str) -> User:
    found = gateway.users.get(name)
    assert found is not None
    return found


def test_ids_of_two_providers_are_two_identities() -> None:
    keys = {identity_key(*pair) for pair in (("a", "1"), ("b", "1"), ("a", "2"))}
    assert len(keys) == 3
