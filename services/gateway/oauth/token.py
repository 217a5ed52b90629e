"""Where programs ask: for tokens, for their end, and to be registered."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec

from contracts.scopes import EVERY
from services.gateway.oauth import rules, signed, web
from services.gateway.oauth.clients import ClientMetadata, Clients
from services.gateway.oauth.grants import Grants, OAuthTokens
from services.gateway.oauth.keys import SharedKeys
from services.gateway.oauth.places import OAuthPlaces
from services.gateway.oauth.rules import OAuthError
from services.gateway.oauth.signed import AccessClaims
from services.gateway.oauth.web import WebAnswer, WebRequest
from services.gateway.people.ports import People
from services.gateway.people.records import OAuthClient
from services.gateway.people.trail import Trail

BASIC = (b"www-authenticate", b'Basic realm="metamcp"')


class Tokening(NamedTuple):
    """The endpoints of programs. Handlers raise OAuthError and StoreError."""

    clients: Clients
    grants: Grants
    keys: SharedKeys
    people: People
    trail: Trail

    async def give(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`POST /oauth/token`."""
        form = request.form()
        kind = _needed(form, "grant_type")
        client = await self._client(request, form)
        rules.check_resource(form.get("resource", ()), at.resource)
        match kind:
            case "authorization_code":
                code, verifier = _needed(form, "code"), _needed(form, "code_verifier")
                redirect = rules.first(form, "redirect_uri")
                given = await self.grants.exchange(client, code, redirect, verifier, at)
                await self.clients.used(client, time.time())
            case "refresh_token":
                shown, scope = _needed(form, "refresh_token"), rules.first(form, "scope")
                given = await self.grants.refresh(client, shown, scope, at)
                await self.clients.used(client, time.time())
            case "client_credentials":
                given = await self._as_service(client, rules.first(form, "scope"), at)
            case _:
                text = f"{kind[:60]!r}: see grant_types_supported in the metadata"
                raise OAuthError("unsupported_grant_type", text)
        told = {
            "access_token": given.access,
            "token_type": "Bearer",
            "expires_in": signed.ACCESS_S,
            "scope": " ".join(given.scopes),
        }
        refresh = {} if given.refresh is None else {"refresh_token": given.refresh}
        return web.json(200, told | refresh)

    async def revoke(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`POST /oauth/revoke` (RFC 7009). Whatever is not there is over already."""
        form = request.form()
        token = _needed(form, "token")
        client = await self._client(request, form)
        key = await self.keys.get()
        if (shown := signed.read_refresh(key, token)) is not None:
            id_ = shown.grant
        else:
            claims = signed.read(key, at, token)
            id_ = "" if claims is None else claims.gid
        grant = self.grants.get(id_)
        if grant is not None and grant.client == client.id:
            await self.grants.end(id_)
            self.trail.note(
                "token.revoked",
                user=grant.user,
                asked_by=f"client:{client.id}",
                subject=id_,
                address=request.address,
                method="oauth",
                request_id=request.request_id,
            )
        return web.json(200, {})

    async def register(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        """`POST /oauth/register` (RFC 7591)."""
        try:
            metadata = msgspec.json.decode(request.body, type=ClientMetadata)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise OAuthError("invalid_client_metadata", f"the body does not fit: {error}") from None
        client, secret = await self.clients.register(metadata, request.address, time.time())
        told = {
            "client_id": client.id,
            "client_id_issued_at": int(client.created),
            "client_name": client.name,
            "redirect_uris": client.redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": metadata.token_endpoint_auth_method
            or "client_secret_basic",
        }
        if scopes := sorted(EVERY & set((metadata.scope or "").split())):
            told["scope"] = " ".join(scopes)
        if secret is not None:
            # It ends with the registration, which each use prolongs.
            told |= {"client_secret": secret, "client_secret_expires_at": 0}
        return web.json(201, told)

    async def _client(self, request: WebRequest, form: dict[str, list[str]]) -> OAuthClient:
        id_, secret = web.credentials(request.headers, form)
        return await self.clients.authenticated(id_, secret)

    async def _as_service(
        self, client: OAuthClient, scope: str | None, at: OAuthPlaces
    ) -> OAuthTokens:
        """Let a client act as the service it belongs to."""
        if not client.secret or not client.user:
            text = "this client acts for people only: an administrator can add one for a service"
            raise OAuthError("unauthorized_client", text)
        scopes = rules.scopes_of(scope, client.scopes)
        user = self.people.get(client.user)
        if user is None:
            raise OAuthError("invalid_grant", "the client's service can't come in any more")
        now = time.time()
        claims = AccessClaims(
            sub=user.name,
            client_id=client.id,
            scope=" ".join(scopes),
            gid=client.id,
            epoch=user.epoch,
            exp=int(now) + signed.ACCESS_S,
        )
        return OAuthTokens(signed.sign(await self.keys.get(), at, claims, now), scopes)


def _needed(form: dict[str, list[str]], name: str) -> str:
    value = rules.first(form, name)
    if value is None:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value
