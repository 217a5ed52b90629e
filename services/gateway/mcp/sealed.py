"""What a client carries from a question to its answer (`requestState`), sealed for its user alone.

All gateways of an installation share the master key, so any of them reads what another has given.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from mcp import MCPError
from mcp_types import INVALID_PARAMS

from contracts.asks import TaskAsked
from contracts.result import sha256_hex
from contracts.task import canonical
from services.keys.vault import KeyFile, VaultError

MOST_CHARS = 4096
"""Of what is looked at: ours are a tenth of it."""


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """What stands in it."""

    task: str
    q: int
    call: str
    """Digest of the call that the question is a part of."""
    expires: float
    """As of the question, by log time."""


def digest_of(*call: Any) -> str:
    """What calls have in common that are the same."""
    return sha256_hex(canonical(call))[:32]


class RequestStates:
    """Seals and opens them. Raises VaultError where the master key is missing."""

    def __init__(self, key: KeyFile) -> None:
        self._key = key

    def seal(self, asked: TaskAsked, expires: float, call: str) -> str:
        """What the client of the task's user is to bring back."""
        plain = msgspec.json.encode(Carried(asked.task, asked.q, call, expires))
        wrapped = self._key.vault().wrap(_purpose(asked.user), plain)
        return base64.urlsafe_b64encode(wrapped).decode()

    def open(self, user: str, state: str, call: str, now: float) -> Carried:
        """What a client of this user has brought back with a call. Raises MCPError."""
        if len(state) > MOST_CHARS:
            raise unfit("it is none that was given here")
        try:
            wrapped = base64.b64decode(state.encode(), b"-_", validate=True)
            plain = self._key.vault().unwrap(_purpose(user), wrapped)
            found = msgspec.json.decode(plain, type=Carried)
        except (VaultError, binascii.Error, UnicodeEncodeError, msgspec.MsgspecError):
            raise unfit("it is none that was given to this user here") from None
        if found.call != call:
            raise unfit("it belongs to another call: give the arguments it was given for")
        if now > found.expires:
            text = f"the time to answer is over: get_task tells what became of task {found.task}"
            raise unfit(text)
        return found


def unfit(why: str) -> MCPError:
    """The answer to a state that is not good for this call."""
    return MCPError(INVALID_PARAMS, f"requestState: {why}; or call again without it")


def _purpose(user: str) -> str:
    return f"mcp request state of {user}"
