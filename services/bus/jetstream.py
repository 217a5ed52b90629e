"""Answers of the JetStream API; errors are told apart by their numbers, never by their words."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ApiReason(StrEnum):
    """What an error of the server means to us."""

    NOT_FOUND = "not_found"
    """There is no such stream or consumer."""
    NO_MESSAGE = "no_message"
    """There is none that was asked for."""
    CONFLICT = "conflict"
    """Another message stands where one was expected, or none where it was not."""
    NEVER = "never"
    """It will not be done, however often it is asked for."""
    NO_ROOM = "no_room"
    """The streams may not have so many bytes together."""
    OTHER = "other"


LASTING = frozenset({ApiReason.NOT_FOUND, ApiReason.NEVER})
"""Reasons for which asking again is of no use."""


_REASONS = {
    10014: ApiReason.NOT_FOUND,  # consumer not found
    10023: ApiReason.NO_ROOM,  # insufficient resources
    10037: ApiReason.NO_MESSAGE,  # no message found
    10047: ApiReason.NO_ROOM,  # insufficient storage resources available
    10054: ApiReason.NEVER,  # message size exceeds maximum allowed
    10059: ApiReason.NOT_FOUND,  # stream not found
    10071: ApiReason.CONFLICT,  # wrong last sequence
    10109: ApiReason.NEVER,  # invalid operation on sealed stream
    10164: ApiReason.CONFLICT,  # wrong last sequence, without which one it is
}


class StoredMessage(msgspec.Struct, frozen=True):
    """A message of a stream as its leader gives it (`STREAM.MSG.GET`)."""

    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""
    """The header block, from `NATS/1.0` to the empty line."""


class ApiError(msgspec.Struct, frozen=True):
    """An error as JetStream words it."""

    code: int = 0
    """As of HTTP."""
    err_code: int = 0
    """The server's own number of it."""
    description: str = ""

    @property
    def reason(self) -> ApiReason:
        """What it means."""
        return _REASONS.get(self.err_code, ApiReason.OTHER)
