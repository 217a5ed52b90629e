"""An authorization server that is not ours: its keys, and whose its access tokens are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec

from contracts.errors import Rejected
from contracts.ids import is_user
from contracts.scopes import ADMIN, EVERY
from services.gateway.access.identity import Principal
from services.gateway.oauth.places import OAuthPlaces
from services.gateway.oauth.ports import LinkedPeople
from services.gateway.oauth.signed import SKEW_S
from services.gateway.people.ports import People
from services.gateway.people.records import User
from services.outside import addresses, site
from services.outside.addresses import AddressRefused
from services.outside.site import HttpSite
from services.process import telemetry
from services.process.shared import Shared
from services.store.stream import StoreError

LIMIT = 512 * 1024
FETCH_S = 10.0
KEYS_S = 3600.0
"""After so long its keys are fetched again."""
LOOK_S = 30.0
"""A key that is not known is looked for no sooner than this after the last time."""
MOST_KEYS = 100
LONGEST_CLIENT = 500
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")
"""Only such as have a public key: nobody signs with what everybody can read."""
_FAMILIES = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}
_TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt"})

log = telemetry.get_logger()


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Jwks(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Whose(Protocol):
    """What the settings say of its users."""

    @property
    def oauth_issuer(self) -> str:
        """Its issuer."""

    @property
    def oauth_user_claim(self) -> str:
        """The claim that names a user."""

    @property
    def oauth_create_users(self) -> bool:
        """Whether a user who is new to us is made."""


class OutsideIssuer:
    """Reads its tokens. Raises StoreError while its keys can't be had."""

    def __init__(
        self,
        settings: _Whose,
        people: People,
        linked: LinkedPeople,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = settings.oauth_issuer
        self._settings = settings
        self._people = people
        self._linked = linked
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._fetch = Shared(self._fetch_keys, LOOK_S, clock)

    async def whose(self, token: str, at: OAuthPlaces) -> Principal | None:
        """Return who shows a token of this server that is for our resource; None: nobody."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, UnicodeError, RecursionError):
            return None
        if str(header.get("typ", "jwt")).lower() not in _TYPES:
            return None
        key = await self._key(str(header.get("kid", "")))
        if key is None:
            return None
        claims = verified(token, key, str(header.get("alg", "")), self.issuer, at.resource)
        return None if claims is None else await self._principal(claims)

    async def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        name = self._linked.user_of(self.issuer, str(claims["sub"]))
        if name is None and self._settings.oauth_create_users:
            name = await self._made(claims)
        user = None if name is None else self._people.get(name)
        if user is None:
            return None
        scopes = scopes_in(claims)
        client = str(claims.get("client_id") or claims.get("azp") or "")[:LONGEST_CLIENT]
        roles = frozenset[str](user.roles) if ADMIN in scopes else frozenset[str]()
        ends = float(claims["exp"])
        token = outside_token(user.name)
        return Principal(user.name, roles, ends, token, scopes, f"client:{client}")

    async def _made(self, claims: Mapping[str, Any]) -> str | None:
        """Make a user who is new to us. Whoever has that name here already is somebody else."""
        name = claims.get(self._settings.oauth_user_claim)
        if not isinstance(name, str) or not is_user(name):
            return None
        now, subject = time.time(), str(claims["sub"])
        by = f"issuer:{self.issuer}"
        try:
            await self._people.create(User(name=name, created=now, changed=now), asked_by=by)
            await self._linked.link(self.issuer, subject, name, name)
        except Rejected as error:
            log.warning("oauth_user_not_made", user=name, error=error.message)
            # Another gateway may have made it at this moment.
            return self._linked.user_of(self.issuer, subject)
        return name

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        old = self._fetched_at is None or self._clock() - self._fetched_at > KEYS_S
        if old or kid not in self._keys:
            try:
                await self._fetch.answer()
            except StoreError:
                if kid not in self._keys:
                    raise
        return self._keys.get(kid)

    async def _fetch_keys(self) -> None:
        found: _Metadata | None = None
        for url in metadata_addresses(self.issuer):
            body = await self._get(url)
            if body is not None:
                found = _read(body, _Metadata)
                break
        if found is None or found.issuer != self.issuer:
            raise _unreachable("its metadata is not there, or names another issuer")
        body = await self._get(found.jwks_uri)
        if body is None:
            raise _unreachable("its keys are not there")
        keys = usable(_read(body, _Jwks).keys)
        log.info("oauth_issuer_read", issuer=self.issuer, keys=len(keys))
        self._keys, self._fetched_at = keys, self._clock()

    async def _get(self, url: str) -> bytes | None:
        """Fetch a page of the operator's own choice; None: there is none there."""
        try:
            http = HttpSite(addresses.resolve(url, mcp=True), public_only=False, connections=1)
        except AddressRefused as error:
            raise _unreachable(site.why(error)) from None
        try:
            async with asyncio.timeout(FETCH_S):
                page = await http.get("", LIMIT)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _unreachable(site.why(error)) from None
        finally:
            await http.close()
        return page.body if page.status == 200 else None


def outside_token(user: str) -> str:
    """By what all that somebody has opened with tokens of the outside server ends: they have no
    ids that we could know of."""
    return f"issuer.{user}"


def metadata_addresses(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may be: as RFC 8414 has it, and as OpenID Connect has."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        *((f"{origin}{path}/.well-known/openid-configuration",) if path else ()),
    )


def usable(keys: list[dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    """The keys that may have signed a token, by id. What can't be read is passed over."""
    found: dict[str, jwt.PyJWK] = {}
    for one in keys[:MOST_KEYS]:
        if one.get("kty") not in _FAMILIES or one.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        found[str(one.get("kid", ""))] = key
    return found


def verified(
    token: str, key: jwt.PyJWK, algorithm: str, issuer: str, audience: str
) -> dict[str, Any] | None:
    """What a token says if this key has signed it for us and it has not expired. Pure but for the
    clock."""
    fits = _FAMILIES.get(key.key_type or "", ())
    if algorithm not in ALGORITHMS or not algorithm.startswith(fits):
        return None
    try:
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=SKEW_S,
            options={"require": ["iss", "aud", "exp", "sub"]},
        )
    except (jwt.PyJWTError, UnicodeError, ValueError, TypeError, RecursionError):
        return None


def scopes_in(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of ours that a token has; of other names others know."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
    return EVERY & {word for word in words if isinstance(word, str)}


def _read(body: bytes, type_: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _unreachable(f"it answers with something else: {error}") from None


def _unreachable(why: str) -> StoreError:
    return StoreError(f"the authorization server's keys can't be had: {why}")
