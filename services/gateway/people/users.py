"""The accounts: one for each person or service, shared by all gateways.

An account is optional for a token that an operator has issued; once there is one, it says what its
tokens may do, and whether they are good at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from services.gateway.access.identity import LOCAL_USER
from services.gateway.domain import ADMIN
from services.gateway.people.records import User
from services.gateway.people.state import Gone, HeldRecord, PeopleState
from services.gateway.people.trail import Trail

MOST_USERS = 200_000
ATTEMPTS = 8
"""How often a change is tried again after somebody else was quicker."""

Change = Callable[[User], User]


class Users:
    """See `People` of `ports`. Reading asks nobody; writing raises StoreError."""

    def __init__(self, state: PeopleState, trail: Trail) -> None:
        self._state = state
        self._trail = trail
        self._table = state.table("user", User)
        self._table.on_change.append(self._changed)
        self.on_less: list[Callable[[str], object]] = []
        """Called with the name of a user who may less than before, or nothing any more: whatever
        is open with what that user was given has to be shown anew."""

    def get(self, name: str) -> User | None:
        """A user who may come in."""
        found = self.account(name)
        return None if found is None or found.disabled else found

    def account(self, name: str) -> User | None:
        """The account of this name, also a disabled one, and what is left of a deleted one."""
        held = self._table.get(name)
        return None if held is None else held.value

    def barred(self, name: str) -> bool:
        """Whether there is an account which may not come in."""
        found = self.account(name)
        return found is not None and found.disabled

    def page(self, after: int, count: int) -> tuple[list[User], int | None]:
        """Some users, those changed longest ago first, and where the rest begins."""
        found: list[HeldRecord[User]] = []
        for held in self._table.held.values():
            if held.revision > after and not held.value.deleted:
                if len(found) == count:
                    return [one.value for one in found], found[-1].revision
                found.append(held)
        return [one.value for one in found], None

    async def create(self, user: User, asked_by: str, *, again: bool = False) -> User:
        """Make a user; `again`: also under the name of one that was deleted.

        Raises Rejected(BAD_ID, CONFLICT).
        """
        name = check_user(user.name)
        if name == LOCAL_USER:
            text = f"{name} is the user of the data folder's own token: choose another name"
            raise Rejected(Reason.CONFLICT, text)
        await self._state.refresh()
        if len(self._table.held) >= MOST_USERS:
            raise Rejected(Reason.CONFLICT, f"there are {MOST_USERS} users: no more are kept")
        before = self._table.get(name)
        _check_free(before, again)
        now = time.time()
        epoch, revision = (before.value.epoch + 1, before.revision) if before else (0, 0)
        made = msgspec.structs.replace(user, created=now, changed=now, epoch=epoch, deleted=0.0)
        if await self._table.put(name, made, revision) is None:
            _check_free(self._table.get(name), again)
            raise _busy()
        self._trail.note("user.created", user=name, asked_by=asked_by)
        return made

    async def change(self, name: str, change: Change, asked_by: str, *, note: str = "") -> User:
        """Change an account; `note`: what is noted of it, else what has changed says so.

        Of what goes in nobody looks at names, epochs and times: they are kept here.
        Raises Rejected(NOT_FOUND, CONFLICT).
        """
        before, after = await self._put(name, change)
        try:
            await self._keep_an_admin(before, after)
        except Rejected:
            await self._put(name, lambda now: _restored(now, before, after))
            raise
        if after != before:
            self._trail.note(note or _kind(before, after), user=name, asked_by=asked_by)
        return after

    async def end_everything(self, name: str, asked_by: str) -> User:
        """End all that was given to a user, everywhere within a second. Raises Rejected."""
        return await self.change(name, _ended, asked_by, note="session.ended")

    async def delete(self, name: str, asked_by: str) -> User:
        """Delete a user: the name alone is kept, so that nobody else gets what is under it."""
        return await self.change(name, _deleted, asked_by)

    async def seen(self, user: User, better: str) -> None:
        """Note that somebody has come in; `better`: the password's hash, if it has changed.

        Whoever was quicker with another change wins: this one is not worth a second try.
        """
        held = self._table.get(user.name)
        if held is None or held.value.password_set != user.password_set:
            return
        changed = {"password": better} if better else {}
        now = msgspec.structs.replace(held.value, seen=time.time(), **changed)
        await self._table.put(user.name, now, held.revision)

    async def _put(self, name: str, change: Change) -> tuple[User, User]:
        await self._state.refresh()
        for _ in range(ATTEMPTS):
            held = self._table.get(name)
            if held is None or held.value.deleted:
                raise Rejected(Reason.NOT_FOUND, "there is no such user")
            before = held.value
            wanted = msgspec.structs.replace(change(before), name=before.name)
            if wanted == before:
                return before, before
            after = msgspec.structs.replace(wanted, changed=time.time())
            if wanted.disabled and not before.disabled and wanted.epoch == before.epoch:
                after = _ended(after)
            self._check_last(before, after)
            if await self._table.put(name, after, held.revision) is not None:
                return before, after
        raise _busy()

    def _check_last(self, before: User, after: User) -> None:
        if _is_admin(before) and not _is_admin(after) and self._admins() <= 1:
            raise _last()

    async def _keep_an_admin(self, before: User, after: User) -> None:
        """Of two gateways that take the last two admins away at once, both give them back."""
        if _is_admin(before) and not _is_admin(after):
            await self._state.refresh()
            if not self._admins():
                raise _last()

    def _admins(self) -> int:
        return sum(_is_admin(held.value) for held in self._table.held.values())

    def _changed(self, gone: Gone[User]) -> None:
        before, after = gone.before, gone.after
        if (
            after is None
            or after.disabled
            or after.epoch != (before.epoch if before else 0)
            or (before is not None and set(before.roles) - set(after.roles))
        ):
            for hook in self.on_less:
                hook(gone.key)


def changed(fields: dict[str, Any]) -> Change:
    """The change that sets these fields."""
    return lambda user: msgspec.structs.replace(user, **fields)


def _ended(user: User) -> User:
    return msgspec.structs.replace(user, epoch=user.epoch + 1)


def _deleted(user: User) -> User:
    return User(
        name=user.name,
        disabled=True,
        service=user.service,
        created=user.created,
        epoch=user.epoch + 1,
        deleted=time.time(),
    )


def _restored(now: User, before: User, after: User) -> User:
    """As it was, but for what ended by the change; nothing if somebody has changed it since."""
    same = msgspec.structs.replace(now, seen=after.seen) == after
    return msgspec.structs.replace(before, epoch=after.epoch) if same else now


def _is_admin(user: User) -> bool:
    return ADMIN in user.roles and not user.disabled and not user.service


def _kind(before: User, after: User) -> str:
    if after.deleted:
        return "user.deleted"
    return "user.disabled" if after.disabled and not before.disabled else "user.changed"


def _check_free(held: HeldRecord[User] | None, again: bool) -> None:
    if held is None or (held.value.deleted and again):
        return
    name = held.value.name
    if held.value.deleted:
        text = (
            f"user {name} was deleted, and tasks may be kept under that name: to give all of it to"
            " a new user, say `again`"
        )
        raise Rejected(Reason.CONFLICT, text)
    raise Rejected(Reason.CONFLICT, f"there is a user {name} already")


def _last() -> Rejected:
    text = "this is the last admin who can come in: give somebody else the role first"
    return Rejected(Reason.CONFLICT, text)


def _busy() -> Rejected:
    return Rejected(Reason.CONFLICT, "somebody else is changing this user: try again")
