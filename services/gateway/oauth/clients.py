"""Programs that ask for tokens: those an administrator made, those that registered themselves, and
those that have their description at an https address, which is their id.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec

from services.gateway.access.address import counted
from services.gateway.access.identity import digest
from services.gateway.access.limits import RateLimit
from services.gateway.oauth import rules
from services.gateway.oauth.rules import OAuthError
from services.gateway.people.records import OAuthClient
from services.gateway.people.state import HeldRecord, PeopleState
from services.gateway.people.trail import Trail
from services.process.ids import new_id
from services.store.stream import StoreError

UNUSED_S = 86_400.0
USED_S = 90 * 86_400.0
NEW_S = 600.0
"""So long a registration has to be used before it may have to make room for another."""
MOST_CLIENTS = 10_000
MOST_REGISTRATIONS = 30
"""Of one address in `REGISTRATIONS_S`, at all gateways together."""
REGISTRATIONS_S = 3600.0
MOST_REDIRECTS = 20
LONGEST_NAME = 100
_RENEW_S = 86_400.0
"""A registration that is used is prolonged once a day, not with each use."""
_METHODS = ("none", "client_secret_basic", "client_secret_post")
ANYBODY = "registration"
"""`by` of a client that has registered itself."""


class ClientMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says of itself (RFC 7591); what is not read is not kept."""

    redirect_uris: list[str] = []
    client_name: str | None = None
    client_id: str | None = None
    """In a document: its own address."""
    token_endpoint_auth_method: str | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    scope: str | None = None
    client_uri: str | None = None


class Clients:
    """Raises OAuthError for what is refused, and StoreError."""

    def __init__(
        self,
        state: PeopleState,
        trail: Trail,
        fetch: Callable[[str], Awaitable[ClientMetadata]],
    ) -> None:
        """`fetch` gets the description at an address. Raises OAuthError."""
        self._state = state
        self._trail = trail
        self._fetch = fetch
        self.table = state.table("client", OAuthClient)
        self.limit = RateLimit(MOST_REGISTRATIONS, REGISTRATIONS_S)
        """Of registrations; the other gateways are told what it counts."""

    def known(self, id_: str) -> OAuthClient | None:
        """A client that is stored here."""
        held = self.table.get(id_)
        return None if held is None else held.value

    async def find(self, id_: str) -> OAuthClient:
        """Return the client with this id; its description is fetched if the id is an address."""
        if is_address(id_):
            metadata = await self._fetch(id_)
            return of_document(id_, metadata)
        return await self.stored(id_)

    async def stored(self, id_: str) -> OAuthClient:
        """The same of those whose description lies here."""
        if (found := self.known(id_)) is None:
            # It may have registered at another gateway a moment ago.
            await self._state.refresh()
            found = self.known(id_)
        if found is None:
            raise OAuthError("invalid_client", "there is no such client: it may have expired", 401)
        return found

    async def authenticated(self, id_: str, secret: str | None) -> OAuthClient:
        """Return the client that asks for tokens.

        One whose id is an address has no secret: codes and refresh tokens are bound to its id.
        """
        if is_address(id_):
            if secret:
                raise OAuthError("invalid_client", "a client with a document has no secret", 401)
            return OAuthClient(id=id_, url=id_)
        client = await self.stored(id_)
        if not client.secret:
            if secret:
                raise OAuthError("invalid_client", "this client has no secret", 401)
        elif secret is None or not hmac.compare_digest(digest(secret), client.secret):
            raise OAuthError("invalid_client", "the client's secret is missing or wrong", 401)
        return client

    async def register(
        self, metadata: ClientMetadata, address: str, at: float
    ) -> tuple[OAuthClient, str | None]:
        """Take a client that registers itself; the answer is it, and its secret if it has one."""
        if wait := self.limit.count(f"address {counted(address)}"):
            text = f"too many registrations from here: wait {int(wait) + 1} s"
            raise OAuthError("slow_down", text, 429)
        method = check_metadata(metadata)
        await self._room(at)
        secret = None if method == "none" else secrets.token_urlsafe(32)
        client = OAuthClient(
            id=new_id(),
            name=shown_name(metadata.client_name),
            redirects=tuple(metadata.redirect_uris),
            secret="" if secret is None else digest(secret),
            url=metadata.client_uri or "",
            created=at,
            expires=at + UNUSED_S,
            by=ANYBODY,
        )
        await self._put(client)
        self._trail.note(
            "client.registered",
            subject=client.id,
            address=address,
            method="oauth",
            details={"name": client.name},
        )
        return client, secret

    async def _room(self, now: float) -> None:
        """Where there are too many, forget the oldest that nobody has used, if it is not new."""
        if len(self.table.held) < MOST_CLIENTS:
            return
        every = (held.value for held in self.table.held.values())
        unused = [one for one in every if one.expires == one.created + UNUSED_S]
        oldest = min(unused, key=lambda one: one.created, default=None)
        if oldest is None or oldest.created > now - NEW_S:
            raise OAuthError("temporarily_unavailable", "too many clients are registered", 503)
        await self.table.delete(oldest.id)

    async def add(self, client: OAuthClient, *, secret: bool) -> tuple[OAuthClient, str | None]:
        """Store a client that an administrator makes; with `secret`, one that has to show one."""
        text = secrets.token_urlsafe(32) if secret else None
        made = msgspec.structs.replace(
            client, id=new_id(), created=time.time(), secret=digest(text) if text else ""
        )
        await self._put(made)
        return made, text

    async def remove(self, id_: str) -> OAuthClient | None:
        """Take a client away; None: there was none. Its grants are another's to end."""
        await self._state.refresh()
        found = self.known(id_)
        return found if found is not None and await self.table.delete(id_) else None

    async def used(self, client: OAuthClient, now: float) -> None:
        """Note that a client works with somebody: it stays for longer."""
        held = self.table.get(client.id)
        if held is None or held.value.expires is None:
            return
        if held.value.expires < now + USED_S - _RENEW_S:
            longer = msgspec.structs.replace(held.value, expires=now + USED_S)
            # If another gateway was quicker, it has said the same. What was given must not be lost
            # because of this.
            with contextlib.suppress(StoreError):
                await self.table.put(client.id, longer, held.revision)

    def page(self, after: int, count: int) -> tuple[list[OAuthClient], int | None]:
        """Some clients in the order of their last change, and where the rest begins."""
        every = sorted(self.table.held.values(), key=_revision)
        found = [one for one in every if one.revision > after][: count + 1]
        rest = found[count - 1].revision if len(found) > count else None
        return [one.value for one in found[:count]], rest

    async def _put(self, client: OAuthClient) -> None:
        if await self.table.put(client.id, client, 0) is None:
            raise StoreError("the client was not stored")


