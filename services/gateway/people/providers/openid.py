"""Sign-in with an OpenID Connect provider, found by its issuer; Hugging Face is one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx

from contracts.account import Provider
from services.gateway.people.providers import idtoken, pkce
from services.gateway.people.providers.asking import Asking, Said
from services.gateway.people.providers.base import NotSignedIn, ProviderToken, Sent, Stranger
from services.gateway.people.providers.github import mixed_up, read_token
from services.gateway.people.providers.idtoken import BadIdToken, Expected, NoSuchKey
from services.gateway.people.providers.words import refused
from services.process import telemetry

KNOWN_S = 3600.0
"""How long what a provider says of itself, and its keys, are believed."""
KEYS_AGAIN_S = 30.0
"""Least time between two looks for a newer key."""
WELL_KNOWN = "/.well-known/openid-configuration"

log = telemetry.get_logger()


class Metadata(NamedTuple):
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    authorize: str
    token: str
    keys: str
    userinfo: str
    revoke: str
    in_header: bool
    """Whether it takes the client's secret by HTTP Basic."""
    names_itself: bool
    """Whether its answers have `iss` (RFC 9207)."""
    algorithms: frozenset[str]


class OpenIdSignIn:
    """See `SignInProvider`."""

    def __init__(
        self,
        name: str,
        issuer: str,
        client_id: str,
        secret: str,
        scopes: tuple[str, ...],
        *,
        redirect: str = "",
        title: str = "",
        account: Provider | None = None,
    ) -> None:
        """`account`: as what its tokens are kept."""
        self.name, self.title = name, title or name
        self.authority = issuer
        self.recorded = account.value if account is not None else issuer
        self.redirect = redirect
        self.account = account
        self._client_id, self._secret = client_id, secret
        self._scopes = scopes
        self._asking = Asking(self.title)
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    async def address(self) -> str:
        """See `SignInProvider`."""
        return (await self.metadata()).authorize

    async def begin(self, sent: Sent) -> str:
        """See `SignInProvider`."""
        known = await self.metadata()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": sent.redirect,
            "scope": " ".join(self._scopes),
            "state": sent.state,
            "nonce": sent.nonce,
            "code_challenge": pkce.challenge(sent.verifier),
            "code_challenge_method": "S256",
        }
        return f"{known.authorize}{'&' if '?' in known.authorize else '?'}{urlencode(query)}"

    async def check_issuer(self, issuer: str | None) -> None:
        """See `SignInProvider`."""
        if issuer is None and not (await self.metadata()).names_itself:
            return
        if issuer != self.authority:
            raise mixed_up(self.title)

    async def finish(self, code: str, sent: Sent) -> Stranger:
        """See `SignInProvider`."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": sent.redirect}
        said = await self._token(form | {"code_verifier": sent.verifier})
        token = read_token(said, self._asking)
        try:
            claims = await self._claims(said.text("id_token"), sent.nonce)
            algorithm = idtoken.algorithm_of(said.text("id_token"))
            idtoken.check_access(claims, token.access, algorithm)
        except BadIdToken as error:
            log.warning("id_token_refused", provider=self.name, error=str(error))
            text = f"What {self.title} says of you can't be believed: {error}. Sign in again."
            raise NotSignedIn("bad_id_token", text) from None
        more = await self._userinfo(token.access, claims["sub"])
        kept = token if self.account is not None else None
        return stranger(self.name, {**claims, **more}, kept)

    async def renew(self, token: ProviderToken) -> ProviderToken:
        """See `SignInProvider`."""
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh}
        found = read_token(await self._token(form), self._asking)
        # A provider that does not rotate says nothing of the refresh token.
        return found if found.refresh else found._replace(refresh=token.refresh)

    async def revoke(self, access: str) -> bool:
        """See `SignInProvider`."""
        known = await self.metadata()
        if not known.revoke:
            return False
        form = {"token": access, "token_type_hint": "access_token"}
        said = await self._posted(known.revoke, form, known)
        if said.status != 200:
            raise self._asking.away(f"answer {said.status}")
        return True

    async def metadata(self) -> Metadata:
        """What the provider says of itself, asked once an hour."""
        now = time.monotonic()
        if self._metadata is None or now >= self._metadata[0]:
            said = await self._asking.ask("GET", self.authority.rstrip("/") + WELL_KNOWN)
            self._metadata = now + KNOWN_S, self._read(said)
        return self._metadata[1]

    def _read(self, said: Said) -> Metadata:
        if said.status != 200 or said.text("issuer") != self.authority:
            raise self._asking.away("what it says of itself is not of this issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not self._is_address(said.text(name)):
                raise self._asking.away(f"it names no usable {name}")
        userinfo, revoke = said.text("userinfo_endpoint"), said.text("revocation_endpoint")
        ways = said.fields.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        made_with = said.fields.get("id_token_signing_alg_values_supported", ["RS256"])
        return Metadata(
            authorize=said.text("authorization_endpoint"),
            token=said.text("token_endpoint"),
            keys=said.text("jwks_uri"),
            userinfo=userinfo if self._is_address(userinfo) else "",
            revoke=revoke if self._is_address(revoke) else "",
            in_header=isinstance(ways, list) and "client_secret_basic" in ways,
            names_itself=said.fields.get("authorization_response_iss_parameter_supported") is True,
            algorithms=frozenset(one for one in idtoken.ALGORITHMS if one in made_with)
            if isinstance(made_with, list)
            else frozenset(),
        )

    def _is_address(self, url: str) -> bool:
        """A provider that speaks https never leads away from it."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        safe = parts.scheme == "https" or self.authority.startswith("http://")
        return bool(parts.hostname) and parts.scheme in ("https", "http") and safe

    async def _token(self, form: dict[str, str]) -> Said:
        known = await self.metadata()
        said = await self._posted(known.token, form, known)
        if error := said.text("error"):
            raise refused(error, self.title)
        return said

    async def _posted(self, url: str, form: dict[str, str], known: Metadata) -> Said:
        if self._secret and known.in_header:
            # RFC 6749, 2.3.1: both are written as in a form first.
            pair = quote(self._client_id, safe=""), quote(self._secret, safe="")
            return await self._asking.ask("POST", url, data=form, auth=httpx.BasicAuth(*pair))
        form = form | {"client_id": self._client_id}
        if self._secret:
            form["client_secret"] = self._secret
        return await self._asking.ask("POST", url, data=form)

    async def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        known = await self.metadata()
        expected = Expected(self.authority, self._client_id, nonce, known.algorithms)
        try:
            return idtoken.check(token, await self._jwks(known, KNOWN_S), expected)
        except NoSuchKey:
            return idtoken.check(token, await self._jwks(known, KEYS_AGAIN_S), expected)

    async def _jwks(self, known: Metadata, age_s: float) -> list[dict[str, Any]]:
        """The provider's keys, no older than that."""
        now = time.monotonic()
        if self._keys is None or now >= self._keys[0] + age_s:
            said = await self._asking.ask("GET", known.keys)
            found = said.fields.get("keys")
            if said.status != 200 or not isinstance(found, list):
                raise self._asking.away("it shows no keys")
            self._keys = now, [one for one in found if isinstance(one, dict)]
        return self._keys[1]

    async def _userinfo(self, access: str, subject: str) -> dict[str, Any]:
        known = await self.metadata()
        if not known.userinfo:
            return {}
        headers = {"Authorization": f"Bearer {access}"}
        said = await self._asking.ask("GET", known.userinfo, headers=headers)
        if said.status != 200:
            raise self._asking.away(f"answer {said.status} of userinfo")
        # Core 5.3.2: it may be somebody else's.
        if said.text("sub") != subject:
            text = f"{self.title} names two different people: nothing was changed. Sign in again."
            raise NotSignedIn("wrong_subject", text)
        return said.fields


def stranger(name: str, claims: Mapping[str, Any], token: ProviderToken | None) -> Stranger:
    """Read who has come from claims that are believed. Pure."""

    def text(key: str) -> str:
        found = claims.get(key)
        return found[:256] if isinstance(found, str) else ""

    email = text("email") if claims.get("email_verified") is True else ""
    login = text("preferred_username") or text("email").partition("@")[0] or text("name")
    orgs = claims.get("orgs")
    names = [
        one.get("preferred_username") or one.get("name")
        for one in (orgs if isinstance(orgs, list) else ())
        if isinstance(one, dict)
    ]
    return Stranger(
        subject=str(claims["sub"]),
        login=login,
        display=text("name"),
        emails=(email,) if email else (),
        organizations=tuple(f"{name}/{one}" for one in names if isinstance(one, str)),
        token=token,
    )
