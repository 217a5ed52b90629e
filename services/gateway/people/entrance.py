"""The way in with a password: throttled, in the same time for whoever there is and is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

from contracts.errors import Reason, Rejected
from contracts.ids import MAX_TOKEN, is_user
from services.gateway.access.address import counted
from services.gateway.people.passwords import Passwords, Verified
from services.gateway.people.ports import Begun, Came
from services.gateway.people.records import User
from services.gateway.people.signins import SignedIn
from services.gateway.people.state import PeopleState
from services.gateway.people.throttle import Throttle
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users, changed

WRONG = "wrong user or password"
"""Whatever it is: no such user, no password, a disabled user, another password."""
PASSWORD = "password"


class Throttled(Rejected):
    """Too many wrong passwords: it may be tried again after `wait_s` seconds."""

    def __init__(self, wait_s: float, what: str = "passwords") -> None:
        text = f"too many wrong {what}: wait {int(wait_s) + 1} s"
        super().__init__(Reason.RATE_LIMITED, text)
        self.wait_s = wait_s


class Entrance:
    """Lets people in by their passwords, and lets them change those."""

    def __init__(
        self,
        state: PeopleState,
        users: Users,
        signed_in: SignedIn,
        passwords: Passwords,
        trail: Trail,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._users = users
        self._signed_in = signed_in
        self.passwords = passwords
        self._trail = trail
        self._clock = clock
        self._throttle = Throttle()

    async def sign_in(self, name: str, password: str, came: Came) -> tuple[User, Begun]:
        """Begin a session. Raises Rejected(UNAUTHORIZED, RATE_LIMITED, UNAVAILABLE), StoreError."""
        user, better = await self._shown(name, password, came)
        begun = await self._signed_in.begin(user, came)
        # Somebody may have changed the password, or disabled the user, in the meantime: either
        # they have seen this session and ended it, or what they did is seen now.
        await self._state.refresh()
        if not self._still(user):
            await self._signed_in.end(begun.session, user.name, reason="changed", asked_by="")
            self._refuse(name, came)
        await self._users.seen(user, better)
        self._note("sign_in", name, came, subject=begun.session)
        return user, begun

    async def set_password(
        self, name: str, password: str | None, asked_by: str, *, but: str | None = None
    ) -> None:
        """Give a user another password, or none, and end the sessions but one.

        Raises Rejected(BAD_REQUEST, NOT_FOUND, CONFLICT, UNAVAILABLE), StoreError.
        """
        user = self._users.account(name)
        if user is not None and user.service and password is not None:
            text = "a service has no password: issue it a token"
            raise Rejected(Reason.CONFLICT, text)
        made = "" if password is None else await self.passwords.hash(password, name)
        change = changed({"password": made, "password_set": time.time()})
        # Before it too: dead in between, whoever has stolen a session must not stay in.
        await self._signed_in.end_all(name, but=but, reason="password", asked_by=asked_by)
        await self._users.change(name, change, asked_by, note="password.changed")
        await self._signed_in.end_all(name, but=but, reason="password", asked_by=asked_by)

    async def confirm(self, name: str, password: str, came: Came) -> None:
        """Have somebody who has signed in show the password once more. Raises Rejected."""
        await self._shown(name, password, came)

    async def _shown(self, name: str, password: str, came: Came) -> tuple[User, str]:
        """Whose password that is, and its new hash if it needs one."""
        account, address = name[:MAX_TOKEN], counted(came.address)
        if wait_s := self._throttle.try_(account, address, self._clock()):
            self._note("throttled", name, came, outcome="refused", reason=Reason.RATE_LIMITED)
            raise Throttled(wait_s)
        user = self._users.get(name) if is_user(name) else None
        stored = "" if user is None or user.service else user.password
        try:
            found: Verified = await self.passwords.verify(stored, password)
            await self._state.refresh()
        except BaseException:
            self._throttle.undecided(account, address, self._clock())
            raise
        if user is None or not found.good or not self._still(user):
            self._refuse(name, came)
        self._throttle.forgive(account, address, self._clock())
        return user, found.better

    def _still(self, user: User) -> bool:
        now = self._users.get(user.name)
        return now is not None and _mark(now) == _mark(user)

    def _refuse(self, name: str, came: Came) -> NoReturn:
        self._note("sign_in", name, came, outcome="refused", reason=Reason.UNAUTHORIZED)
        raise Rejected(Reason.UNAUTHORIZED, WRONG)

    def _note(self, kind: str, name: str, came: Came, **more: str) -> None:
        # What is no name may be a password, typed into the wrong field.
        self._trail.note(
            kind,
            user=name if is_user(name) and self._users.account(name) else "",
            address=came.address,
            method=came.method,
            request_id=came.request_id,
            **more,
        )


def _mark(user: User) -> tuple[float, int]:
    """What has to be as it was when the password was compared."""
    return user.password_set, user.epoch
