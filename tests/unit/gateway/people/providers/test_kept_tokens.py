"""Tokens that came with a sign-in: linked accounts, renewed by one gateway, ended when unlinked."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from contracts.account import Provider
from services.bus.bus import Bus
from services.gateway.access.identity import digest
from services.gateway.people.providers import kept
from services.gateway.people.providers.base import ProviderToken
from services.gateway.people.records import ProviderGrant
from services.keys.accounts import Accounts
from services.store.stream import StoreError
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer
from tests.unit.gateway.people.providers.signing import NAME, Signing, browser, signing
from tests.unit.gateway.people.providers.test_identities import link
from tests.unit.gateway.world import error_of

GITHUB, HUB = Provider.GITHUB, Provider.HUGGINGFACE
WHO = "ann-example"


def accounts(gateway: Signing) -> Accounts:
    return gateway.site.linking._accounts


async def token_of(gateway: Signing, provider: Provider = GITHUB) -> str:
    return await accounts(gateway).token(WHO, provider) or ""


def grant(gateway: Signing, provider: Provider = GITHUB) -> ProviderGrant | None:
    held = gateway.door.kept._table.get(kept._key(WHO, provider))
    return None if held is None else held.value


async def signed_in(gateway: Signing, provider: str = "github") -> str:
    """Sign Ann in; the answer is the token that was kept."""
    async with browser(gateway) as ann:
        assert (await ann.sign_in(provider)).status_code == 303
        assert ann.user == WHO
    return await token_of(gateway, Provider(provider))


async def test_a_token_that_comes_near_its_end_is_renewed(
    gateway: Signing, github: GitHubOAuth
) -> None:
    github.lasts_s = 300
    first = await signed_in(gateway)
    await gateway.door.kept.once()
    second = await token_of(gateway)
    assert (second != first, second in github.tokens, github.refreshed) == (True, True, 1)
    found = grant(gateway)
    assert found is not None
    assert (found.access, found.pending, found.leased) == (digest(second), None, 0.0)
    github.lasts_s = 28_800
    await gateway.door.kept.once()
    third = await token_of(gateway)
    assert (third != second, github.refreshed) == (True, 2)
    # It is good for hours now, so nobody asks.
    await gateway.door.kept.once()
    assert (await token_of(gateway), github.refreshed) == (third, 2)
    linked = await gateway.site.linking.account(WHO, GITHUB)
    assert linked.name == "Ann-Example"


async def test_a_token_of_hugging_face_is_renewed(
    gateway: Signing, hub: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await signed_in(gateway, "huggingface")
    monkeypatch.setattr(kept, "BEFORE_S", 7200.0)
    await gateway.door.kept.once()
    second = await token_of(gateway, HUB)
    assert (second != first, second in hub.tokens) == (True, True)


async def test_of_two_gateways_one_renews(
    gateway: Signing, github: GitHubOAuth, own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    github.lasts_s = 300
    first = await signed_in(gateway)
    async with signing(tmp_path / "second", own_bus, chosen) as other:
        github.pauses.clear()
        at_once = [asyncio.create_task(one.door.kept.once()) for one in (gateway, other)]
        done, _ = await asyncio.wait(at_once, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1, "who has no lease does not wait for the other"
        await other.site.parts.state.refresh()
        await other.door.kept.once()
        github.pauses.set()
        await asyncio.gather(*at_once)
        assert github.refreshed == 1
        assert await token_of(gateway) == await token_of(other) != first


async def test_a_death_after_the_provider_answered_loses_nothing(
    gateway: Signing, github: GitHubOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.lasts_s = 300
    first = await signed_in(gateway)

    async def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(gateway.door.kept, "_deliver", dies)
        with pytest.raises(asyncio.CancelledError):
            await gateway.door.kept.once()
    assert await token_of(gateway) == first
    await gateway.door.kept.once()
    assert await token_of(gateway) == first, "whoever died may be only slow"
    await expired_lease(gateway)
    await gateway.door.kept.once()
    assert await token_of(gateway) not in (first, "")
    assert github.refreshed == 1


async def test_a_death_at_a_sign_in_loses_nothing(
    gateway: Signing, github: GitHubOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await signed_in(gateway)

    async def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(accounts(gateway), "link", dies)
        new = ProviderToken("gho_new", "", None, ("repo",))
        with pytest.raises(asyncio.CancelledError):
            await gateway.door.kept.keep(WHO, GITHUB, "Ann-Example", new, asked=False)
    assert await token_of(gateway) == first
    await expired_lease(gateway)
    await gateway.door.kept.once()
    assert await token_of(gateway) == "gho_new"
    # It is still one that the next sign-in replaces.
    assert await signed_in(gateway) in github.tokens


async def expired_lease(gateway: Signing) -> None:
    table, key = gateway.door.kept._table, kept._key(WHO, GITHUB)
    held = table.get(key)
    assert held is not None
    await table.put(key, msgspec.structs.replace(held.value, leased=time.time() - 1), held.revision)


async def test_what_can_not_be_renewed_is_not_tried_again(
    gateway: Signing, github: GitHubOAuth
) -> None:
    github.lasts_s = 300
    first = await signed_in(gateway)
    github.refreshing.clear()
    for _ in range(3):
        await gateway.door.kept.once()
        found = grant(gateway)
        assert found is not None
        await expired_lease(gateway)
    assert (github.refreshed, found.refresh) == (1, None)
    assert await token_of(gateway) == first


async def test_a_provider_that_is_away_is_tried_again(
    gateway: Signing, github: GitHubOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.lasts_s = 300
    first = await signed_in(gateway)
    with monkeypatch.context() as patch:
        patch.setattr(gateway.door.providers["github"], "authority", "http://127.0.0.1:1")
        await gateway.door.kept.once()
    found = grant(gateway)
    assert found is not None
    assert found.refresh is not None
    await expired_lease(gateway)
    await gateway.door.kept.once()
    assert await token_of(gateway) != first


async def test_a_token_linked_by_hand_stays(gateway: Signing, github: GitHubOAuth) -> None:
    await signed_in(gateway)
    github.tokens["ghp_by_hand"] = (1, "repo")
    await gateway.site.linking.link(WHO, GITHUB, "ghp_by_hand")
    assert grant(gateway) is None
    assert await signed_in(gateway) == "ghp_by_hand"
    async with browser(gateway) as ann:
        await ann.sign_in("github")
        assert (await link(ann, "github")).status_code == 303
    assert await token_of(gateway) not in ("ghp_by_hand", "")


async def test_a_renewal_does_not_undo_what_was_linked_meanwhile(
    gateway: Signing, github: GitHubOAuth
) -> None:
    github.lasts_s = 300
    await signed_in(gateway)
    github.tokens["ghp_by_hand"] = (1, "repo")
    github.pauses.clear()
    renewing = asyncio.create_task(gateway.door.kept.once())
    async with asyncio.timeout(30):
        while not github.refreshed:
            await gateway.site.parts.state.refresh()
    await gateway.site.linking.link(WHO, GITHUB, "ghp_by_hand")
    github.pauses.set()
    await renewing
    assert await token_of(gateway) == "ghp_by_hand"
    assert grant(gateway) is None


async def test_unlinking_ends_the_token_at_github(gateway: Signing, github: GitHubOAuth) -> None:
    token = await signed_in(gateway)
    assert await gateway.site.linking.unlink(WHO, GITHUB)
    assert github.revoked == [token]
    assert (await token_of(gateway), grant(gateway)) == ("", None)


async def test_unlinking_works_while_the_provider_is_away(
    gateway: Signing, github: GitHubOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_in(gateway)
    monkeypatch.setattr(gateway.door.providers["github"], "_api", "http://127.0.0.1:1")
    assert await gateway.site.linking.unlink(WHO, GITHUB)
    assert (await token_of(gateway), grant(gateway), github.revoked) == ("", None, [])


async def test_a_token_linked_by_hand_is_not_ended_there(
    gateway: Signing, github: GitHubOAuth
) -> None:
    await signed_in(gateway)
    github.tokens["ghp_by_hand"] = (1, "repo")
    await gateway.site.linking.link(WHO, GITHUB, "ghp_by_hand")
    assert await gateway.site.linking.unlink(WHO, GITHUB)
    assert github.revoked == []


async def test_hugging_face_knows_no_way_to_end_a_token(gateway: Signing, hub: OidcServer) -> None:
    hub.more = {**hub.more, "revocation_endpoint": None}
    await signed_in(gateway, "huggingface")
    assert not await gateway.door.kept.revoke(WHO, HUB)
    assert hub.revoked == []


async def test_a_provider_of_the_company_gives_no_account(gateway: Signing) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
    assert gateway.door.kept._table.held == {}


async def test_tokens_are_sealed_and_never_logged(gateway: Signing, github: GitHubOAuth) -> None:
    github.lasts_s = 300
    with structlog.testing.capture_logs() as lines:
        first = await signed_in(gateway)
        refresh = next(iter(github.refreshing))
        await gateway.door.kept.once()
        second = await token_of(gateway)
        stored = [
            change.value or b"" for change in await gateway.site.parts.state.bucket.changes(0)
        ]
        await gateway.site.linking.unlink(WHO, GITHUB)
    for secret in (first, second, refresh, next(iter(github.refreshing))):
        assert not any(secret.encode() in value for value in stored)
        assert secret not in repr(lines)


async def test_a_sealed_refresh_token_opens_as_nothing_else(
    gateway: Signing, github: GitHubOAuth
) -> None:
    github.lasts_s = 300
    await signed_in(gateway)
    found = grant(gateway)
    assert found is not None
    assert found.refresh is not None
    account = msgspec.structs.replace(found.refresh.account, name="Ann-Example")
    other = msgspec.structs.replace(found.refresh, account=account)
    for user, credential in ((WHO, other), ("bob", found.refresh)):
        with pytest.raises(Exception, match="not sealed with this master key"):
            accounts(gateway).unseal(user, credential)


async def test_a_store_of_tokens_that_fails_keeps_nobody_out(
    gateway: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def fails(*_: Any, **__: Any) -> bool:
        raise StoreError("away")

    monkeypatch.setattr(gateway.door.kept, "keep", fails)
    async with browser(gateway) as ann:
        assert (await ann.sign_in("github")).status_code == 303
        assert ann.user == WHO


async def test_the_route_of_accounts_ends_it_too(gateway: Signing, github: GitHubOAuth) -> None:
    new = ProviderToken("gho_alices", "", None, ("repo",))
    github.tokens["gho_alices"] = (1, "repo")
    await gateway.door.kept.keep("alice", GITHUB, "Ann-Example", new, asked=False)
    async with gateway.http() as alice:
        (account,) = (await alice.get("/api/accounts")).json()["data"]
        assert (account["provider"], account["name"]) == ("github", "Ann-Example")
        assert (await alice.delete("/api/accounts/github")).json()["data"]["linked"] is True
        assert error_of(await alice.get("/api/accounts/github")).code == 404
    assert github.revoked == ["gho_alices"]
