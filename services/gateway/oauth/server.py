"""This room as one: which endpoint is where, and whose the tokens of clients are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from contracts.errors import Rejected
from contracts.scopes import ADMIN
from services.gateway.access.identity import Principal
from services.gateway.errors import RETRY_AFTER_S, STATUS
from services.gateway.oauth import pages, places, signed, web
from services.gateway.oauth.authorize import Authorizing
from services.gateway.oauth.clients import Clients
from services.gateway.oauth.consents import Consents
from services.gateway.oauth.documents import ClientDocuments, not_fetched
from services.gateway.oauth.grants import Grants
from services.gateway.oauth.keys import SharedKeys
from services.gateway.oauth.outside import OutsideIssuer, outside_token
from services.gateway.oauth.places import OAuthPlaces
from services.gateway.oauth.ports import Doors
from services.gateway.oauth.rules import OAuthError
from services.gateway.oauth.signed import AccessClaims
from services.gateway.oauth.token import BASIC, Tokening
from services.gateway.oauth.web import MOST_BODY, WebAnswer, WebRequest
from services.gateway.people.ports import OnGone
from services.gateway.people.records import OAuthClient, User
from services.gateway.people.state import Gone, PeopleState
from services.gateway.people.trail import Trail
from services.gateway.settings import Settings
from services.keys.vault import KeyFile
from services.process import telemetry
from services.process.shared import Shared
from services.store.stream import StoreError

LOOK_S = 0.1
METADATA_AGE_S = 300
FOR_PEOPLE = frozenset({places.AUTHORIZE, places.CONSENT, places.SIGN_IN})
RESOURCES = (places.RESOURCE, places.RESOURCE_MCP)
_WORDS = {503: "temporarily_unavailable", 403: "access_denied"}
NOWHERE = OAuthError(
    "invalid_request",
    "this gateway does not know the address that others have for it: the operator has to set"
    " METAMCP_GATEWAY_PUBLIC_URL",
    404,
)
ELSEWHERE = OAuthError("invalid_request", "another server gives tokens here: see its metadata", 404)

log = telemetry.get_logger()

Handler = Callable[[WebRequest, OAuthPlaces], Awaitable[WebAnswer]]


class OAuth:
    """One gateway's OAuth. Call it with connections to one of `PATHS`."""

    def __init__(
        self, state: PeopleState, trail: Trail, key: KeyFile, settings: Settings, doors: Doors
    ) -> None:
        self._settings = settings
        self._doors = doors
        self._state = state
        self.at = places.places(settings.public_url, "")
        self._origins: set[str] = set()
        documents = ClientDocuments(private=self._may_inside)
        self.keys = SharedKeys(state, key.vault)
        fetch = documents.of if settings.oauth_client_documents else not_fetched
        self.clients = Clients(state, trail, fetch)
        self.clients.table.on_change.append(self._client_changed)
        self.consents = Consents(state)
        self.grants = Grants(state, self.keys, doors.people, trail)
        self.outside = (
            OutsideIssuer(settings, doors.people, doors.linked) if settings.oauth_issuer else None
        )
        self._look = Shared(state.refresh, LOOK_S)
        people = Authorizing(doors, self.clients, self.consents, self.grants, trail, self._origins)
        programs = Tokening(self.clients, self.grants, self.keys, doors.people, trail)
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", places.RESOURCE): self._of_resource,
            ("GET", places.RESOURCE_MCP): self._of_resource,
            ("GET", places.SERVER): self._of_server,
            ("GET", places.OPENID): self._of_server,
            ("GET", places.JWKS): self._jwks,
            ("GET", places.AUTHORIZE): people.ask,
            ("POST", places.CONSENT): people.decide,
            ("GET", places.SIGN_IN): people.show_sign_in,
            ("POST", places.SIGN_IN): people.sign_in,
            ("POST", places.TOKEN): programs.give,
            ("POST", places.REVOKE): programs.revoke,
            ("POST", places.REGISTER): programs.register,
        }

    @property
    def on_gone(self) -> list[OnGone]:
        """Called with the ids of grants and clients that have ended, see `Principal.token`."""
        return self.grants.on_gone

    def listening(self, url: str) -> None:
        """The gateway listens there, which others know it by if the settings don't say more."""
        self.at = places.places(self._settings.public_url, url)
        for one in (url, self.at.issuer if self.at else ""):
            parts = urlsplit(one)
            self._origins |= {f"{parts.scheme}://{parts.netloc}"} if parts.netloc else set()

    def user(self, name: str) -> User | None:
        """A user who may come in."""
        return self._doors.people.get(name)

    def holds(self, principal: Principal) -> bool:
        """Whether what a principal came with was given out here, or by the outside server, and is
        still good."""
        if principal.token is None or self.user(principal.user) is None:
            return False
        if principal.token == outside_token(principal.user):
            return self.outside is not None
        given = self.grants.get(principal.token) or self.clients.known(principal.token)
        return given is not None

    def less(self, user: str) -> None:
        """Have all that is open for a user shown anew. Call it when an account is disabled, when
        its epoch is another, or when it loses a role."""
        self.grants.less(user)
        services = [id_ for id_, held in self.clients.table.held.items() if held.value.user == user]
        for hook in self.on_gone:
            hook(frozenset({*services, outside_token(user)}))

    async def whose(self, token: str) -> Principal | None:
        """Return who shows an access token of a client. Raises StoreError: not known now."""
        if self.at is None or not signed.is_jwt(token):
            return None
        if self.outside is not None:
            return await self.outside.whose(token, self.at)
        claims = signed.read(await self.keys.get(), self.at, token)
        if claims is None:
            return None
        if (found := self._principal(claims)) is None:
            # Another gateway may have given it out a moment ago.
            await self._look.answer()
            found = self._principal(claims)
        return found

    def _principal(self, claims: AccessClaims) -> Principal | None:
        if claims.gid == claims.client_id:
            client = self.clients.known(claims.gid)
            good = client is not None and bool(client.secret) and client.user == claims.sub
        else:
            grant = self.grants.get(claims.gid)
            good = grant is not None and (grant.user, grant.client) == (
                claims.sub,
                claims.client_id,
            )
        user = self._doors.people.get(claims.sub)
        if not good or user is None or user.epoch != claims.epoch:
            return None
        scopes = frozenset(claims.scope.split())
        return Principal(
            user.name,
            # Roles are for what `admin` is asked for: an agent without it is like anybody's.
            frozenset(user.roles) if ADMIN in scopes else frozenset(),
            float(claims.exp),
            claims.gid,
            scopes,
            f"client:{claims.client_id}",
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        answer = await self._answer(scope, receive)
        start = {"type": "http.response.start", "status": answer.status}
        size = (b"content-length", b"%d" % len(answer.body))
        await send(start | {"headers": [*answer.headers, size]})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, receive: Any) -> WebAnswer:
        path, method = scope["path"], scope["method"]
        try:
            handler = self._routes.get(("GET" if method == "HEAD" else method, path))
            if handler is None:
                allowed = b", ".join(m.encode() for m, p in self._routes if p == path)
                error = OAuthError("invalid_request", "the method is not allowed here", 405)
                return _failed(path, error, (b"allow", allowed))
            if self.at is None:
                raise NOWHERE
            if self.outside is not None and path not in (*RESOURCES, places.SIGN_IN):
                raise ELSEWHERE
            request = _request(scope, await _body(receive) if method == "POST" else b"")
            return await handler(request, self.at)
        except OAuthError as error:
            return _failed(path, error)
        except Rejected as error:
            status = STATUS[error.reason]
            word = _WORDS.get(status, "invalid_request")
            return _failed(path, OAuthError(word, error.message, status))
        except StoreError as error:
            log.warning("oauth_unavailable", path=path, error=str(error))
            told = OAuthError("temporarily_unavailable", "this can't be stored now: try again", 503)
            return _failed(path, told, (b"retry-after", b"%d" % RETRY_AFTER_S))

    async def _of_resource(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        server = at.issuer if self.outside is None else self.outside.issuer
        return _public(at.of_resource(server))

    async def _of_server(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        documents = self._settings.oauth_client_documents
        return _public(at.of_server(documents=documents))

    async def _jwks(self, request: WebRequest, at: OAuthPlaces) -> WebAnswer:
        return _public({"keys": [(await self.keys.get()).jwk]})

    def _may_inside(self) -> bool:
        allowed = self._settings.oauth_private_clients
        return allowed and self.at is not None and self.at.on_loopback

    def _client_changed(self, told: Gone[OAuthClient]) -> None:
        if told.after is None:
            for hook in self.on_gone:
                hook(frozenset({told.key}))


async def _body(receive: Any) -> bytes:
    """Read a body. Raises OAuthError."""
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise OAuthError("invalid_request", "the request has no end")
        data += message.get("body", b"")
        if len(data) > MOST_BODY:
            raise OAuthError("invalid_request", f"the body has more than {MOST_BODY} bytes", 413)
        if not message.get("more_body"):
            return bytes(data)


def _request(scope: Any, body: bytes) -> WebRequest:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    client = scope.get("client")
    return WebRequest(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        headers,
        client[0] if client else "",
        scope["state"]["request_id"],
        body,
    )


def _failed(path: str, error: OAuthError, *headers: tuple[bytes, bytes]) -> WebAnswer:
    """Say why not: to people as a page, to programs as OAuth has it."""
    if path in FOR_PEOPLE:
        return web.shown(pages.failed(error.status, error.description), *headers)
    more = (BASIC,) if error.status == 401 else ()
    return web.refused(error, *headers, *more)


def _public(value: dict[str, Any]) -> WebAnswer:
    headers = (
        (b"content-type", b"application/json"),
        (b"cache-control", b"public, max-age=%d" % METADATA_AGE_S),
    )
    return WebAnswer(200, msgspec.json.encode(value), headers)
