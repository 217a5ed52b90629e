"""Signing in at hosts: sends browsers to a host's authorization server, and keeps what comes back.

Each login is good once, for ten minutes, and for the browser of whoever began it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from contracts.errors import Reason, Rejected
from contracts.host import Host, StreamableHttp, operated
from contracts.host_token import HostToken, HostTokenRequest
from services.gateway.access.identity import LOCAL_USER, digest
from services.gateway.hostauth import metadata
from services.gateway.hostauth.clients import HostClients
from services.gateway.hostauth.exchange import TokenEndpoint, TokenRefused
from services.gateway.hostauth.metadata import (
    AuthorizationServer,
    BadMetadata,
    HostChallenge,
    Resource,
)
from services.gateway.hostauth.outbound import HostAsking
from services.gateway.hostauth.records import HostLink, HostLogin
from services.gateway.hostauth.tokens import KeptHostTokens, Since
from services.gateway.people.providers import pkce
from services.gateway.people.state import PeopleState
from services.keys.hosttokens import BELIEVED_S, signs_in, transit
from services.keys.vault import KeyFile, VaultError
from services.process import telemetry
from services.store.stream import StoreError

HOST_LOGIN_S = 600
MOST_HOST_LOGINS = 20_000
MOST_LATER = 100
DISCOVERY_S = 40.0
"""For all that is asked before a browser can be sent there."""
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "metamcp-orchestrator", "version": "1"},
    },
}
_LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
_EITHER = {"Accept": "application/json, text/event-stream"}

log = telemetry.get_logger()


class HostWish(NamedTuple):
    """Who wants to sign in where."""

    user: str
    host: Host
    """As it is called, not as users see it."""
    shared: bool = False
    """See `HostLink.shared`."""
    scopes: tuple[str, ...] = ()


class _Found(NamedTuple):
    challenge: HostChallenge
    resource: Resource | None


class HostLinks:
    """Raises Rejected, and StoreError, VaultError where it asks NATS or the vault."""

    def __init__(
        self,
        state: PeopleState,
        key: KeyFile,
        clients: HostClients,
        asking: HostAsking,
        since: Since,
        *,
        allow_private: bool = False,
    ) -> None:
        """`since`: see `KeptHostTokens`; `allow_private`: users' hosts too may lie anywhere."""
        self._state = state
        self._key = key
        self.clients = clients
        self._asking = asking
        self._allow_private = allow_private
        self._endpoint = TokenEndpoint(asking)
        self._logins = state.table("host_login", HostLogin)
        self._later: set[asyncio.Task[None]] = set()
        self.kept = KeptHostTokens(state, key, clients, self._endpoint, since)

    async def begin(self, wish: HostWish) -> tuple[str, HostLogin]:
        """Return where to send a browser. Raises Rejected(CONFLICT) for a host that can't be
        signed in at, UNAVAILABLE while somebody does not answer."""
        redirect = self.clients.redirect
        url, open_ = self._place(wish.host)
        self._check_room()
        try:
            async with asyncio.timeout(DISCOVERY_S):
                found = await self._look(url, open_)
                server = await self._server(url, found.resource, open_)
                known = await self.clients.of(server, open_=open_)
        except BadMetadata as bad:
            raise Rejected(Reason.CONFLICT, f"host {wish.host.id} can't be linked: {bad}") from None
        except TimeoutError:
            text = f"host {wish.host.id} did not say within {DISCOVERY_S:g} s how to sign in there"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        wanted = metadata.wanted_scopes(
            found.challenge, found.resource, server, await self._scopes(wish, url)
        )
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        login = HostLogin(
            user=wish.user,
            host=wish.host.id,
            url=url,
            resource=found.resource.resource if found.resource is not None else url,
            server=server,
            client=known.client,
            how=known.how,
            open_=open_,
            redirect=redirect,
            verifier=self._key.vault().wrap(_purpose(state), verifier.encode()),
            scopes=wanted,
            shared=wish.shared,
            expires=time.time() + HOST_LOGIN_S,
        )
        await self._logins.put(digest(state), login, 0)
        return _address(login, state, verifier), login

    async def user_of(self, state: str) -> str | None:
        """Who has begun a login that may still come back; None: nobody, or it is over."""
        await self._state.refresh()
        held = self._logins.get(digest(state))
        return None if held is None or held.value.used else held.value.user

    async def finish(self, answer: Mapping[str, str | None], browser: str | None) -> HostLink:
        """Take a browser back; `browser`: who is signed in to us with it."""
        state = answer.get("state") or ""
        await self._state.refresh()
        held = self._logins.get(digest(state))
        if held is None or held.value.used:
            raise _again("this sign-in was not begun here, was finished already, or took too long")
        login = held.value
        if browser != login.user and not (browser is None and login.user == LOCAL_USER):
            # Else somebody could have another's sign-in linked to an account of his own.
            raise Rejected(Reason.FORBIDDEN, "somebody else has begun this sign-in: begin anew")
        used = msgspec.structs.replace(login, used=True)
        if await self._logins.put(digest(state), used, held.revision) is None:
            raise _again("this sign-in was finished already")
        if not metadata.came_from(login.server, answer.get("iss")):
            raise _again("another server has answered than was asked")
        if answer.get("error") is not None or not answer.get("code"):
            raise _again(_refusal(answer.get("error") or "", login.server.issuer))
        verifier = self._key.vault().unwrap(_purpose(state), login.verifier).decode()
        link = await self._exchanged(login, answer["code"] or "", verifier)
        log.info("host_linked", user=link.user, host=link.host, issuer=link.server.issuer)
        return link

    async def unlink(self, user: str, host: str) -> tuple[bool, bool]:
        """See `KeptHostTokens.unlink`."""
        gone, revoked = await self.kept.unlink(user, host)
        if gone:
            log.info("host_unlinked", user=user, host=host, revoked=revoked)
        return gone, revoked

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for which nobody waits; of too much, nothing."""
        if len(self._later) >= MOST_LATER:
            work.close()
            return
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """Wait for nothing any more."""
        for task in self._later:
            task.cancel()
        if self._later:
            await asyncio.wait(self._later)

    async def token(self, payload: bytes) -> bytes:
        """Handle `cmd.gateway.host_token`. Raises Rejected alone."""
        try:
            request = msgspec.json.decode(payload, type=HostTokenRequest)
        except msgspec.MsgspecError as error:
            raise Rejected(Reason.BAD_REQUEST, str(error)) from None
        try:
            return await self._token(request)
        except (StoreError, VaultError) as error:
            log.warning("host_token_not_given", host=request.host, error=str(error))
            text = "sign-ins at hosts can't be read now: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None

    async def _token(self, request: HostTokenRequest) -> bytes:
        user = request.user
        if not user:
            await self._state.refresh()
            link = self.kept.shared(request.host)
            if link is None:
                text = f"no administrator has signed in at host {request.host}"
                raise Rejected(Reason.NOT_FOUND, text)
            user = link.user
        access, ends = await self.kept.token(user, request.host, request.url, request.stale)
        sealed = self._key.vault().wrap(transit(request.user, request.host), access.encode())
        lasts = BELIEVED_S if ends is None else ends - time.time()
        return msgspec.json.encode(HostToken(sealed, min(BELIEVED_S, lasts)))

    def _place(self, host: Host) -> tuple[str, bool]:
        """The address of a host, and whether what it names may lie anywhere."""
        endpoint = host.endpoint
        if not isinstance(endpoint, StreamableHttp) or not signs_in(host):
            text = f"nobody signs in at host {host.id}: it is no MCP server behind a URL, or is"
            raise Rejected(Reason.CONFLICT, f"{text} called with a secret of its own")
        if not metadata.secure(endpoint.url):
            text = f"host {host.id} is reached by plain http://: no sign-in is sent there"
            raise Rejected(Reason.CONFLICT, text)
        return endpoint.url, operated(host) or self._allow_private

    async def _scopes(self, wish: HostWish, url: str) -> tuple[str, ...]:
        """What is asked for; whoever asks for more is to keep what he has."""
        before = await self.kept.of(wish.user, wish.host.id) if wish.scopes else None
        mine = before.scopes if before is not None and before.url == url else ()
        return (*mine, *wish.scopes)

    async def _look(self, url: str, open_: bool) -> _Found:
        """What the host says of itself, when it is called by nobody."""
        said = await self._asking.ask("POST", url, open_=open_, json=_INITIALIZE, headers=_EITHER)
        refused = said.status in (401, 403)
        if not refused:
            # Some let everybody begin.
            again = await self._asking.ask("POST", url, open_=open_, json=_LIST, headers=_EITHER)
            if again.status in (401, 403):
                said, refused = again, True
        challenge = metadata.challenge_in(said.challenges) if refused else HostChallenge()
        for place in metadata.resource_places(url, challenge):
            if not metadata.secure(place):
                raise BadMetadata("its metadata lies at no https:// address")
            found = await self._asking.ask("GET", place, open_=open_)
            if found.status == 200 and found.fields:
                return _Found(challenge, metadata.resource_of(found.fields, url))
        if not refused:
            raise BadMetadata(f"it asks for no sign-in (it answered {said.status})")
        return _Found(challenge, None)

    async def _server(
        self, url: str, resource: Resource | None, open_: bool
    ) -> AuthorizationServer:
        """The authorization server, of several that which knows us, else the first."""
        issuers = resource.servers if resource is not None else (metadata.origin_of(url),)
        issuer = next((one for one in issuers if self.clients.by_hand(one)), issuers[0])
        if not metadata.secure(issuer):
            raise BadMetadata("its authorization server has no https:// address")
        for place in metadata.server_places(issuer):
            said = await self._asking.ask("GET", place, open_=open_)
            if said.status == 200 and said.fields:
                return metadata.server_of(said.fields, issuer)
        raise BadMetadata(f"its authorization server {issuer} shows no metadata")

    async def _exchanged(self, login: HostLogin, code: str, verifier: str) -> HostLink:
        issuer = login.server.issuer
        known = self.clients.again(issuer, login.client, login.how)
        if known is None:
            raise _again(f"{issuer} knows this server otherwise by now")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect,
            "code_verifier": verifier,
            "resource": login.resource,
        }
        try:
            given = await self._endpoint.exchange(login.server, known, form, open_=login.open_)
        except TokenRefused as refused:
            if refused.word in ("invalid_client", "unauthorized_client"):
                await self.clients.forget(issuer)
            raise _again(f"{issuer} gave no token ({refused.word})") from None
        return await self.kept.keep(login, given)

    def _check_room(self) -> None:
        if len(self._logins.held) >= MOST_HOST_LOGINS:
            self._logins.forget_expired()
        if len(self._logins.held) >= MOST_HOST_LOGINS:
            raise Rejected(Reason.UNAVAILABLE, "too many people sign in at hosts: try again")


def _address(login: HostLogin, state: str, verifier: str) -> str:
    query: dict[str, Any] = {
        "response_type": "code",
        "client_id": login.client,
        "redirect_uri": login.redirect,
        "state": state,
        "code_challenge": pkce.challenge(verifier),
        "code_challenge_method": "S256",
        "resource": login.resource,
    }
    if login.scopes:
        query["scope"] = " ".join(login.scopes)
    if "offline_access" in login.scopes:
        query["prompt"] = "consent"
    start = login.server.authorize
    return f"{start}{'&' if '?' in start else '?'}{urlencode(query)}"


def _refusal(error: str, issuer: str) -> str:
    if error == "access_denied":
        return f"you did not allow it at {issuer}, so nothing was changed"
    known = error if error.replace("_", "").isalpha() and len(error) <= 48 else "unknown_error"
    return f"{issuer} refused ({known})"


def _again(why: str) -> Rejected:
    return Rejected(Reason.BAD_REQUEST, f"{why}: begin anew with `metamcp link`")


def _purpose(state: str) -> str:
    return f"host_login/{digest(state)}"
