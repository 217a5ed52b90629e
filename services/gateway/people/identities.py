"""Who somebody elsewhere is here: identities of people, linked and unlinked by revision.

An identity is known by its id there, never by a name or an address.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.people.ports import People
from services.gateway.people.records import LinkedIdentity, User
from services.gateway.people.state import Gone, HeldRecord, PeopleState
from services.process.ids import new_id

MOST_IDENTITIES = 20
CLAIM_S = 86_400.0
"""How long somebody for whom a user is being made may go on with that after a death."""
LEAVING_S = 30.0
"""How long an unlinking takes at most; one that has not ended by then never will."""


def identity_key(authority: str, subject: str) -> str:
    """Under what an identity lies: the digest of the provider's own address and the id there."""
    return hashlib.sha256(f"{authority}\n{subject}".encode()).hexdigest()


class LinkedIdentities:
    """Those of all people. Raises StoreError where it asks NATS, and Rejected."""

    def __init__(self, state: PeopleState, people: People) -> None:
        self._state = state
        self._people = people
        self._table = state.table("identity", LinkedIdentity)
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        self._table.on_change.append(self._changed)
        self._table.on_forgotten.append(lambda key, one: self._forget(one.user, key))

    def of(self, user: str) -> dict[str, LinkedIdentity]:
        """Those of one person, by key."""
        held = {key: self._table.get(key) for key in self._keys.get(user, ())}
        return {
            key: one.value
            for key, one in sorted(held.items())
            if one is not None and not self._is_void(one.value)
        }

    def owner(self, key: str) -> User | str | None:
        """Whose an identity is; a name alone: of somebody who may not come in; None: nobody's."""
        held = self._table.get(key)
        if held is None or not held.value.user or self._is_void(held.value):
            return None
        user = self._people.get(held.value.user)
        return held.value.user if user is None else user

    async def claim(self, key: str, identity: LinkedIdentity) -> HeldRecord[LinkedIdentity]:
        """Begin to make a user for somebody new, or go on where somebody else has begun.

        The user comes first, and only then the identity says so: if we die in between, there is a
        user who is known by the claim, and never an identity that lets somebody in as whoever takes
        the name.
        """
        if (begun := self._claim(key)) is not None:
            return begun
        if self.owner(key) is not None:
            raise _quicker()
        held, now = self._table.held.get(key), time.time()
        mine = msgspec.structs.replace(
            identity, user="", linked=now, claim=new_id(), expires=now + CLAIM_S
        )
        made = await self._table.put(key, mine, 0 if held is None else held.revision)
        if (claimed := made or self._claim(key)) is None:
            raise _quicker()
        return claimed

    async def settle(self, key: str, claimed: HeldRecord[LinkedIdentity], user: User) -> None:
        """Say whose a claimed identity is, unless somebody else has said the same."""
        mine = msgspec.structs.replace(
            claimed.value,
            user=user.name,
            linked=max(time.time(), user.created),
            claim="",
            expires=None,
        )
        if await self._table.put(key, mine, claimed.revision) is None:
            now = self._table.get(key)
            if now is None or now.value.user != user.name:
                raise _quicker()

    async def link(self, key: str, identity: LinkedIdentity, user: User) -> bool:
        """Make an identity somebody's; False: it was theirs already."""
        await self._state.refresh()
        held, owner = self._table.held.get(key), self.owner(key)
        name = owner.name if isinstance(owner, User) else owner
        if name is not None and name != user.name:
            text = f"this account at {identity.provider} belongs to somebody else here"
            raise Rejected(Reason.CONFLICT, text)
        if name is None and len(self.of(user.name)) >= MOST_IDENTITIES:
            text = f"there are {MOST_IDENTITIES} identities of yours: unlink one first"
            raise Rejected(Reason.CONFLICT, text)
        now = max(time.time(), user.created)
        since = held.value.linked if held is not None and name is not None else now
        mine = msgspec.structs.replace(identity, user=user.name, linked=since)
        if await self._table.put(key, mine, 0 if held is None else held.revision) is None:
            raise _quicker()
        return name is None

    async def renamed(self, key: str, login: str) -> None:
        """Note how somebody is called there now; whoever is quicker wins."""
        held = self._table.get(key)
        if held is not None and held.value.login != login:
            named = msgspec.structs.replace(held.value, login=login)
            await self._table.put(key, named, held.revision)

    async def unlink(self, user: User, key: str) -> LinkedIdentity:
        """Take an identity from somebody, unless it is the last way in.

        Of two gateways that take the last two away at once, both see that the other is about to:
        an identity is marked first, and a marked one is no way in.
        """
        await self._state.refresh()
        held = self._table.get(key)
        if held is None or held.value.user != user.name:
            raise Rejected(Reason.NOT_FOUND, "there is no such identity of yours")
        if not user.password:
            await self._leave(user, key, held)
        await self._table.delete(key)
        return held.value

    def _claim(self, key: str) -> HeldRecord[LinkedIdentity] | None:
        held = self._table.get(key)
        return held if held is not None and held.value.claim else None

    async def _leave(self, user: User, key: str, held: HeldRecord[LinkedIdentity]) -> None:
        began = time.monotonic()
        if not self._others(user, key):
            raise _last()
        leaving = msgspec.structs.replace(held.value, leaving=time.time())
        marked = await self._table.put(key, leaving, held.revision)
        if marked is None:
            raise _quicker()
        await self._state.refresh()
        if not self._others(user, key) or time.monotonic() - began > LEAVING_S / 2:
            await self._table.put(key, held.value, marked.revision)
            raise _last()

    def _others(self, user: User, key: str) -> bool:
        """Whether there is another way in."""
        since = time.time() - LEAVING_S
        return any(k != key and one.leaving < since for k, one in self.of(user.name).items())

    def _is_void(self, identity: LinkedIdentity) -> bool:
        """Whether its user was deleted; another one may be called so now."""
        account = self._people.account(identity.user)
        return account is not None and (account.deleted > 0 or identity.linked < account.created)

    def _changed(self, told: Gone[LinkedIdentity]) -> None:
        if told.before is not None:
            self._forget(told.before.user, told.key)
        if told.after is not None:
            self._keys[told.after.user].add(told.key)

    def _forget(self, user: str, key: str) -> None:
        keys = self._keys[user]
        keys.discard(key)
        if not keys:
            del self._keys[user]


def _last() -> Rejected:
    text = (
        "this is the only way in that is left: set a password, or link another identity, and unlink"
        " it then"
    )
    return Rejected(Reason.CONFLICT, text)


def _quicker() -> Rejected:
    text = "somebody else is changing this identity right now: try again in half a minute"
    return Rejected(Reason.CONFLICT, text)