def _revision(held: HeldRecord[OAuthClient]) -> int:
    return held.revision


def is_address(id_: str) -> bool:
    """Whether an id is the address of a client's description."""
    return id_.startswith(("https://", "http://"))


def check_metadata(metadata: ClientMetadata) -> str:
    """Return how the client shows who it is. Raises OAuthError."""
    method = metadata.token_endpoint_auth_method or "client_secret_basic"
    if method not in _METHODS:
        raise _bad(f"token_endpoint_auth_method {method[:40]!r}: there are {', '.join(_METHODS)}")
    if "code" not in (metadata.response_types or ["code"]):
        raise _bad("response_types must have `code`")
    if metadata.grant_types and "authorization_code" not in metadata.grant_types:
        # Others that are named besides are not given: the answer says which are.
        raise _bad("grant_types must have `authorization_code`: others are not for anybody")
    _check_redirects(metadata)
    return method


def of_document(url: str, metadata: ClientMetadata) -> OAuthClient:
    """The client that a document at `url` describes. Raises OAuthError."""
    if metadata.client_id != url:
        raise _bad("the document at the client's address names another client_id")
    if (metadata.token_endpoint_auth_method or "none") != "none":
        raise _bad("a client with a document is a public one: token_endpoint_auth_method `none`")
    _check_redirects(metadata)
    name = shown_name(metadata.client_name)
    return OAuthClient(id=url, name=name, redirects=tuple(metadata.redirect_uris), url=url)


def _check_redirects(metadata: ClientMetadata) -> None:
    if not 0 < len(metadata.redirect_uris) <= MOST_REDIRECTS:
        raise rules.OAuthError("invalid_redirect_uri", f"expected 1 to {MOST_REDIRECTS} of them")
    for uri in metadata.redirect_uris:
        rules.check_redirect(uri)


def _bad(text: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", text)


def shown_name(name: str | None) -> str:
    """A client's name in one line that can't be made to look like something else."""
    text = "".join(char if char.isprintable() else " " for char in name or "")
    return " ".join(text.split())[:LONGEST_NAME]


def shown_address(client: OAuthClient, redirect: str) -> str:
    """By what people can tell a client from one that only has its name."""
    if is_address(client.id):
        return urlsplit(client.id).netloc
    if rules.is_loopback(redirect):
        return "a program on your own computer"
    parts = urlsplit(redirect)
    if parts.scheme == "https":
        return parts.netloc
    return f"a program on your own computer that opens {parts.scheme}: links"
