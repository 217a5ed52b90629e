"""Clients that others have written come in with the URL alone; a person's browser does the rest."""

from __future__ import annotations

import httpx
import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)

from services.gateway.people.records import User
from tests.support.facts import name
from tests.support.oauth_browser import CALLBACK, Browser, query
from tests.unit.gateway.oauth.acting import oauth_of, people_of
from tests.unit.gateway.world import World


class Kept:
    """What a client keeps of its own."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(one: World, browser: Browser, kept: Kept, **fields: object) -> OAuthClientProvider:
    """The SDK's own, told the URL and where people come back to."""
    came: list[str] = []

    async def sends(url: str) -> None:
        came.append(await browser.visit(url))

    async def back() -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(query(came.pop()))

    metadata = OAuthClientMetadata.model_validate(
        {"client_name": "SDK", "redirect_uris": [CALLBACK]} | fields
    )
    return OAuthClientProvider(f"{one.url}/mcp", metadata, kept, sends, back)


async def tools(one: World, auth: httpx2.Auth) -> set[str]:
    """What a client sees that has nothing but this."""
    http = httpx2.AsyncClient(auth=auth, timeout=60, trust_env=False)
    async with http, Client(streamable_http_client(f"{one.url}/mcp", http_client=http)) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post", None])
async def test_the_python_sdk_comes_in_with_the_url_alone(
    one: World, browser: Browser, method: str | None
) -> None:
    kept = Kept()
    auth = provider(one, browser, kept, token_endpoint_auth_method=method)
    assert "submit_task" in await tools(one, auth)
    assert kept.tokens is not None
    assert kept.client is not None
    assert kept.tokens.scope == "mcp:call"
    assert bool(kept.client.client_secret) == (method != "none")
    assert "submit_task" in await tools(one, provider(one, browser, kept))
    assert browser.asked == 1, "it has kept its tokens"
    kept.tokens = kept.tokens.model_copy(update={"access_token": "x", "expires_in": -1})
    assert "submit_task" in await tools(one, provider(one, browser, kept))
    assert browser.asked == 1, "it has refreshed them, or was not asked again"


async def test_the_python_sdk_refreshes_and_asks_again_when_all_has_ended(
    one: World, browser: Browser
) -> None:
    kept = Kept()
    auth = provider(one, browser, kept)
    await tools(one, auth)
    assert kept.tokens is not None
    first = kept.tokens
    auth.context.token_expiry_time = 1.0
    await tools(one, auth)
    assert kept.tokens.refresh_token != first.refresh_token
    for id_, _ in oauth_of(one).grants.of_user(browser.user):
        await oauth_of(one).grants.end(id_)
    assert "submit_task" in await tools(one, auth)


async def test_the_python_sdk_asks_for_more_when_a_token_is_too_little(
    one: World, browser: Browser
) -> None:
    kept = Kept()
    auth = provider(one, browser, kept)
    await tools(one, auth)
    assert kept.tokens is not None
    http = httpx2.AsyncClient(trust_env=False)
    async with http:
        (id_, held), *_ = oauth_of(one).grants.of_user(browser.user)
        less = held.value.__class__(
            **{n: getattr(held.value, n) for n in held.value.__struct_fields__}
            | {"scopes": ("tasks:read",)}
        )
        assert await oauth_of(one).grants.table.put(id_, less, held.revision)
        auth.context.token_expiry_time = 1.0
        assert "submit_task" in await tools(one, auth)
    assert kept.tokens.scope == "mcp:call tasks:read"


async def test_a_service_comes_in_with_its_secret(one: World) -> None:
    service = name("svc")
    await people_of(one).create(User(name=service, service=True), asked_by="test")
    async with one.http("admin-token") as admin:
        made = await admin.post("/api/clients", json={"name": "nightly", "user": service})
        assert made.status_code == 201, made.text
        data = made.json()["data"]
    for method in ("client_secret_basic", "client_secret_post"):
        auth = ClientCredentialsOAuthProvider(
            f"{one.url}/mcp",
            Kept(),
            client_id=data["id"],
            client_secret=data["secret"],
            token_endpoint_auth_method=method,  # type: ignore[arg-type]
            issuer=one.url,
        )
        assert "submit_task" in await tools(one, auth)


async def test_authlib_goes_the_whole_way(one: World, browser: Browser) -> None:
    async with httpx.AsyncClient(base_url=one.url, trust_env=False) as http:
        found = (await http.get("/.well-known/oauth-authorization-server")).json()
        registered = await http.post(
            found["registration_endpoint"],
            json={"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_basic"},
        )
    client = AsyncOAuth2Client(
        registered.json()["client_id"],
        registered.json()["client_secret"],
        token_endpoint_auth_method="client_secret_basic",
        redirect_uri=CALLBACK,
        scope="mcp:call tasks:read",
        code_challenge_method="S256",
        trust_env=False,
    )
    async with client:
        verifier = "x" * 48
        url, state = client.create_authorization_url(
            found["authorization_endpoint"], code_verifier=verifier, resource=f"{one.url}/mcp"
        )
        back = await browser.visit(url)
        token = await client.fetch_token(
            found["token_endpoint"],
            authorization_response=back,
            code_verifier=verifier,
            state=state,
        )
        assert token["scope"] == "mcp:call tasks:read"
        assert (await client.get(f"{one.url}/api/tasks")).status_code == 200
        again = await client.refresh_token(found["token_endpoint"])
        assert again["refresh_token"] != token["refresh_token"]
        ended = await client.revoke_token(
            found["revocation_endpoint"], again["refresh_token"], "refresh_token"
        )
        assert ended.status_code == 200
        assert (await client.get(f"{one.url}/api/tasks")).status_code == 401


async def test_the_sdk_reads_the_metadata(one: World) -> None:
    async with one.http(None) as http:
        for path in ("oauth-protected-resource", "oauth-protected-resource/mcp"):
            answer = await http.get(f"/.well-known/{path}")
            resource = ProtectedResourceMetadata.model_validate_json(answer.content)
            assert str(resource.resource) == f"{one.url}/mcp"
            assert [str(server) for server in resource.authorization_servers] == [one.url]
        for path in ("oauth-authorization-server", "openid-configuration"):
            answer = await http.get(f"/.well-known/{path}")
            server = OAuthMetadata.model_validate_json(answer.content)
            assert str(server.issuer) == one.url
            assert server.code_challenge_methods_supported == ["S256"]
            assert server.client_id_metadata_document_supported
            assert server.authorization_response_iss_parameter_supported
