"""Who has signed in: sessions of people, with access and refresh tokens, and cookies of browsers.

All gateways share them. Nothing that lets somebody in is stored: it is derived from the root key.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from contracts.budget import DEFAULT
from contracts.errors import Reason, Rejected
from services.gateway.access.identity import UNKNOWN, Principal
from services.gateway.people import rotation
from services.gateway.people.keys import RootKeys, SignInKeys
from services.gateway.people.ports import Begun, Came, OnGone
from services.gateway.people.records import ConsoleLink, SignIn, User
from services.gateway.people.rotation import Again, Over, Reuse, Rotated
from services.gateway.people.state import Gone, PeopleState
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users
from services.gateway.settings import Settings
from services.process.ids import new_id
from services.process.shared import Shared

AUDIENCE = "metamcp api"
REFRESH_PREFIX = "mtr_"
LOOK_S = 0.1
MOST_AGENT = 200
ATTEMPTS = 8
FORGED = "a change that comes with a cookie needs its anti-forgery token (`X-CSRF-Token`)"
FOREIGN = "a change that comes with a cookie has to come from a page of this gateway"


class _Shown(NamedTuple):
    """A refresh token, taken apart."""

    session: str
    number: int


class Lifetimes(NamedTuple):
    """How long what a sign-in gives out is good, in seconds."""

    access_s: float
    refresh_s: float


class SignedIn:
    """See `SignIns` and `Identity`. Raises StoreError where it writes."""

    def __init__(
        self,
        state: PeopleState,
        users: Users,
        keys: SignInKeys,
        trail: Trail,
        lifetimes: Lifetimes,
        *,
        secure: bool,
    ) -> None:
        """`secure`: browsers reach this gateway by TLS alone."""
        self._state = state
        self._users = users
        self.keys = keys
        self._trail = trail
        self._lifetimes = lifetimes
        self._secure = secure
        self.cookie = "__Host-metamcp" if secure else "metamcp"
        self.most: Callable[[str], int] = lambda user: DEFAULT.sign_ins
        """Sessions of a user; the one that was used longest ago makes room for the next."""
        self.origins: Collection[str] = ()
        """Of pages from which a change may come."""
        self.of_token: Callable[[str], Principal | None] = lambda token: None
        """Whose a token is by which somebody came in (`SignIn.token`); None: nobody's that is
        good. The gateway sets it."""
        self.on_gone: list[OnGone] = []
        self._table = state.table("session", SignIn)
        self._table.on_change.append(self._changed)
        self._table.on_forgotten.append(lambda id_, one: self._forget(one.user, id_))
        self._of_user: defaultdict[str, set[str]] = defaultdict(set)
        self._look = Shared(state.refresh, LOOK_S)
        users.on_less.append(self._less)

    async def begin(self, user: User, came: Came) -> Begun:
        """See `SignIns`. Who has too many loses the one that was used longest ago."""
        if user.service or self._users.get(user.name) is None:
            raise Rejected(Reason.FORBIDDEN, "this account can't sign in")
        return await self._begin(SignIn(**_beginning(user.name, user.epoch, came)))

    async def begin_by(self, link: ConsoleLink, came: Came) -> Begun:
        """Let in by a link whoever has made it. Raises Rejected, StoreError."""
        made = SignIn(
            **_beginning(link.user, link.epoch, came), token=link.token, scopes=link.scopes
        )
        account = self._users.account(link.user)
        if (account is not None and account.service) or not self._good(made):
            raise Rejected(Reason.FORBIDDEN, "what this link was made with is no good any more")
        return await self._begin(made)

    async def _begin(self, sign_in: SignIn) -> Begun:
        keys, now, user = await self.keys.ensure(), time.time(), sign_in.user
        for old, _ in self.of_user(user)[max(self.most(user), 1) - 1 :]:
            await self.end(old, user, reason="too many", asked_by="")
        id_, expires = new_id(), now + self._lifetimes.refresh_s
        made = msgspec.structs.replace(sign_in, created=now, rotated=now, expires=expires)
        # Dead from here on there is a session in the list that nobody can use.
        if await self._table.put(id_, made, 0) is None and self.get(id_) != made:
            raise _busy()
        return self._begun(keys, id_, made, now)

    async def refresh(self, token: str, came: Came) -> tuple[str, Begun]:
        """Give the next tokens for a refresh token; the answer begins with whose they are.

        Raises Rejected(UNAUTHORIZED): it is no good, and if it was stolen the session is over.
        """
        keys = await self.keys.ensure()
        shown = _shown(keys, token)
        for _ in range(ATTEMPTS):
            await self._state.refresh()
            held = self._table.get(shown.session)
            if held is None or not self._good(held.value):
                raise _unknown()
            now, keep_s = time.time(), self._lifetimes.refresh_s
            match rotation.refresh(held.value, shown.number, now, keep_s):
                case Rotated(following):
                    if await self._table.put(shown.session, following, held.revision) is not None:
                        return following.user, self._begun(keys, shown.session, following, now)
                case Again():
                    return held.value.user, self._begun(keys, shown.session, held.value, now)
                case Reuse():
                    await self._reused(shown.session, held.value, came)
                    raise _unknown()
                case Over():
                    raise _unknown()
        raise _busy()

    def of(self, token: str) -> Principal | None:
        """See `Identity`: whose an access token is."""
        keys = self.keys.known
        claims = keys.read(AUDIENCE, token) if keys is not None and _is_jwt(token) else None
        if claims is None:
            return None
        found = self._principal(str(claims.get("sid", "")))
        if found is None or found.user != claims["sub"]:
            return None
        return found._replace(expires=float(claims["exp"]))

    async def look_for(self, token: str) -> None:
        """Look if it was given out elsewhere a moment ago; ten times a second at most, for all."""
        if _is_jwt(token):
            await self._look.answer()

    def holds(self, principal: Principal) -> bool:
        """Whether this principal came with a session that is good."""
        now = None if principal.token is None else self._principal(principal.token)
        return now is not None and principal.roles <= now.roles

    def browser(self, headers: Mapping[str, str]) -> Principal | None:
        """See `SignIns`."""
        keys, shown = self.keys.known, _cookie(headers.get("cookie", ""), self.cookie)
        id_, _, mark = shown.partition(".")
        if keys is None or not keys.is_mark(mark, "cookie", id_):
            return None
        return self._principal(id_)

    def check_form(self, headers: Mapping[str, str], principal: Principal, token: str) -> None:
        """See `SignIns`."""
        self.check_origin(headers)
        keys, session = self.keys.known, principal.token or ""
        if keys is None or not keys.is_mark(token, "form", session):
            raise Rejected(Reason.FORBIDDEN, FORGED)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse what a page of somebody else had a browser send. Raises Rejected(FORBIDDEN)."""
        origin = headers.get("origin", "null")
        # Our own pages say no referrer, and so browsers send `null` for their forms.
        ours = headers.get("sec-fetch-site") == "same-origin"
        if not (ours if origin == "null" else origin in self.origins):
            raise Rejected(Reason.FORBIDDEN, FOREIGN)

    def form_token(self, principal: Principal) -> str:
        """See `SignIns`."""
        keys = self.keys.known
        return "" if keys is None else keys.mark("form", principal.token or "")

    def cookies(self, begun: Begun) -> list[tuple[bytes, bytes]]:
        """See `SignIns`."""
        keys = self.keys.known
        mark = "" if keys is None else keys.mark("cookie", begun.session)
        return [self._set_cookie(f"{begun.session}.{mark}", int(begun.refresh_s))]

    def no_cookies(self) -> list[tuple[bytes, bytes]]:
        """The headers that take it from the browser again."""
        return [self._set_cookie("", 0)]

    def get(self, id_: str) -> SignIn | None:
        """A session that is good."""
        held = self._table.get(id_)
        return held.value if held is not None and self._good(held.value) else None

    def of_user(self, name: str) -> list[tuple[str, SignIn]]:
        """The sessions of a user that are good, the one used last first."""
        ids = self._of_user.get(name, ())
        found = [(id_, one) for id_ in ids if (one := self.get(id_)) is not None]
        return sorted(found, key=lambda pair: pair[1].rotated, reverse=True)

    async def end(self, id_: str, user: str, *, reason: str, asked_by: str) -> bool:
        """End a session, here at once and elsewhere within a second; False: there was none."""
        if not await self._table.delete(id_):
            return False
        self._trail.note("session.ended", user=user, subject=id_, reason=reason, asked_by=asked_by)
        return True

    async def end_all(self, user: str, *, but: str | None, reason: str, asked_by: str) -> int:
        """End all sessions of a user, but one. Raises StoreError."""
        await self._state.refresh()
        ended = 0
        for id_ in list(self._of_user.get(user, ())):
            if id_ != but:
                ended += await self.end(id_, user, reason=reason, asked_by=asked_by)
        return ended

    def _begun(self, keys: RootKeys, id_: str, sign_in: SignIn, now: float) -> Begun:
        access_s = self._lifetimes.access_s
        claims = {
            "sub": sign_in.user,
            "sid": id_,
            "epoch": sign_in.epoch,
            "iat": int(now),
            "exp": int(now + access_s),
        }
        number = sign_in.number
        mark = keys.mark("refresh token", id_, str(number))
        return Begun(
            session=id_,
            access=keys.sign(AUDIENCE, claims),
            access_s=access_s,
            refresh=f"{REFRESH_PREFIX}{id_}.{number}.{mark}",
            refresh_s=sign_in.expires - now,
        )

    async def _reused(self, id_: str, sign_in: SignIn, came: Came) -> None:
        self._trail.note(
            "refresh",
            outcome="refused",
            user=sign_in.user,
            subject=id_,
            reason="reuse",
            address=came.address,
            request_id=came.request_id,
        )
        await self.end(id_, sign_in.user, reason="reuse", asked_by="")

    def _principal(self, id_: str) -> Principal | None:
        sign_in = self.get(id_)
        if sign_in is None:
            return None
        if sign_in.token:
            shown = self.of_token(sign_in.token)
            return shown and shown._replace(
                expires=min(sign_in.expires, shown.expires or sign_in.expires),
                token=id_,
                asked_by=f"session:{id_}",
            )
        user = self._users.get(sign_in.user)
        if user is None:
            return None
        scopes = None if sign_in.scopes is None else frozenset(sign_in.scopes)
        roles = frozenset(user.roles) - {"user"}
        return Principal(user.name, roles, sign_in.expires, id_, scopes, f"session:{id_}")

    def _good(self, sign_in: SignIn) -> bool:
        account = self._users.account(sign_in.user)
        if sign_in.token:
            # Who has made it need not have an account: the token says what it may.
            shown = self.of_token(sign_in.token)
            if shown is None or shown.user != sign_in.user:
                return False
            if account is None:
                return True
        return account is not None and not account.disabled and account.epoch == sign_in.epoch

    def _changed(self, gone: Gone[SignIn]) -> None:
        if gone.after is not None:
            self._of_user[gone.after.user].add(gone.key)
        elif gone.before is not None:
            self._forget(gone.before.user, gone.key)
            self._tell({gone.key})

    def end_with(self, tokens: frozenset[str]) -> None:
        """Have what is open with sessions that came from these tokens shown anew."""
        if not tokens:
            return
        held = self._table.held.items()
        self._tell({id_ for id_, one in held if one.value.token in tokens})

    def _less(self, name: str) -> None:
        """Let what is open be shown anew: it is looked at then."""
        self._tell(set(self._of_user.get(name, ())))

    def _forget(self, name: str, id_: str) -> None:
        ids = self._of_user[name]
        ids.discard(id_)
        if not ids:
            del self._of_user[name]

    def _tell(self, gone: set[str]) -> None:
        if gone:
            for hook in self.on_gone:
                hook(frozenset(gone))

    def _set_cookie(self, value: str, age_s: int) -> tuple[bytes, bytes]:
        text = f"{self.cookie}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax"
        return b"set-cookie", (text + ("; Secure" if self._secure else "")).encode()


