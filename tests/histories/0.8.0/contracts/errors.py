"""Refusals: why something was not accepted, as a stable word and a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Wire codes of refusals. Stored and sent: add, never rename."""

    BAD_REQUEST = "bad_request"
    BAD_ID = "bad_id"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    ALREADY_OVER = "already_over"
    RATE_LIMITED = "rate_limited"
    DIGEST_MISMATCH = "digest_mismatch"
    UNAVAILABLE = "unavailable"
    DISK_FULL = "disk_full"
    INTERNAL = "internal"


class Rejected(Exception):
    """A request that is refused: `reason` for machines, `message` for people, nothing was done."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
