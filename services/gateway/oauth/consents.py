"""What people have said yes to before, so that they are not asked the same again."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from services.gateway.access.identity import digest
from services.gateway.oauth import clients
from services.gateway.people.records import OAuthClient
from services.gateway.people.state import PeopleState

KEEP_S = 365 * 86_400.0


class Consent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`consent.<digest of user and client>`: what this client may do for this user."""

    user: str
    client: str
    scopes: tuple[str, ...]
    expires: float


class Consents:
    """By user and client. Raises StoreError."""

    def __init__(self, state: PeopleState) -> None:
        self._table = state.table("consent", Consent)

    def covers(self, user: str, client: OAuthClient, redirect: str, scopes: Iterable[str]) -> bool:
        """Whether somebody need not be asked.

        A client known by an address of its own that wants its answer on one's own computer may be
        any program there (RFC 8252, 8.6): its person is asked each time.
        """
        if clients.is_address(client.id) and not redirect.startswith("https://"):
            return False
        held = self._table.get(_name(user, client.id))
        return held is not None and set(scopes) <= set(held.value.scopes)

    async def give(self, user: str, client: OAuthClient, scopes: Iterable[str]) -> None:
        """Remember what somebody has said yes to, with what they said before."""
        name = _name(user, client.id)
        held = self._table.get(name)
        before = () if held is None else held.value.scopes
        every = tuple(sorted({*before, *scopes}))
        consent = Consent(user=user, client=client.id, scopes=every, expires=time.time() + KEEP_S)
        # Somebody else was quicker: at worst this person is asked once more.
        await self._table.put(name, consent, 0 if held is None else held.revision)

    async def withdraw(self, user: str, client: str) -> bool:
        """Forget it; False: there was none."""
        return await self._table.delete(_name(user, client))


def _name(user: str, client: str) -> str:
    return digest(f"{user}\0{client}")