def _beginning(user: str, epoch: int, came: Came) -> dict[str, Any]:
    """What a new session has, but for its times."""
    return {
        "user": user,
        "epoch": epoch,
        "method": came.method,
        "created": 0.0,
        "expires": 0.0,
        "address": came.address,
        "agent": came.agent[:MOST_AGENT],
    }


def lifetimes(settings: Settings) -> Lifetimes:
    """As the settings say it."""
    return Lifetimes(60.0 * settings.access_token_minutes, 86_400.0 * settings.refresh_token_days)


def is_secure(public_url: str, has_certificate: bool) -> bool:
    """Whether browsers reach the gateway by TLS: its own, or that of a proxy before it."""
    return has_certificate or urlsplit(public_url).scheme == "https"


def _cookie(header: str, name: str) -> str:
    """The value of a cookie; empty if it is missing."""
    jar: SimpleCookie = SimpleCookie()
    with contextlib.suppress(CookieError):
        jar.load(header)
    return jar[name].value if name in jar else ""


def _shown(keys: RootKeys, token: str) -> _Shown:
    """Take a refresh token apart. Raises Rejected(UNAUTHORIZED) for one that was not made here."""
    parts = token.removeprefix(REFRESH_PREFIX).split(".")
    if token.startswith(REFRESH_PREFIX) and len(parts) == 3:
        id_, number, mark = parts
        if keys.is_mark(mark, "refresh token", id_, number):
            return _Shown(id_, int(number))
    raise _unknown()


def _is_jwt(token: str) -> bool:
    return token.count(".") == 2 and token.startswith("ey")


def _unknown() -> Rejected:
    return Rejected(Reason.UNAUTHORIZED, UNKNOWN)


def _busy() -> Rejected:
    return Rejected(Reason.CONFLICT, "this session is being changed: try again")
