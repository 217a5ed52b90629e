"""The stand-ins of providers speak the protocol: a foreign client signs in with them."""

from __future__ import annotations

import time

import httpx
import jwt
import pytest
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt as foreign_jwt
from joserfc.jwk import KeySet

from tests.support import github_sign_in, oidc
from tests.support.github_sign_in import GitHubOAuth
from tests.support.oidc import OidcServer

BACK = "https://client.example/back"
VERIFIER = "v" * 64


async def consented(client: AsyncOAuth2Client, url: str) -> str:
    answer = await client.request("GET", url, withhold_token=True, follow_redirects=False)
    assert answer.status_code == 302
    return str(answer.headers["location"])


@pytest.mark.parametrize("kind", ["company", "hub"])
async def test_authlib_signs_in_with_the_openid_provider(
    request: pytest.FixtureRequest, kind: str, company: OidcServer, hub: OidcServer
) -> None:
    provider = company if kind == "company" else hub
    async with httpx.AsyncClient(trust_env=False) as plain:
        found = await plain.get(f"{provider.issuer}/.well-known/openid-configuration")
        keys = KeySet.import_key_set((await plain.get(found.json()["jwks_uri"])).json())
    metadata = OpenIDProviderMetadata(found.json())
    # Its other checks want https.
    metadata.validate_response_types_supported()
    metadata.validate_subject_types_supported()
    metadata.validate_id_token_signing_alg_values_supported()
    async with AsyncOAuth2Client(
        oidc.CLIENT,
        oidc.SECRET,
        scope="openid profile email",
        redirect_uri=BACK,
        code_challenge_method="S256",
        trust_env=False,
    ) as client:
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="n-1"
        )
        back = await consented(client, url)
        token = await client.fetch_token(
            metadata["token_endpoint"],
            authorization_response=back,
            state=state,
            code_verifier=VERIFIER,
        )
        decoded = foreign_jwt.decode(token["id_token"], keys)
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "values": [provider.issuer]},
                "aud": {"essential": True, "value": oidc.CLIENT},
            },
            {"nonce": "n-1", "client_id": oidc.CLIENT, "access_token": token["access_token"]},
        )
        claims.validate(now=int(time.time()))
        who = await client.get(metadata["userinfo_endpoint"])
        assert who.json()["sub"] == claims["sub"] == provider.who
        fresh = await client.refresh_token(metadata["token_endpoint"], token["refresh_token"])
        assert fresh["access_token"] != token["access_token"]


async def test_authlib_is_refused_where_it_has_to_be(company: OidcServer) -> None:
    authorize, token = (f"{company.issuer}/{name}" for name in ("authorize", "token"))
    for secret, verifier in (("wrong", VERIFIER), (oidc.SECRET, "w" * 64)):
        async with AsyncOAuth2Client(
            *(oidc.CLIENT, secret),
            redirect_uri=BACK,
            code_challenge_method="S256",
            trust_env=False,
        ) as client:
            url, state = client.create_authorization_url(authorize, code_verifier=VERIFIER)
            back = await consented(client, url)
            with pytest.raises(AuthlibBaseError):
                await client.fetch_token(
                    token, authorization_response=back, state=state, code_verifier=verifier
                )


async def test_authlib_signs_in_with_github(github: GitHubOAuth) -> None:
    async with AsyncOAuth2Client(
        github_sign_in.CLIENT,
        github_sign_in.SECRET,
        scope="repo user:email",
        redirect_uri=BACK,
        token_endpoint_auth_method="client_secret_post",
        code_challenge_method="S256",
        trust_env=False,
    ) as client:
        url, state = client.create_authorization_url(
            f"{github.url}/login/oauth/authorize", code_verifier=VERIFIER
        )
        back = await consented(client, url)
        await client.fetch_token(
            f"{github.url}/login/oauth/access_token",
            authorization_response=back,
            state=state,
            code_verifier=VERIFIER,
            headers={
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        assert (await client.get(f"{github.url}/user")).json()["login"] == "Ann-Example"


def test_the_keys_of_the_stand_in_are_strong_enough() -> None:
    assert oidc.rsa_key().key_size == 2048
    assert "RS256" in jwt.algorithms.get_default_algorithms()
