"""People's tokens for hosts: kept sealed, and renewed by one gateway alone, whoever asks.

Who renews one has written so under its revision first; all others wait for what comes of it. The
old refresh token is spent with the request: a death between that and the new one's storing costs
that link, which then says that it has to be made again.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import digest
from services.gateway.hostauth.clients import HostClients
from services.gateway.hostauth.exchange import GivenToken, TokenEndpoint, TokenRefused
from services.gateway.hostauth.records import HostLink, HostLogin
from services.gateway.people.state import HeldRecord, PeopleState
from services.keys.vault import KeyFile, SealedElsewhere, VaultError
from services.process import telemetry

BEFORE_END_S = 60.0
"""How long before its end a token is renewed, or a quarter of its time if that is less."""
RENEWAL_S = 30.0
"""How long one gateway has for a renewal; then another may try."""
WAIT_S = 12.0
"""How long whoever asks waits for a renewal of somebody else's."""
LOOK_AGAIN_S = 0.1
NEW_S = 10.0
"""A token that is no older and is refused all the same is not renewed: another would be, too."""

log = telemetry.get_logger()

Since = Callable[[str], float]
_SEALED = "it was sealed with another master key"
_REFUSED = "the host does not take a token that was made just now"

Held = HeldRecord[HostLink]


