"""The token endpoint of an authorization server: codes and refresh tokens become tokens there."""

from __future__ import annotations

import re
import time
from typing import NamedTuple
from urllib.parse import quote

import httpx2

from contracts.errors import Reason, Rejected
from services.gateway.hostauth.metadata import AuthorizationServer, scopes_in
from services.gateway.hostauth.outbound import HostAsking, HostSaid

LONGEST_HOST_TOKEN = 8192
_CODE = re.compile(r"[a-z_]{1,48}")
_WORD = re.compile(r"[\x21-\x7e]+")
_BUSY = frozenset({"server_error", "temporarily_unavailable"})


class TokenRefused(Exception):
    """The authorization server gives no token; `word` is its error code."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class KnownAs(NamedTuple):
    """The client that we are at an authorization server."""

    client: str
    how: str = "none"
    secret: str = ""

    def __repr__(self) -> str:
        return f"KnownAs({self.client!r}, {self.how!r})"


class GivenToken(NamedTuple):
    """What an authorization server gave. Never logged."""

    access: str
    refresh: str
    scopes: tuple[str, ...]
    made: float
    ends: float | None

    def __repr__(self) -> str:
        return f"GivenToken(ends={self.ends})"


class TokenEndpoint:
    """Raises TokenRefused; Rejected(UNAVAILABLE) where nobody answers as he should."""

    def __init__(self, asking: HostAsking) -> None:
        self._asking = asking

    async def exchange(
        self, server: AuthorizationServer, known: KnownAs, form: dict[str, str], *, open_: bool
    ) -> GivenToken:
        """Have a token made by what stands in the form."""
        said = await self._posted(server.token, known, form, open_=open_)
        return read_given(said, server.issuer, time.time())

    async def revoke(
        self, server: AuthorizationServer, known: KnownAs, token: str, hint: str, *, open_: bool
    ) -> bool:
        """End a token there (RFC 7009); False: the server knows no way to, or refuses."""
        if not server.revoke:
            return False
        form = {"token": token, "token_type_hint": hint}
        return (await self._posted(server.revoke, known, form, open_=open_)).status == 200

    async def _posted(
        self, url: str, known: KnownAs, form: dict[str, str], *, open_: bool
    ) -> HostSaid:
        if known.how == "basic":
            # RFC 6749, 2.3.1: both are written as in a form first.
            pair = quote(known.client, safe=""), quote(known.secret, safe="")
            auth = httpx2.BasicAuth(*pair)
            return await self._asking.ask("POST", url, open_=open_, data=form, auth=auth)
        form = form | {"client_id": known.client}
        if known.how == "post":
            form["client_secret"] = known.secret
        return await self._asking.ask("POST", url, open_=open_, data=form)


def read_given(said: HostSaid, issuer: str, now: float) -> GivenToken:
    """Read the answer of a token endpoint. Raises TokenRefused, Rejected. Pure."""

    def text(name: str) -> str:
        found = said.fields.get(name)
        return found if isinstance(found, str) else ""

    if error := text("error"):
        word = error if _CODE.fullmatch(error) else "unknown_error"
        if word not in _BUSY:
            raise TokenRefused(word)
    if not error and 400 <= said.status < 500 and said.status not in (408, 429):
        raise TokenRefused(f"status_{said.status}")
    access, refresh = text("access_token"), text("refresh_token")
    fits = all(_fits(one) for one in (access, refresh or "-"))
    if said.status != 200 or not fits or text("token_type").lower() != "bearer":
        what = f"{issuer} answered {said.status} without a token that can be used"
        raise Rejected(Reason.UNAVAILABLE, f"{what}: try again")
    lasts = said.fields.get("expires_in")
    number = int(lasts) if isinstance(lasts, str) and lasts.isdecimal() else lasts
    lasting = isinstance(number, int | float) and not isinstance(number, bool) and number > 0
    ends = now + float(number or 0) if lasting else None
    return GivenToken(access, refresh, scopes_in(said.fields.get("scope")), now, ends)


def _fits(token: str) -> bool:
    return len(token) <= LONGEST_HOST_TOKEN and _WORD.fullmatch(token) is not None
