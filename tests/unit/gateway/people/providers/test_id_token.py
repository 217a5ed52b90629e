"""ID tokens that are not believed, each by a sign-in of its own."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest

from services.gateway.people.providers import idtoken, openid
from tests.support.oidc import CLIENT, SECRET, OidcServer, rsa_key
from tests.unit.gateway.people.providers.signing import NAME, Signing, browser, refused


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none")


def shared(claims: dict[str, Any]) -> str:
    """As if the client's secret were the key."""
    return jwt.encode(claims, SECRET * 8, "HS256", headers={"kid": "one"})


def public_as_secret(claims: dict[str, Any]) -> str:
    """Signed with HMAC, and the public key as its secret."""
    head = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    public = json.dumps(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key().public_key()))
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
        for one in (head, claims)
    ]
    mark = hashlib.sha256(public.encode()).digest()
    return ".".join([*parts, base64.urlsafe_b64encode(mark).rstrip(b"=").decode()])


def foreign(claims: dict[str, Any]) -> str:
    """Signed with a key that is not the provider's, under the name of one that is."""
    return jwt.encode(claims, rsa_key(1), "RS256", headers={"kid": "one"})


def brought(claims: dict[str, Any]) -> str:
    """The same, and the key comes with it."""
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(1).public_key()))
    return jwt.encode(claims, rsa_key(1), "RS256", headers={"kid": "one", "jwk": key})


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (unsigned, "signed with"),
        (shared, "signed with"),
        (public_as_secret, "signed with"),
        (foreign, "InvalidSignature"),
        (brought, "InvalidSignature"),
        (lambda claims: "x.y.z", "DecodeError"),
        (lambda claims: "", "DecodeError"),
        (lambda claims: "a" * 20_000, "too long"),
    ],
)
async def test_an_id_token_that_is_not_signed_by_the_provider(
    gateway: Signing, company: OidcServer, sign: Any, words: str
) -> None:
    company.sign = sign
    async with browser(gateway) as ann:
        text = await refused(gateway, await ann.away(NAME), ann, "bad_id_token", 403)
    assert words in text


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "other"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"iss": "https://evil.example"}, "InvalidIssuer"),
        ({"iss": None}, "MissingRequiredClaim"),
        ({"aud": "another client"}, "InvalidAudience"),
        ({"aud": None}, "MissingRequiredClaim"),
        ({"aud": [CLIENT, "another"]}, "azp"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"exp": 1_000_000_000}, "ExpiredSignature"),
        ({"exp": None}, "MissingRequiredClaim"),
        ({"iat": 1_000_000_000}, "iat"),
        ({"iat": 9_000_000_000, "exp": 9_000_000_100}, "ImmatureSignature"),
        ({"iat": None}, "MissingRequiredClaim"),
        ({"nbf": 9_000_000_000}, "ImmatureSignature"),
        ({"sub": None}, "MissingRequiredClaim"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": 7}, "InvalidSubject"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
    ],
)
async def test_an_id_token_that_says_something_wrong(
    gateway: Signing, company: OidcServer, claims: dict[str, Any], words: str
) -> None:
    company.claims = claims
    async with browser(gateway) as ann:
        text = await refused(gateway, await ann.away(NAME), ann, "bad_id_token", 403)
    assert words in text


async def test_an_id_token_for_several_that_says_it_is_for_us(
    gateway: Signing, company: OidcServer
) -> None:
    company.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    async with browser(gateway) as ann:
        assert (await ann.sign_in(NAME)).status_code == 303


async def test_userinfo_of_somebody_else(gateway: Signing, company: OidcServer) -> None:
    company.shown = {"sub": "id-ben"}
    async with browser(gateway) as ann:
        await refused(gateway, await ann.away(NAME), ann, "wrong_subject", 403)


async def test_a_new_key_is_looked_for_and_an_old_one_is_gone(
    gateway: Signing, company: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(gateway) as ann:
        await ann.sign_in(NAME)
        company.keys = {"two": rsa_key(1)}
        company.sign = lambda claims: company.signed(claims, "two")
        ann.client.cookies.delete("metamcp")
        # Not at once: whoever makes up key ids would have us ask for each.
        await refused(gateway, await ann.away(NAME), ann, "bad_id_token", 403)
        monkeypatch.setattr(openid, "KEYS_AGAIN_S", 0.0)
        assert (await ann.sign_in(NAME)).status_code == 303
        company.sign = lambda claims: jwt.encode(claims, rsa_key(), "RS256", {"kid": "one"})
        ann.client.cookies.delete("metamcp")
        await refused(gateway, await ann.away(NAME), ann, "bad_id_token", 403)


async def test_a_key_that_is_too_short(gateway: Signing, company: OidcServer) -> None:
    company.keys = {"one": rsa_key(7, 1024)}
    company.sign = lambda claims: jwt.encode(claims, rsa_key(7, 1024), "RS256", {"kid": "one"})
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        async with browser(gateway) as ann:
            text = await refused(gateway, await ann.away(NAME), ann, "bad_id_token", 403)
    assert "1024 bits" in text


def test_no_algorithm_with_a_shared_secret_is_on_the_list() -> None:
    assert not {one for one in idtoken.ALGORITHMS if one.startswith("HS") or one == "none"}
