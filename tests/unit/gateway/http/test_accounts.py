"""Linked accounts over the HTTP API: on a real nats-server, with the Hub's stand-in."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.account import Provider
from contracts.subjects import CREDENTIAL_BUCKETS
from services.gateway.http.accounts import Token
from services.keys.accounts import LONGEST_TOKEN, Accounts
from services.keys.vault import KeyFile
from services.store.kv import Bucket
from tests.support.http_host import answer, cut, serving
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import Linked, error_of, linked_world, registry_of

HF, GITHUB = Provider.HUGGINGFACE, Provider.GITHUB
PATH = "/api/accounts/huggingface"
AT_GITHUB = "/api/accounts/github"
BAD = (
    *(b"", b"{", b"{}", b"[]", b"null", b"[" * 5000),
    *(b'{"token": 1}', b'{"token": null}', b'{"token": "\xff"}', b'{"token": "x", "user": "bob"}'),
    *(b'{"token": ""}', b'{"token": " \\n"}', b'{"token": "a b"}', b'{"token": "a\\nb"}'),
    *(b'{"token": "t\\u00f6ken"}', b'{"token": "' + b"x" * (LONGEST_TOKEN + 1) + b'"}'),
)


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Linked]:
    async with linked_world(fresh_nats, tmp_path) as one:
        yield one


async def test_an_account_is_linked_and_shown(gateway: Linked) -> None:
    head = await gateway.log.head()
    token = gateway.hub.account("ann")
    async with gateway.http() as client:
        assert (await client.get("/api/accounts")).json()["data"] == []
        answered = await client.put(PATH, json={"token": f" {token}\n"})
        assert answered.status_code == 200, answered.text
        account = answered.json()["data"]
        assert (account["provider"], account["name"]) == ("huggingface", "ann")
        assert account["scopes"] == ["write"]
        assert account["linked_at"] > 0
        assert (await client.get("/api/accounts")).json()["data"] == [account]
        assert (await client.get(PATH)).json()["data"] == account
        assert (await client.get(PATH, params={"check": True})).json()["data"] == account
    assert await gateway.accounts.token("alice", HF) == token
    assert await gateway.log.head() == head, "an account is no fact"


async def test_what_a_token_allows_is_said(gateway: Linked) -> None:
    rights = ("repo.write", "repo.content.read")
    async with gateway.http() as client:
        await gateway.link(client, "ann", role="read")
        assert (await client.get(PATH)).json()["data"]["scopes"] == ["read"]
        await gateway.link(client, "ann", role="fineGrained", permissions=rights)
        assert (await client.get(PATH)).json()["data"]["scopes"] == sorted(rights)


async def test_a_token_is_shown_nowhere(gateway: Linked, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good, wrong = gateway.hub.account("ann"), "hf_wrongwrongwrong"
    answers = []
    with structlog.testing.capture_logs() as lines:
        async with gateway.http() as client:
            for token in (good, wrong):
                answers.append(await client.put(PATH, json={"token": token}))
                answers.append(await client.put(PATH, json={"token": token, "more": 1}))
                answers.append(await client.put(PATH, content=f'{{"token": "{token}"'))
            answers.append(await client.get(PATH, params={"check": True}))
            answers.append(await client.get("/api/accounts"))
    assert [one.status_code for one in answers] == [200, 400, 400, 400, 400, 400, 200, 200]
    assert [line for line in lines if line["event"] == "account_linked"]
    stored = await Bucket(gateway.bus, CREDENTIAL_BUCKETS[HF]).get("alice")
    assert stored is not None
    said = [one.text + repr(one.headers) for one in answers]
    for token in (good, wrong):
        texts = [*said, repr(lines), caplog.text, repr(Token(token)), repr(stored.value)]
        assert [text for text in texts if token in text] == []


async def test_a_wrong_token_leaves_the_one_before(gateway: Linked) -> None:
    async with gateway.http() as client:
        good = await gateway.link(client, "ann")
        refused = error_of(await client.put(PATH, json={"token": "hf_wrong"}), 400)
        assert (refused.reason, "metamcp link huggingface" in refused.message) == (
            "bad_request",
            True,
        )
        assert (await client.get(PATH)).json()["data"]["name"] == "ann"
    assert await gateway.accounts.token("alice", HF) == good


async def test_linking_again_replaces_the_token(gateway: Linked) -> None:
    async with gateway.http() as client:
        await gateway.link(client, "ann")
        second = await gateway.link(client, "ann-at-work", role="read")
        (account,) = (await client.get("/api/accounts")).json()["data"]
    assert (account["name"], account["scopes"]) == ("ann-at-work", ["read"])
    assert await gateway.accounts.token("alice", HF) == second


async def test_an_account_is_unlinked_once(gateway: Linked) -> None:
    async with gateway.http() as client:
        await gateway.link(client, "ann")
        gone = await client.delete(PATH)
        assert gone.json()["data"] == {"provider": "huggingface", "linked": True}
        again = await client.delete(PATH)
        assert (again.status_code, again.json()["data"]["linked"]) == (200, False)
        missing = error_of(await client.get(PATH), 404)
        assert "`metamcp link huggingface`" in missing.message
        assert error_of(await client.get(PATH, params={"check": True}), 404).message
        assert (await client.get("/api/accounts")).json()["data"] == []
        await gateway.link(client, "ann")
        assert (await client.get(PATH)).status_code == 200
    assert await gateway.accounts.linked(HF)


async def test_a_revoked_token_is_noticed_by_a_check(gateway: Linked) -> None:
    async with gateway.http() as client:
        token = await gateway.link(client, "ann")
        gateway.hub.revoke(token)
        assert (await client.get(PATH)).status_code == 200, "what is stored says nothing of it"
        refused = error_of(await client.get(PATH, params={"check": True}), 400)
        assert "metamcp link huggingface" in refused.message
        assert error_of(await client.get("/api/spaces"), 403).reason == "forbidden"


async def test_others_see_nothing_of_it(gateway: Linked) -> None:
    async with gateway.http() as alice:
        token = await gateway.link(alice, "ann")
        for other in ("bob-token", "admin-token"):
            async with gateway.http(other) as client:
                assert (await client.get("/api/accounts")).json()["data"] == []
                assert error_of(await client.get(PATH), 404).reason == "not_found"
                assert (await client.delete(PATH)).json()["data"]["linked"] is False
        async with gateway.http("bob-token") as bob:
            await gateway.link(bob, "bob")
            await bob.delete(PATH)
        assert (await alice.get(PATH)).json()["data"]["name"] == "ann"
    assert await gateway.accounts.token("alice", HF) == token


async def test_strangers_are_asked_who_they_are(gateway: Linked) -> None:
    async with gateway.http(None) as client:
        for method, path in (("GET", ""), ("GET", "/github"), ("PUT", "/github")):
            asked = await client.request(method, f"/api/accounts{path}", json={"token": "x"})
            assert error_of(asked, 401).reason == "unauthorized"
        assert error_of(await client.delete(AT_GITHUB), 401).reason == "unauthorized"
    assert gateway.hub.requests == []


async def test_providers_that_do_not_exist(gateway: Linked) -> None:
    async with gateway.http() as client:
        for method in ("GET", "PUT", "DELETE"):
            asked = await client.request(method, "/api/accounts/gitlab", json={"token": "x"})
            missing = error_of(asked, 404)
            assert "huggingface, github" in missing.message, method


async def test_bodies_that_hold_no_token(gateway: Linked) -> None:
    async with gateway.http() as client:
        for path, body in itertools.product((PATH, AT_GITHUB), BAD):
            refused = error_of(await client.put(path, content=body), 400)
            assert (refused.reason, len(refused.message) < 300) == ("bad_request", True), body
    assert gateway.hub.requests == []


async def test_the_longest_token_is_asked_about(gateway: Linked) -> None:
    async with gateway.http() as client:
        assert error_of(await client.put(PATH, json={"token": "x" * LONGEST_TOKEN}), 400).message
        assert gateway.asked("GET", "whoami") == 1
        huge = await client.put(PATH, json={"token": "x" * 2_000_000})
        assert error_of(huge, 413).reason == "too_large"


async def test_the_hub_is_away(gateway: Linked) -> None:
    async with gateway.http() as client:
        token = await gateway.link(client, "ann")
        gateway.hub.fail("whoami", status=500, times=1)
        assert (await client.put(PATH, json={"token": token})).status_code == 200, "tried again"
        gateway.hub.down = True
        away = await client.put(PATH, json={"token": gateway.hub.account("ben")})
        assert "can't be reached" in error_of(away, 503).message
        assert away.headers["retry-after"]
        assert error_of(await client.get(PATH, params={"check": True}), 503).message
        assert (await client.get(PATH)).json()["data"]["name"] == "ann"
        assert (await client.delete(PATH)).json()["data"]["linked"] is True
    assert await gateway.accounts.account("alice", HF) is None


async def test_a_token_under_another_master_key(gateway: Linked, tmp_path: Path) -> None:
    other = KeyFile(tmp_path / "other.key")
    other.ensure()
    await Accounts(gateway.bus, other).link("alice", HF, "ann", "hf_x")
    async with gateway.http() as client:
        assert (await client.get(PATH)).json()["data"]["name"] == "ann", "no key is needed"
        for path in (f"{PATH}?check=true", "/api/spaces"):
            assert "link the account again" in error_of(await client.get(path), 503).message
        await gateway.link(client, "ann")
        assert (await client.get(PATH, params={"check": True})).status_code == 200


async def test_spaces_are_looked_for_and_nobody_waits(
    gateway: Linked, fresh_nats: NatsServer
) -> None:
    async with registry_of(gateway, fresh_nats) as registry, gateway.http() as client:
        # The registry has not answered when the gateway does.
        await gateway.link(client, "ann")
        await registry.until(1)
        await gateway.link(client, "ann")
        await registry.until(2)
        assert (await client.delete(PATH)).json()["data"]["linked"] is True
        await registry.until(3)
        assert (await client.delete(PATH)).json()["data"]["linked"] is False
        async with gateway.http("bob-token") as bob:
            await gateway.link(bob, "bob")
        await registry.until(4)
    assert registry.users == ["alice", "alice", "alice", "bob"]


async def test_without_a_registry_accounts_are_linked_all_the_same(
    gateway: Linked, fresh_nats: NatsServer
) -> None:
    async with registry_of(gateway, fresh_nats) as registry:
        registry.go.set()
    async with gateway.http() as client:
        await gateway.link(client, "ann")
        assert (await client.delete(PATH)).json()["data"]["linked"] is True


async def test_github_accounts(fresh_nats: NatsServer, tmp_path: Path) -> None:
    ann = answer({"login": "ann"}, X_OAuth_Scopes="repo, gist")
    faults = [answer({}, 500)] * 3 + [cut()] * 3
    script: list[Any] = [ann, answer({}, 401), *faults, ann]
    async with (
        serving(*script) as github,
        linked_world(fresh_nats, tmp_path, github_url=github.url) as gateway,
        registry_of(gateway, fresh_nats) as registry,
        gateway.http() as client,
    ):
        linked = (await client.put(AT_GITHUB, json={"token": "ghp_good"})).json()["data"]
        assert (linked["name"], linked["scopes"]) == ("ann", ["repo", "gist"])
        for status, words in ((400, "does not accept"), (503, "500"), (503, "can't be reached")):
            refused = await client.put(AT_GITHUB, json={"token": "ghp_other"})
            assert words in error_of(refused, status).message
            assert "ghp_" not in refused.text
        assert (await client.get(AT_GITHUB, params={"check": True})).json()["data"] == linked
        assert await gateway.accounts.token("alice", GITHUB) == "ghp_good"
        assert (await client.get("/api/accounts")).json()["data"] == [linked]
        assert error_of(await client.get(PATH), 404).message
        await gateway.link(client, "ann")
        assert len((await client.get("/api/accounts")).json()["data"]) == 2
        assert (await client.delete(AT_GITHUB)).json()["data"]["linked"] is True
        assert (await client.get(PATH)).status_code == 200
        # Only what has to do with Spaces is a reason to look for them.
        await registry.until(1)
    assert registry.users == ["alice"]
    sent = [seen.headers["Authorization"] for seen in github.seen]
    assert sent == ["Bearer ghp_good", *["Bearer ghp_other"] * 7, "Bearer ghp_good"]