class KeptHostTokens:
    """Raises Rejected, and StoreError, VaultError where it asks NATS or opens a seal."""

    def __init__(
        self,
        state: PeopleState,
        key: KeyFile,
        clients: HostClients,
        endpoint: TokenEndpoint,
        since: Since,
    ) -> None:
        """`since`: when the account of a name was made; what was linked before is another's."""
        self._since = since
        self._state = state
        self._key = key
        self._clients = clients
        self._endpoint = endpoint
        self.table = state.table("host_link", HostLink)

    async def of(self, user: str, host: str) -> HostLink | None:
        """What is linked, as all gateways know it by now."""
        await self._state.refresh()
        held = self.table.get(link_key(user, host))
        return held.value if held is not None and self._is_whose(held.value) else None

    def every(self, user: str) -> list[HostLink]:
        """All that somebody has linked."""
        links = [held.value for held in self.table.held.values() if held.value.user == user]
        found = [one for one in links if self._is_whose(one)]
        return sorted(found, key=lambda one: one.host)

    def shared(self, host: str) -> HostLink | None:
        """The link of an administrator, with which the tools of an operator's host are listed."""
        links = [held.value for held in self.table.held.values() if held.value.host == host]
        fit = [one for one in links if one.shared and not one.broken and self._is_whose(one)]
        return min(fit, key=lambda one: one.linked, default=None)

    async def keep(self, login: HostLogin, given: GivenToken) -> HostLink:
        """Keep what a sign-in gave, in the place of an earlier one."""
        key = link_key(login.user, login.host)
        link = HostLink(
            user=login.user,
            host=login.host,
            url=login.url,
            resource=login.resource,
            server=login.server,
            client=login.client,
            how=login.how,
            open_=login.open_,
            access=self._sealed(key, "access", given.access),
            refresh=self._sealed(key, "refresh", given.refresh),
            scopes=given.scopes or login.scopes,
            made=given.made,
            ends=given.ends,
            linked=given.made,
            shared=login.shared,
        )
        while True:
            held = self.table.get(key)
            if await self.table.put(key, link, 0 if held is None else held.revision) is not None:
                return link

    async def unlink(self, user: str, host: str) -> tuple[bool, bool]:
        """Forget a link: whether there was one, and whether its tokens were ended there."""
        await self._state.refresh()
        key = link_key(user, host)
        held = self.table.get(key)
        if held is None:
            return False, False
        await self.table.delete(key)
        return True, await self._revoked(key, held.value)

    async def token(self, user: str, host: str, url: str, stale: str) -> tuple[str, float | None]:
        """A token that is good for a while, and when it ends; `stale`: SHA-256 of one that the host
        has refused. Raises Rejected(NOT_FOUND): there is none, link."""
        key, until = link_key(user, host), time.monotonic() + WAIT_S
        while True:
            await self._state.refresh()
            held = self.table.get(key)
            if held is not None and not self._is_whose(held.value):
                held = None
            if held is None or held.value.url != url or held.value.broken:
                raise _unlinked(host, None if held is None else held.value)
            link, now = held.value, time.time()
            try:
                access = self._opened(key, "access", link.access)
            except SealedElsewhere:
                raise _unlinked(host, msgspec.structs.replace(link, broken=_SEALED)) from None
            if not is_due(link, now):
                if not stale or not hmac.compare_digest(digest(access), stale):
                    return access, link.ends
                if now < link.made + NEW_S:
                    raise _unlinked(host, msgspec.structs.replace(link, broken=_REFUSED))
            if link.leased > now:
                if time.monotonic() > until:
                    text = f"the sign-in at host {host} is being renewed: try again"
                    raise Rejected(Reason.UNAVAILABLE, text)
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            leased = msgspec.structs.replace(link, leased=now + RENEWAL_S)
            mine = await self.table.put(key, leased, held.revision)
            if mine is not None:
                await self._renew(key, mine)
                stale = ""

    async def _renew(self, key: str, held: Held) -> None:
        """Have a new token made, and store it; or store why there is none."""
        link = held.value
        if not link.refresh:
            await self._end(key, held, "it has ended")
            return
        known = self._clients.again(link.server.issuer, link.client, link.how)
        if known is None:
            await self._end(key, held, "this server's client there is another one now")
            return
        refresh = self._opened(key, "refresh", link.refresh)
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "resource": link.resource}
        try:
            given = await self._endpoint.exchange(link.server, known, form, open_=link.open_)
        except TokenRefused as refused:
            log.info("host_token_refused", user=link.user, host=link.host, why=refused.word)
            if refused.word == "invalid_client":
                await self._clients.forget(link.server.issuer)
            await self._end(key, held, f"{link.server.issuer} renews it no more")
            return
        except Rejected:
            await self.table.put(key, msgspec.structs.replace(link, leased=0.0), held.revision)
            raise
        fresh = msgspec.structs.replace(
            link,
            access=self._sealed(key, "access", given.access),
            # A server that does not rotate says nothing of the refresh token.
            refresh=self._sealed(key, "refresh", given.refresh) or link.refresh,
            scopes=given.scopes or link.scopes,
            made=given.made,
            ends=given.ends,
            leased=0.0,
        )
        await self.table.put(key, fresh, held.revision)
        log.info("host_token_renewed", user=link.user, host=link.host)

    async def _end(self, key: str, held: Held, why: str) -> None:
        over = msgspec.structs.replace(held.value, broken=why, access=b"", refresh=b"", leased=0.0)
        await self.table.put(key, over, held.revision)

    async def _revoked(self, key: str, link: HostLink) -> bool:
        """End the tokens at their server; what goes wrong with that is logged alone."""
        known = self._clients.again(link.server.issuer, link.client, link.how)
        if known is None or link.broken:
            return False
        done = False
        for use, sealed in (("refresh", link.refresh), ("access", link.access)):
            if not sealed:
                continue
            try:
                token = self._opened(key, use, sealed)
                ask = self._endpoint.revoke
                done |= await ask(link.server, known, token, f"{use}_token", open_=link.open_)
            except (Rejected, VaultError) as error:
                log.warning("host_token_not_revoked", host=link.host, error=str(error))
        return done

    def _is_whose(self, link: HostLink) -> bool:
        """Whether it is of whoever has that name now."""
        return link.linked >= self._since(link.user)

    def _sealed(self, key: str, use: str, token: str) -> bytes:
        return self._key.vault().wrap(_purpose(key, use), token.encode()) if token else b""

    def _opened(self, key: str, use: str, sealed: bytes) -> str:
        return self._key.vault().unwrap(_purpose(key, use), sealed).decode()


def is_due(link: HostLink, now: float) -> bool:
    """Whether a token is to be renewed before it is used. Pure."""
    if link.ends is None:
        return False
    return now >= link.ends - min(BEFORE_END_S, (link.ends - link.made) / 4)


def link_key(user: str, host: str) -> str:
    """Under which a link lies."""
    return digest(f"{user}\n{host}")


def _unlinked(host: str, link: HostLink | None) -> Rejected:
    how = f"`metamcp link {host}`"
    if link is None:
        return Rejected(Reason.NOT_FOUND, f"host {host} wants you to sign in there: {how}")
    why = link.broken or "the host has another address now"
    return Rejected(Reason.NOT_FOUND, f"your sign-in at host {host} is over ({why}): {how}")


def _purpose(key: str, use: str) -> str:
    return f"host_link/{key}/{use}"
