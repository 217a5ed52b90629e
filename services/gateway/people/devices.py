"""Programs without a browser that ask to be let in: somebody who has signed in types their code.

As RFC 8628 has it. The program's own code is stored as a digest, and gives a session once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import NamedTuple

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal, digest
from services.gateway.people.ports import Begun, Came
from services.gateway.people.records import DeviceAsk
from services.gateway.people.signins import SignedIn
from services.gateway.people.state import HeldRecord, PeopleState
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users

PREFIX = "mtd_"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no code is a word, and nothing that looks like something else."""
CODE_LENGTH = 8
ASK_S = 600
POLL_S = 2.0
MOST_ASKS = 1_000
MOST_OF_ADDRESS = 20
MOST_AGENT = 200


class DeviceCodes(NamedTuple):
    """What a program is given that asks."""

    device_code: str
    user_code: str
    expires_s: float


class Devices:
    """What programs have asked for. Raises StoreError where it writes."""

    def __init__(self, state: PeopleState, users: Users, signed_in: SignedIn, trail: Trail) -> None:
        self._state = state
        self._users = users
        self._signed_in = signed_in
        self._trail = trail
        self._table = state.table("device", DeviceAsk)

    async def ask(self, came: Came) -> DeviceCodes:
        """Begin. Raises Rejected(UNAVAILABLE) if too many have."""
        self._table.forget_expired()
        mine = sum(held.value.address == came.address for held in self._table.held.values())
        if len(self._table.held) >= MOST_ASKS or mine >= MOST_OF_ADDRESS:
            raise Rejected(Reason.UNAVAILABLE, "too many ask to be let in now: try again later")
        device = PREFIX + secrets.token_urlsafe(32)
        letters = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        now = time.time()
        made = DeviceAsk(
            code=_digest(letters),
            created=now,
            expires=now + ASK_S,
            address=came.address,
            agent=came.agent[:MOST_AGENT],
        )
        await self._table.put(digest(device), made, 0)
        half = CODE_LENGTH // 2
        return DeviceCodes(device, f"{letters[:half]}-{letters[half:]}", ASK_S)

    async def find(self, user_code: str) -> DeviceAsk:
        """What waits under the code that somebody types. Raises Rejected(NOT_FOUND)."""
        return (await self._find(user_code))[1].value

    async def decide(self, user_code: str, principal: Principal, *, allow: bool) -> DeviceAsk:
        """Let it in as this principal, or not. Raises Rejected(NOT_FOUND, FORBIDDEN).

        Whose answer was lost, and who says the same again, is answered the same.
        """
        key, held = await self._find(user_code, by=principal.user)
        user = self._users.get(principal.user)
        if user is None or user.service:
            raise Rejected(Reason.FORBIDDEN, "only somebody with an account lets a program in")
        decided = msgspec.structs.replace(
            held.value,
            state="allowed" if allow else "refused",
            user=user.name,
            epoch=user.epoch,
        )
        if _says(held.value, decided):
            return held.value
        if held.value.user:
            raise _no_code()
        if await self._table.put(key, decided, held.revision) is None:
            now = self._table.get(key)
            if now is None or not _says(now.value, decided):
                raise _no_code()
        if not allow:
            self._note("refused", decided, principal.asked_by)
        return decided

    async def take(self, device_code: str, came: Came) -> tuple[str, Begun | None]:
        """What has become of it: `asked`, `refused`, or `allowed` with a session, once.

        Raises Rejected(NOT_FOUND): nothing is known of it, or not any more.
        """
        await self._state.refresh()
        key = digest(device_code)
        held = self._table.get(key)
        if held is None or held.value.state == "taken":
            raise _no_code()
        ask = held.value
        if ask.state != "allowed":
            return ask.state, None
        # Dead from here on the program has to ask again.
        taken = msgspec.structs.replace(ask, state="taken")
        if await self._table.put(key, taken, held.revision) is None:
            raise _no_code()
        user = self._users.get(ask.user)
        if user is None or user.epoch != ask.epoch:
            return "refused", None
        begun = await self._signed_in.begin(user, came)
        self._note("ok", ask, f"session:{begun.session}")
        return "allowed", begun

    async def _find(self, user_code: str, by: str = "") -> tuple[str, HeldRecord[DeviceAsk]]:
        """What waits under a code, or has been decided `by` somebody."""
        await self._state.refresh()
        wanted = _digest(user_code)
        for key, held in self._table.held.items():
            good = held.value.code == wanted and held.value.user in ("", by)
            if good and self._table.get(key) is not None:
                return key, held
        raise _no_code()

    def _note(self, outcome: str, ask: DeviceAsk, asked_by: str) -> None:
        self._trail.note(
            "sign_in",
            outcome=outcome,
            user=ask.user,
            address=ask.address,
            method="device",
            asked_by=asked_by,
        )


def _says(ask: DeviceAsk, decided: DeviceAsk) -> bool:
    """Whether that was decided already; a program that was let in may have come in since."""
    state = "allowed" if ask.state == "taken" else ask.state
    return msgspec.structs.replace(ask, state=state) == decided


def _digest(user_code: str) -> str:
    letters = "".join(mark for mark in user_code.upper() if mark in LETTERS)
    return hashlib.sha256(letters.encode()).hexdigest()


def _no_code() -> Rejected:
    return Rejected(Reason.NOT_FOUND, "there is no such code, or not any more: ask for another one")
