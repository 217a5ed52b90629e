"""Browsers that were sent to a provider: each comes back once, in 10 minutes, with its cookie.

They lie in the bucket of people, so that any gateway takes back whom another one has sent.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from typing import NamedTuple

import msgspec

from contracts.errors import Reason
from services.gateway.access.identity import digest
from services.gateway.people.providers import pkce
from services.gateway.people.providers.base import NotSignedIn, Sent
from services.gateway.people.records import ProviderLogin
from services.gateway.people.state import PeopleState

LOGIN_S = 600
MOST_LOGINS = 20_000
COOKIE = "metamcp_login"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Away(NamedTuple):
    """A login that has begun."""

    sent: Sent
    browser: str
    """The secret for the browser's cookie."""


class Logins:
    """Begins them and takes them back. Raises StoreError where it asks NATS."""

    def __init__(self, state: PeopleState) -> None:
        self._state = state
        self._table = state.table("login", ProviderLogin)

    async def begin(self, browser: str | None, login: ProviderLogin) -> Away:
        """Remember a login; its `browser` and `expires` are set here.

        `browser`: the secret that it has shown; one that began several logins keeps it.
        """
        if len(self._table.held) >= MOST_LOGINS:
            self._table.forget_expired()
        if len(self._table.held) >= MOST_LOGINS:
            text = "too many people are signing in: try again in a few minutes"
            raise NotSignedIn("crowded", text, Reason.UNAVAILABLE)
        browser = browser or secrets.token_urlsafe(32)
        state = secrets.token_urlsafe(32)
        kept = msgspec.structs.replace(
            login, browser=digest(browser), expires=time.time() + LOGIN_S
        )
        await self._table.put(digest(state), kept, 0)
        return Away(_sent(browser, state, login.redirect), browser)

    async def take(
        self, state: str, browser: str | None, provider: str
    ) -> tuple[ProviderLogin, Sent]:
        """Take a browser back. Raises NotSignedIn."""
        key = digest(state)
        await self._state.refresh()
        held = self._table.get(key)
        if held is None:
            raise _again("unknown_state", "This sign-in was not begun here, or took too long")
        login = held.value
        if browser is None or not hmac.compare_digest(digest(browser), login.browser):
            raise _again("other_browser", "This sign-in was begun in another browser")
        if login.used:
            raise _again("used_state", "This sign-in was finished already")
        if login.provider != provider:
            raise _again("wrong_provider", "This answer is of another provider than was asked")
        used = msgspec.structs.replace(login, used=True)
        if await self._table.put(key, used, held.revision) is None:
            raise _again("used_state", "This sign-in was finished already")
        return login, _sent(browser, state, login.redirect)


def cookie_name(secure: bool) -> str:
    """What the cookie is called; no other site under our domain can set one of the first name."""
    return f"__Host-{COOKIE}" if secure else COOKIE


def cookie(browser: str, secure: bool) -> tuple[bytes, bytes]:
    """The header that gives a browser its secret. Lax: it has to come back from elsewhere."""
    text = f"{cookie_name(secure)}={browser}; Path=/; Max-Age={LOGIN_S}; HttpOnly; SameSite=Lax"
    return b"set-cookie", (text + ("; Secure" if secure else "")).encode()


def shown(headers: dict[str, str], secure: bool) -> str | None:
    """The secret that a browser shows, if it is one."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie_name(secure) and _SECRET.fullmatch(value):
            return value
    return None


def _sent(browser: str, state: str, redirect: str) -> Sent:
    nonce, verifier = (pkce.derived(browser, state, use) for use in ("nonce", "verifier"))
    return Sent(state, nonce, verifier, redirect)


def _again(word: str, why: str) -> NotSignedIn:
    return NotSignedIn(word, f"{why}: nothing was changed. Sign in again.", Reason.BAD_REQUEST)
