"""Which tokens are good: refresh tokens and their families, and access tokens of all kinds."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.bus.bus import Bus
from services.gateway.oauth import rules, signed
from services.gateway.people.records import OAuthGrant
from services.gateway.settings import Settings
from services.process.files import write_private
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.support.oauth_browser import Browser, HandMade, query
from tests.unit.gateway.oauth.acting import followed, oauth_of, people_of, person
from tests.unit.gateway.oauth.test_flow import comes_in, refused
from tests.unit.gateway.world import World, world

PUBLIC = "https://tasks.example"
BEHIND = Settings(port=0, rate_limit_requests=0, public_url=PUBLIC)


@pytest.fixture
async def two(tmp_path: Path, bus: Bus, key_file: Path) -> AsyncIterator[tuple[World, World]]:
    """Two gateways of one installation."""
    (tmp_path / "2").mkdir()
    async with (
        world(tmp_path, bus, BEHIND, key_file=key_file) as one,
        world(tmp_path / "2", bus, BEHIND, key_file=key_file) as other,
        followed(one),
        followed(other),
    ):
        yield one, other


async def test_a_refresh_token_is_good_once_and_its_successor_then(
    one: World, browser: Browser, client: HandMade
) -> None:
    shown = [await client.granted(browser)]
    for _ in range(3):
        answer = await client.refreshes(shown[-1]["refresh_token"])
        assert answer.status_code == 200
        shown.append(answer.json())
    assert len({one_["refresh_token"] for one_ in shown}) == 4
    assert (await comes_in(one, shown[-1]["access_token"])).status_code == 200


async def test_a_lost_answer_gives_the_same_successor_until_that_is_used(
    one: World, browser: Browser, client: HandMade
) -> None:
    first = (await client.granted(browser))["refresh_token"]
    lost = [(await client.refreshes(first)).json()["refresh_token"] for _ in range(3)]
    assert len(set(lost)) == 1
    used = await client.refreshes(lost[0])
    assert used.status_code == 200
    assert "used before" in refused(await client.refreshes(first), "invalid_grant")
    refused(await client.refreshes(used.json()["refresh_token"]), "invalid_grant")
    assert (await comes_in(one, used.json()["access_token"])).status_code == 401
    events = one.site.parts.trail.waiting
    assert ("refresh", "refused") in {(event.kind, event.outcome) for event in events}


async def test_a_lost_answer_is_given_again_for_a_minute(
    browser: Browser, client: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await client.granted(browser))["refresh_token"]
    following = (await client.refreshes(first)).json()["refresh_token"]
    assert rules.LOST_ANSWER_S == 60
    monkeypatch.setattr(rules, "LOST_ANSWER_S", -1.0)
    refused(await client.refreshes(first), "invalid_grant")
    refused(await client.refreshes(following), "invalid_grant")


async def test_many_who_refresh_at_once_at_two_gateways_get_one_successor(
    two: tuple[World, World],
) -> None:
    one, other = two
    async with person(one) as browser, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        client = HandMade(http, one.url, PUBLIC)
        await client.register()
        there = HandMade(http, other.url, PUBLIC)
        there.id = client.id
        token = (await client.granted(browser))["refresh_token"]
        for _ in range(3):
            answers = await asyncio.gather(
                *(side.refreshes(token) for side in (client, there) for _ in range(4))
            )
            assert {answer.status_code for answer in answers} == {200}
            (token,) = {answer.json()["refresh_token"] for answer in answers}
        (held,) = oauth_of(one).grants.of_user(browser.user)
        assert held[1].value.number == 4


async def test_what_one_gateway_gives_out_or_ends_the_other_knows(
    two: tuple[World, World],
) -> None:
    one, other = two
    async with person(one) as browser, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        client, there = HandMade(http, one.url, PUBLIC), HandMade(http, other.url, PUBLIC)
        await client.register()
        there.id = client.id
        back = query(await browser.visit(client.asks()))
        answer = await there.fetches(back["code"])
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        assert (await comes_in(one, tokens["access_token"])).status_code == 200
        assert (await comes_in(other, tokens["access_token"])).status_code == 200
        refused(await client.fetches(back["code"]), "invalid_grant")
        assert (await comes_in(one, tokens["access_token"])).status_code == 401
        async with asyncio.timeout(30):
            while (await comes_in(other, tokens["access_token"])).status_code != 401:
                pass


async def test_a_code_shown_at_two_gateways_at_once_leaves_nobody_with_tokens(
    two: tuple[World, World],
) -> None:
    one, other = two
    async with person(one) as browser, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        client, there = HandMade(http, one.url, PUBLIC), HandMade(http, other.url, PUBLIC)
        await client.register()
        there.id = client.id
        for _ in range(3):
            code = query(await browser.visit(client.asks()))["code"]
            answers = await asyncio.gather(
                *(side.fetches(code) for side in (client, there, client, there))
            )
            assert sum(answer.status_code == 200 for answer in answers) <= 1
            await one.site.parts.state.refresh()
            assert oauth_of(one).grants.of_user(browser.user) == []


async def test_a_refresh_may_narrow_and_never_widen(
    one: World, browser: Browser, client: HandMade
) -> None:
    tokens = await client.granted(browser, scope="mcp:call tasks:read")
    token = tokens["refresh_token"]
    refused(await client.refreshes(token, scope="mcp:call admin"), "invalid_scope")
    less = (await client.refreshes(token, scope="tasks:read")).json()
    assert less["scope"] == "tasks:read"
    assert (await comes_in(one, less["access_token"])).status_code == 403
    again = (await client.refreshes(less["refresh_token"])).json()
    assert again["scope"] == "mcp:call tasks:read"


async def test_a_refresh_token_is_its_clients_and_for_our_resource(
    one: World, browser: Browser, client: HandMade
) -> None:
    token = (await client.granted(browser))["refresh_token"]
    other = HandMade(client.http, one.url)
    await other.register()
    refused(await other.refreshes(token), "invalid_grant")
    refused(await client.refreshes(token, resource="https://x.example/"), "invalid_target")
    refused(await client.refreshes(token[:-2] + "xx"), "invalid_grant")
    refused(await client.refreshes(token.replace(".1.", ".2.")), "invalid_grant")
    assert (await client.refreshes(token)).status_code == 200


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_a_client_gives_a_token_back(
    one: World, browser: Browser, client: HandMade, which: str
) -> None:
    tokens = await client.granted(browser)
    other = HandMade(client.http, one.url)
    await other.register()
    url = f"{one.url}/oauth/revoke"
    for id_ in (other.id, client.id):
        answer = await client.http.post(url, data={"token": tokens[which], "client_id": id_})
        assert answer.status_code == 200
        good = id_ == other.id
        status = (await comes_in(one, tokens["access_token"])).status_code
        assert status == (200 if good else 401)
    refused(await client.refreshes(tokens["refresh_token"]), "invalid_grant")
    answer = await client.http.post(url, data={"token": "x", "client_id": client.id})
    assert answer.status_code == 200
    refused(await client.http.post(url, data={"client_id": client.id}), "invalid_request")
    nobody = await client.http.post(url, data={"token": "x", "client_id": "nobody"})
    refused(nobody, "invalid_client", 401)


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def pem(key: Ed25519PublicKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form)


async def test_no_forged_token_is_good(one: World, browser: Browser, client: HandMade) -> None:
    good = (await client.granted(browser))["access_token"]
    key = await oauth_of(one).keys.get()
    head = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    other = Ed25519PrivateKey.generate()

    def hs256(secret: bytes) -> str:
        text = f"{part(head | {'alg': 'HS256'})}.{part(claims)}"
        made = hmac.digest(secret, text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"

    def signed_by(private: Ed25519PrivateKey, changed: dict[str, Any], **header: Any) -> str:
        body = {name: value for name, value in (claims | changed).items() if value is not None}
        return jwt.encode(body, private, algorithm="EdDSA", headers=head | header)

    head_, body, signature = good.split(".")
    forged = {
        "alg none": f"{part(head | {'alg': 'none'})}.{body}.",
        "alg none with a signature": f"{part(head | {'alg': 'none'})}.{body}.{signature}",
        "HS256 with the public key": hs256(pem(key.public)),
        "HS256 with its bytes": hs256(key.public.public_bytes_raw()),
        "another key": signed_by(other, {}),
        "a key of its own": signed_by(other, {}, jwk={"kty": "OKP"}),
        "another kid": signed_by(key.private, {}, kid="x"),
        "an ID token": signed_by(key.private, {}, typ="JWT"),
        "changed": f"{head_}.{part(claims | {'sub': 'root'})}.{signature}",
        "another issuer": signed_by(key.private, {"iss": "https://x.example"}),
        "another audience": signed_by(key.private, {"aud": "https://x.example/mcp"}),
        "no audience": signed_by(key.private, {"aud": None}),
        "expired": signed_by(key.private, {"exp": int(time.time()) - signed.SKEW_S - 1}),
        "without an end": signed_by(key.private, {"exp": None}),
        "of the future": signed_by(key.private, {"iat": int(time.time()) + 3600}),
        "another user": signed_by(key.private, {"sub": "root"}),
        "another client": signed_by(key.private, {"client_id": "x"}),
        "another grant": signed_by(key.private, {"gid": "x"}),
        "the client itself": signed_by(key.private, {"gid": client.id}),
        "another epoch": signed_by(key.private, {"epoch": 7}),
        "long": "x" * signed.LONGEST + good,
        "deep": f"{part(head)}.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.{signature}",
    }
    assert (await comes_in(one, signed_by(key.private, {}))).status_code == 200
    for why, token in forged.items():
        answer = await comes_in(one, token)
        assert answer.status_code == 401, why
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    async with one.http(None) as http:
        for where in ({"params": {"access_token": good}}, {"headers": {"Cookie": f"token={good}"}}):
            assert (await http.get("/api/tasks", **where)).status_code == 401  # type: ignore[arg-type]


async def test_a_token_of_another_deployment_is_nobodys(
    one: World,
    browser: Browser,
    client: HandMade,
    fresh_nats: NatsServer,
    tmp_path: Path,
    key_file: Path,
) -> None:
    token = (await client.granted(browser))["access_token"]
    (tmp_path / "elsewhere").mkdir()
    async with (
        fresh_nats.connected("gateway") as bus,
        world(tmp_path / "elsewhere", bus, key_file=key_file) as there,
    ):
        # Even with the same master key, address and user.
        oauth_of(there).listening(one.url)
        user = oauth_of(one).user(browser.user)
        assert user is not None
        await people_of(there).create(user, asked_by="test")
        assert (await comes_in(there, token)).status_code == 401


async def test_a_key_sealed_with_another_master_key_gives_no_tokens(
    one: World, tmp_path: Path, bus: Bus, browser: Browser, client: HandMade
) -> None:
    await client.granted(browser)
    (tmp_path / "2").mkdir()
    other = tmp_path / "other.key"
    write_private(other, b"6c" * 32)
    async with (
        world(tmp_path / "2", bus, key_file=other) as stranger,
        followed(stranger),
        stranger.http(None) as http,
    ):
        answer = await http.get("/oauth/jwks.json")
        refused(answer, "temporarily_unavailable", 503)
        assert answer.headers["retry-after"]


async def test_the_public_key_is_shown_and_fits(
    one: World, browser: Browser, client: HandMade
) -> None:
    token = (await client.granted(browser))["access_token"]
    async with one.http(None) as http:
        found = (await http.get("/oauth/jwks.json")).json()
    (only,) = found["keys"]
    assert "d" not in only
    jwt.decode(token, jwt.PyJWK(only).key, algorithms=["EdDSA"], audience=f"{one.url}/mcp")


async def test_nothing_is_kept_of_a_grant_whose_time_is_over(one: World) -> None:
    grants, user, id_ = oauth_of(one).grants, name("u"), name("g")
    brief = OAuthGrant(user=user, epoch=0, client="c", expires=time.time() + 0.1)
    assert await grants.table.put(id_, brief, 0)
    assert [found for found, _ in grants.of_user(user)] == [id_]
    never = asyncio.Event()
    async with asyncio.timeout(30):
        while user in grants._of_user:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.02)
            grants.table.forget_expired()
    assert grants.of_user(user) == []
