"""Invitations: somebody new may come in with one, once, whoever else is admitted.

Only the digest of a code is kept, so its text is known at its making alone.
"""

from __future__ import annotations

import secrets
import time

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import digest
from services.gateway.people.records import Invitation
from services.gateway.people.state import HeldRecord, PeopleState

PREFIX = "mti_"
MOST_INVITATIONS = 10_000


class Invitations:
    """All that are open. Raises Rejected, and StoreError where it asks NATS."""

    def __init__(self, state: PeopleState) -> None:
        self._state = state
        self._table = state.table("invitation", Invitation)

    async def add(self, user: str, by: str, ttl_s: float) -> tuple[str, Invitation, str]:
        """Invite somebody; the code, and under which key its digest lies."""
        await self._state.refresh()
        self._table.forget_expired()
        if len(self._table.held) >= MOST_INVITATIONS:
            text = f"there are {MOST_INVITATIONS} invitations: take some back"
            raise Rejected(Reason.CONFLICT, text)
        code, now = PREFIX + secrets.token_urlsafe(32), time.time()
        made = Invitation(user=user, by=by, created=now, expires=now + ttl_s)
        key = digest(code)
        await self._table.put(key, made, 0)
        return code, made, key

    def are_for(self, user: str) -> bool:
        """Whether somebody is invited under this name."""
        open_ = (self._table.get(key) for key in self._table.held)
        return any(held is not None and held.value.user == user for held in open_)

    def page(self, after: int, count: int) -> tuple[list[tuple[str, Invitation]], int | None]:
        """Some of them, oldest first, and where the rest begins."""
        held = sorted(self._table.held.items(), key=lambda one: one[1].revision)
        live = [(k, h) for k, h in held if h.revision > after and self._table.get(k) is not None]
        found = [(key, one.value) for key, one in live[:count]]
        return found, live[count - 1][1].revision if len(live) > count else None

    async def withdraw(self, key: str) -> Invitation:
        """Take one back. Raises Rejected(NOT_FOUND)."""
        await self._state.refresh()
        held = self._table.get(key)
        if held is None or not await self._table.delete(key):
            raise Rejected(Reason.NOT_FOUND, "there is no such invitation")
        return held.value

    async def check(self, code: str) -> str:
        """The key of an invitation that is good now. Raises Rejected(FORBIDDEN)."""
        await self._state.refresh()
        key = digest(code)
        self._held(key)
        return key

    async def take(self, key: str, identity: str) -> Invitation:
        """Have it for this identity alone; of two who do, one is told. Raises Rejected(FORBIDDEN).

        Who has it keeps it until they are in, however often they have to begin again.
        """
        held = self._held(key)
        mine = msgspec.structs.replace(held.value, taken=identity)
        if held.value.taken not in ("", identity):
            raise _no_good()
        if held.value.taken or await self._table.put(key, mine, held.revision) is not None:
            return mine
        if self._held(key).value != mine:
            raise _no_good()
        return mine

    async def use_up(self, key: str) -> None:
        """Whoever has taken it is in."""
        await self._table.delete(key)

    def _held(self, key: str) -> HeldRecord[Invitation]:
        held = self._table.get(key)
        if held is None:
            raise _no_good()
        return held


def _no_good() -> Rejected:
    text = "this invitation was used, has ended or was taken back: ask for a new one"
    return Rejected(Reason.FORBIDDEN, text)
