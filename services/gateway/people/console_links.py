"""Links that sign a browser in, once: whoever works with the command line opens the console so.

Only the digest of a code is stored, so its text is known at its making alone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.address import counted
from services.gateway.access.identity import Principal, digest
from services.gateway.people.entrance import Throttled
from services.gateway.people.ports import Begun, Came
from services.gateway.people.records import ConsoleLink
from services.gateway.people.signins import SignedIn
from services.gateway.people.state import HeldRecord, PeopleState
from services.gateway.people.throttle import Throttle
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users

PREFIX = "mtl_"
LINK_S = 600
MOST_LINKS = 1_000
MOST_OF_USER = 20
AGAIN = "make another with `metamcp console`"


class LinkMade(NamedTuple):
    """What whoever has asked for a link is given, once."""

    code: str
    expires_s: float


class ConsoleLinks:
    """All that are open. Raises Rejected, and StoreError where it asks NATS."""

    def __init__(
        self,
        state: PeopleState,
        users: Users,
        signed_in: SignedIn,
        trail: Trail,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._users = users
        self._signed_in = signed_in
        self._trail = trail
        self._clock = clock
        self._throttle = Throttle()
        self._table = state.table("console_link", ConsoleLink)

    async def add(self, principal: Principal, shown: str | None) -> LinkMade:
        """Make a link for whoever asks; `shown`: the token that they have shown, if it was one.

        Raises Rejected(FORBIDDEN, UNAVAILABLE).
        """
        token = self._token(principal, shown)
        account = self._users.account(principal.user)
        if account is not None and account.service:
            raise Rejected(Reason.FORBIDDEN, "a service does not sign in: it has tokens only")
        await self._state.refresh()
        self._table.forget_expired()
        mine = sum(held.value.user == principal.user for held in self._table.held.values())
        if mine >= MOST_OF_USER or len(self._table.held) >= MOST_LINKS:
            text = "too many links were made in the last ten minutes: try again later"
            raise Rejected(Reason.UNAVAILABLE, text)
        code, now = PREFIX + secrets.token_urlsafe(32), time.time()
        made = ConsoleLink(
            user=principal.user,
            epoch=0 if account is None else account.epoch,
            created=now,
            expires=now + LINK_S,
            by=principal.asked_by,
            token=token,
            scopes=None if principal.scopes is None else tuple(sorted(principal.scopes)),
        )
        await self._table.put(digest(code), made, 0)
        return LinkMade(code, LINK_S)

    async def take(self, code: str, came: Came) -> tuple[str, Begun]:
        """Begin the session that a code is good for, once; the answer begins with whose it is.

        Raises Rejected(NOT_FOUND, FORBIDDEN, RATE_LIMITED).
        """
        address = counted(came.address)
        if wait_s := self._throttle.try_(PREFIX, address, self._clock()):
            self._note("throttled", "", came, outcome="refused", reason=Reason.RATE_LIMITED)
            raise Throttled(wait_s, "codes")
        try:
            link = await self._taken(digest(code))
            begun = await self._signed_in.begin_by(link, came)
        except Rejected as refusal:
            self._note("sign_in", "", came, outcome="refused", reason=refusal.reason)
            raise
        except BaseException:
            self._throttle.undecided(PREFIX, address, self._clock())
            raise
        self._throttle.forgive(PREFIX, address, self._clock())
        self._note("sign_in", link.user, came, subject=begun.session, asked_by=link.by)
        return link.user, begun

    async def _taken(self, key: str) -> ConsoleLink:
        """Have it, alone: of two who do, one is told that it was used."""
        await self._state.refresh()
        held: HeldRecord[ConsoleLink] | None = self._table.get(key)
        if held is None:
            text = f"this link is unknown, or older than ten minutes: {AGAIN}"
            raise Rejected(Reason.NOT_FOUND, text)
        used = msgspec.structs.replace(held.value, used=time.time())
        # Dead from here on there is no session, and another link has to be made.
        if held.value.used or await self._table.put(key, used, held.revision) is None:
            raise Rejected(Reason.NOT_FOUND, f"this link was used already: {AGAIN}")
        return held.value

    def _token(self, principal: Principal, shown: str | None) -> str:
        """By what the session will hold: a token, or nothing but the account.

        What a client of somebody's may, a browser may not by it: consents name the client alone.
        """
        if self._signed_in.get(principal.token or "") is not None:
            return ""
        token = principal.token or ("" if shown is None else digest(shown))
        if token and self._signed_in.of_token(token) is not None:
            return token
        raise Rejected(Reason.FORBIDDEN, "links are made with a token or a session, not by clients")

    def _note(self, kind: str, user: str, came: Came, **more: str) -> None:
        self._trail.note(
            kind,
            user=user,
            address=came.address,
            method=came.method,
            request_id=came.request_id,
            **more,
        )
