"""What goes over the wire of `/execute`: the body that comes in, the answers that go out. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import permit

NAMES = (
    *("task_id", "user_id", "input", "required_capabilities", "timeout", "timestamp"),
    "signature",
)
MAX_TIMEOUT_S = 7 * 86400.0
MAX_MESSAGE = 2000
MAX_DEPTH = 64
"""Arrays and objects inside each other; the orchestrator takes no more either."""


class Answer(NamedTuple):
    """An answer as it is sent, and sent again."""

    status: int
    body: bytes | Path
    """JSON, or the file that holds it."""
    ok: bool = False
    """The tool did what it was asked to do."""


class Refused(Exception):
    """The request ends here, with this error. Nothing about it is remembered."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        """The same request may be sent again after this; 0: it would be refused again."""

    def answer(self) -> Answer:
        """The error as an answer."""
        return failure(self.status, self.reason, self.message)


class Parts(NamedTuple):
    """The members of a request's body; nothing but their presence is checked."""

    members: dict[str, permit.Member]
    signature: str


class Body(NamedTuple):
    """The body of a request, checked on its own."""

    task: str
    user: str
    input: dict[str, Any]
    timeout_s: float


def split(data: bytes) -> Parts:
    """Take the body apart. Raises Refused(400)."""
    try:
        found = permit.members(data)
    except ValueError as error:
        raise bad_request(f"the body is no JSON object as it should be: {error}") from error
    if missing := [name for name in NAMES if name not in found]:
        raise bad_request(f"the body lacks {', '.join(missing)}")
    if unknown := sorted(set(found) - set(NAMES)):
        raise bad_request(f"the body has {unknown[0][:80]!r}, which is not known here")
    for name in ("task_id", "user_id", "timestamp", "signature"):
        if not isinstance(found[name].value, str):
            raise bad_request(f"{name} is no text")
    return Parts(found, found["signature"].value)


def parse(parts: Parts) -> Body:
    """Check the body's form. Raises Refused(400)."""
    found = parts.members
    _check_input(found["input"].value)
    if not isinstance(found["required_capabilities"].value, list):
        raise bad_request("required_capabilities is no list")
    _check_timestamp(found["timestamp"].value)
    return Body(
        task=found["task_id"].value,
        user=found["user_id"].value,
        input=found["input"].value,
        timeout_s=_timeout(found["timeout"].value),
    )


def bad_request(message: str) -> Refused:
    """A refusal of what is not even a request."""
    return Refused(400, "bad_request", message)


def _check_input(value: Any) -> None:
    """Refuse what is legal JSON but can't be passed on: half characters, too big numbers, depth."""
    if not isinstance(value, dict):
        raise bad_request("input is no JSON object")
    layer: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        layer = [item for outer in layer for item in _containers(outer)]
    if layer:
        raise bad_request(f"input is nested more than {MAX_DEPTH} deep")
    try:
        _encode(value)
    except ValueError as error:
        raise bad_request(f"input can't be passed on: {error}") from error


def _containers(value: Any) -> Iterator[Any]:
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return (item for item in items if isinstance(item, dict | list))


def _timeout(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_request("timeout is no number of seconds")
    if not (math.isfinite(value) and 0 < value <= MAX_TIMEOUT_S):
        raise bad_request(f"timeout must be more than 0 and at most {MAX_TIMEOUT_S:.0f} seconds")
    return float(value)


def _check_timestamp(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_request("timestamp is no ISO 8601 time") from error


def success(content: Sequence[Any], structured: Any, is_error: bool) -> Answer:
    """The result of a tool. Raises ValueError if it can't be written as JSON."""
    value = {"content": content, "structured": structured, "is_error": is_error}
    return Answer(200, _encode(value), not is_error)


def failure(status: int, reason: str, message: str) -> Answer:
    """Every other end."""
    printable = "".join(mark if mark.isprintable() else " " for mark in message[:MAX_MESSAGE])
    return Answer(status, _encode({"error": {"reason": reason, "message": printable}}))


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


CANCELLED = failure(409, "cancelled", "whoever asked went away, so the run was cancelled")
OUTCOME_UNKNOWN = failure(
    409,
    "outcome_unknown",
    "a run under this permit began and its outcome is not known here. It is not run again under"
    " this permit: make a new attempt if running it twice does no harm",
)
