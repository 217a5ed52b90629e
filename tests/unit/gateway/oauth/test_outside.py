"""An authorization server of the operator's choice: whose its tokens are, and which are none."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.bus.bus import Bus
from services.gateway.oauth import outside
from services.gateway.people.records import User
from services.gateway.people.users import changed
from services.gateway.settings import Settings
from tests.support.facts import name
from tests.support.foreign_issuer import ForeignIssuer, foreign_issuer
from tests.unit.gateway.oauth.acting import followed, oauth_of, people_of
from tests.unit.gateway.oauth.test_flow import comes_in
from tests.unit.gateway.world import World, world


@pytest.fixture
async def issuer() -> AsyncIterator[ForeignIssuer]:
    async with foreign_issuer() as served:
        yield served


@contextlib.asynccontextmanager
async def trusting(
    folder: Path, bus: Bus, issuer: ForeignIssuer, **fields: Any
) -> AsyncIterator[World]:
    chosen = Settings(port=0, rate_limit_requests=0, oauth_issuer=issuer.url, **fields)
    async with world(folder, bus, chosen) as gateway, followed(gateway) as running:
        yield running


@pytest.fixture
async def one(tmp_path: Path, bus: Bus, issuer: ForeignIssuer) -> AsyncIterator[World]:
    async with trusting(tmp_path, bus, issuer) as running:
        yield running


async def linked(one: World, issuer: ForeignIssuer, **fields: Any) -> tuple[str, str]:
    """A user whose identity there is known; the answer is their name and their subject."""
    user, subject = name("u"), name("s")
    await people_of(one).create(User(name=user, **fields), asked_by="test")
    links = oauth_of(one)._doors.linked
    await links.link(issuer.url, subject, user, "x")
    return user, subject


def resource(one: World) -> str:
    return f"{one.url}/mcp"


async def test_the_metadata_names_it_and_ours_is_gone(one: World, issuer: ForeignIssuer) -> None:
    async with one.http(None) as http:
        told = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert told["authorization_servers"] == [issuer.url]
        for method, path in (
            ("GET", "/.well-known/oauth-authorization-server"),
            ("GET", "/oauth/authorize"),
            ("POST", "/oauth/token"),
            ("POST", "/oauth/register"),
        ):
            assert (await http.request(method, path)).status_code == 404
        assert (await http.get("/signin")).status_code == 200


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
async def test_its_tokens_are_of_users_who_are_known(
    one: World, issuer: ForeignIssuer, kid: str
) -> None:
    user, subject = await linked(one, issuer, roles=("admin",))
    token = issuer.token(resource(one), kid, sub=subject)
    assert (await comes_in(one, token)).status_code == 200
    principal = await one.site.authenticate(token)
    assert principal is not None
    assert (principal.user, principal.roles) == (user, frozenset())
    assert principal.scopes == frozenset({"mcp:call"})
    assert principal.asked_by == "client:editor"
    more = issuer.token([resource(one), "x"], kid, sub=subject, scope=None, scp=["admin"])  # type: ignore[arg-type]
    principal = await one.site.authenticate(more)
    assert principal is not None
    assert (principal.roles, principal.scopes) == (frozenset({"admin"}), frozenset({"admin"}))
    assert (await comes_in(one, more)).status_code == 403
    assert issuer.asked == 1
    async with one.stream(token) as stream:
        # Of admins one always stays.
        await people_of(one).create(User(name=name("a"), roles=("admin",)), asked_by="test")
        await people_of(one).change(user, changed({"disabled": True}), "test")
        assert await stream.closed() == 4401
    assert (await comes_in(one, token)).status_code == 401


async def test_whoever_is_new_is_nobody_unless_the_settings_say_so(
    one: World, issuer: ForeignIssuer
) -> None:
    assert (await comes_in(one, issuer.token(resource(one), sub=name("s")))).status_code == 401
    user, _ = await linked(one, issuer)
    assert (await comes_in(one, issuer.token(resource(one), sub=user))).status_code == 401


async def test_new_users_are_made_of_a_claim(
    tmp_path: Path, bus: Bus, issuer: ForeignIssuer
) -> None:
    fields = {"oauth_create_users": True, "oauth_user_claim": "preferred_username"}
    async with trusting(tmp_path, bus, issuer, **fields) as one:
        user, subject, audience = name("new"), name("s"), resource(one)
        token = issuer.token(audience, sub=subject, preferred_username=user)
        for _ in range(2):
            assert (await comes_in(one, token)).status_code == 200
        made = people_of(one).get(user)
        assert made is not None
        assert made.roles == ()
        renamed = issuer.token(audience, sub=subject, preferred_username=name("other"))
        principal = await one.site.authenticate(renamed)
        assert principal is not None
        assert principal.user == user, "by their id there, whatever they are called now"
        thief = issuer.token(audience, sub=name("s"), preferred_username=user)
        assert (await comes_in(one, thief)).status_code == 401, "the name is somebody's"
        for odd in ("a b", "", "x" * 65, 7, None, "-"):
            token = issuer.token(audience, sub=name("s"), preferred_username=odd)
            assert (await comes_in(one, token)).status_code == 401


async def test_what_is_none_of_its_tokens_is_nobodys(one: World, issuer: ForeignIssuer) -> None:
    _, subject = await linked(one, issuer)
    here = resource(one)
    good = issuer.token(here, sub=subject)
    assert (await comes_in(one, good)).status_code == 200
    claims = issuer.claims(here, sub=subject)
    public = jwt.PyJWK(issuer.public("rsa")).key
    assert isinstance(public, rsa.RSAPublicKey)
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stranger = rsa.generate_private_key(65537, 2048)

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def hs256(secret: bytes, kid: str) -> str:
        text = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'at+jwt'})}.{part(claims)}"
        made = hmac.digest(secret, text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"

    bad = {
        "alg none": f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(claims)}.",
        "HS256 with the public key": hs256(pem, "rsa"),
        "a key that everybody can read": hs256(b"secret", "oct"),
        "another key": jwt.encode(claims, stranger, "RS256", {"kid": "rsa", "typ": "at+jwt"}),
        "an unknown key": jwt.encode(claims, stranger, "RS256", {"kid": "x", "typ": "at+jwt"}),
        "another kind of key": jwt.encode(claims, stranger, "RS256", {"kid": "ec"}),
        "another audience": issuer.token("https://x.example/mcp", sub=subject),
        "no audience": issuer.token(here, sub=subject, aud=None),
        "another issuer": issuer.token(here, sub=subject, iss="https://x.example"),
        "expired": issuer.token(here, sub=subject, exp=int(time.time()) - 60),
        "without an end": issuer.token(here, sub=subject, exp=None),
        "not yet": issuer.token(here, sub=subject, nbf=int(time.time()) + 600),
        "without a subject": issuer.token(here, sub=None),
        "another type": jwt.encode(
            claims, issuer.private["rsa"][0], "RS256", {"kid": "rsa", "typ": "logout+jwt"}
        ),
    }
    for why, token in bad.items():
        assert (await comes_in(one, token)).status_code == 401, why


async def test_a_new_key_of_it_is_looked_for_and_not_too_often(
    tmp_path: Path, bus: Bus, issuer: ForeignIssuer
) -> None:
    async with trusting(tmp_path, bus, issuer) as one:
        found, now = oauth_of(one).outside, [1000.0]
        assert found is not None
        found._clock = lambda: now[0]
        found._fetch._clock = lambda: now[0]
        _, subject = await linked(one, issuer)
        here = resource(one)
        assert (await comes_in(one, issuer.token(here, sub=subject))).status_code == 200
        issuer.add("new", rsa.generate_private_key(65537, 2048), "RS256")
        fresh = issuer.token(here, "new", sub=subject)
        for _ in range(3):
            assert (await comes_in(one, fresh)).status_code == 401
        assert issuer.asked == 1
        now[0] += outside.LOOK_S + 1
        assert (await comes_in(one, fresh)).status_code == 200
        issuer.down = True
        now[0] += outside.KEYS_S + 1
        assert (await comes_in(one, fresh)).status_code == 200, "what is known counts"
        del issuer.private["new"]
        issuer.down = False
        now[0] += outside.LOOK_S + 1
        assert (await comes_in(one, fresh)).status_code == 401, "the key is gone there"


async def test_while_it_is_away_nobody_is_told_that_a_token_is_bad(
    one: World, issuer: ForeignIssuer
) -> None:
    _, subject = await linked(one, issuer)
    issuer.down = True
    answer = await comes_in(one, issuer.token(resource(one), sub=subject))
    assert answer.status_code == 503
    async with one.http() as alice:
        assert (await alice.get("/api/tasks")).status_code == 200, "our own tokens are good"


async def test_metadata_of_another_issuer_is_not_taken(one: World, issuer: ForeignIssuer) -> None:
    issuer.issuer = "https://x.example"
    _, subject = await linked(one, issuer)
    answer = await comes_in(one, issuer.token(resource(one), sub=subject))
    assert answer.status_code == 503


async def test_an_issuer_with_a_path_is_found_where_openid_has_it(tmp_path: Path, bus: Bus) -> None:
    async with foreign_issuer("/realms/one") as issuer, trusting(tmp_path, bus, issuer) as one:
        _, subject = await linked(one, issuer)
        token = issuer.token(resource(one), sub=subject)
        assert (await comes_in(one, token)).status_code == 200
    assert outside.metadata_addresses("https://x.example/") == (
        "https://x.example/.well-known/oauth-authorization-server",
        "https://x.example/.well-known/openid-configuration",
    )


def test_keys_that_are_no_keys_are_passed_over() -> None:
    assert outside.usable([{}, {"kty": "RSA"}, {"kty": "oct", "k": "eA"}, {"kty": 7}]) == {}
