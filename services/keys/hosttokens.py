"""People's tokens for hosts that ask for OAuth, as those get them who call hosts: from a gateway.

A gateway alone keeps and renews them. Here one is believed for 10 s, and never stored or logged.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from contracts.host import Host, StreamableHttp
from contracts.host_token import HostTokenRequest

BELIEVED_S = 10.0
ASKS_S = 60.0
"""For so long a host that has asked for a sign-in is not called without one."""
MOST_BELIEVED = 1000


class NotSignedInThere(Exception):
    """There is no token of this user for the host; the text is for the user."""


class TokenForHost(NamedTuple):
    """A token, and for how many seconds it may be used before it is asked for again."""

    token: str
    lasts_s: float

    def __repr__(self) -> str:
        return f"TokenForHost(lasts_s={self.lasts_s})"


Ask = Callable[[HostTokenRequest], Awaitable[TokenForHost]]
"""Asks a gateway. Raises NotSignedInThere."""


class _Believed(NamedTuple):
    token: str
    until: float


def signs_in(host: Host) -> bool:
    """Whether a host that refuses us may want people to sign in: no other credential is meant."""
    endpoint = host.endpoint
    if not isinstance(endpoint, StreamableHttp) or endpoint.bearer_from is not None:
        return False
    if not endpoint.url.lower().startswith(("https://", "http://")) or "{" in endpoint.url:
        return False
    return not any(name.lower() == "authorization" for name in endpoint.headers)


def advised(host: str, scope: str = "", status: str = "") -> str:
    """What to tell a user whom a host does not let in; `status`: what it has answered."""
    more = f" --scope '{scope}'" if scope else ""
    why = f" ({status})" if status else ""
    return f"host {host} wants you to sign in there{why}: `metamcp link {host}{more}`"


def transit(user: str, host: str) -> str:
    """For what a token is sealed on its way through NATS."""
    return f"host_token/{user}/{host}"


class HostTokens:
    """Raises NotSignedInThere where it asks."""

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._believed: OrderedDict[tuple[str, str, str], _Believed] = OrderedDict()
        self._asking: OrderedDict[str, float] = OrderedDict()
        """Hosts that have asked for a sign-in, and until when that is remembered."""

    def needed(self, host: Host) -> bool:
        """Whether `of` is to be asked before a call; costs next to nothing."""
        return host.id in self._asking and signs_in(host)

    async def of(self, host: Host, user: str) -> str | None:
        """The token to call with; None: it may do without by now."""
        believed = self._believed.get(_key(host, user))
        now = self._clock()
        if believed is not None and believed.until > now:
            return believed.token
        try:
            return await self._asked(host, user, "")
        except NotSignedInThere:
            if self._asking.get(host.id, 0.0) > now:
                raise
            self._asking.pop(host.id, None)
            return None

    async def instead(self, host: Host, user: str, refused: str | None) -> str:
        """The token to try after the host has refused this one, or a call without."""
        self._remember(self._asking, host.id, self._clock() + ASKS_S)
        self._believed.pop(_key(host, user), None)
        stale = "" if refused is None else hashlib.sha256(refused.encode()).hexdigest()
        return await self._asked(host, user, stale)

    def forget(self, host: Host, user: str) -> None:
        """Its user is going to get one that is good for more."""
        self._believed.pop(_key(host, user), None)

    async def _asked(self, host: Host, user: str, stale: str) -> str:
        assert isinstance(host.endpoint, StreamableHttp)
        found = await self._ask(HostTokenRequest(user, host.id, host.endpoint.url, stale))
        until = self._clock() + min(BELIEVED_S, max(0.0, found.lasts_s))
        self._remember(self._asking, host.id, self._clock() + ASKS_S)
        self._remember(self._believed, _key(host, user), _Believed(found.token, until))
        return found.token

    @staticmethod
    def _remember(table: OrderedDict, key: object, value: object) -> None:  # type: ignore[type-arg]
        table[key] = value
        table.move_to_end(key)
        if len(table) > MOST_BELIEVED:
            table.popitem(last=False)


def _key(host: Host, user: str) -> tuple[str, str, str]:
    assert isinstance(host.endpoint, StreamableHttp)
    return user, host.id, host.endpoint.url
