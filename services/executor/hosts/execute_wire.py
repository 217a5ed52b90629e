"""What goes to `/execute` and what comes back: the body, the statuses, the result.

Pure, but for big answers, which lie in files and are mapped.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contracts.facts import FailureKind
from contracts.message import bounded
from services.executor.attempt.call import Spooled
from services.executor.attempt.plan import AttemptPlan
from services.executor.hosts.bulk import check_text
from services.outside import site

_CHUNK = 1024 * 1024
_TEXT = 64 * 1024
_SPACES = b" \t\r\n"


class NotJson(Exception):
    """The answer is no JSON, or not in a form that can be stored."""


def body(plan: AttemptPlan, now: datetime) -> bytes:
    """Return the request of the original specification, the input in it byte for byte.

    No whitespace stands around the input, so whoever cuts it out gets what the permit names.
    """
    head = {"task_id": plan.task, "user_id": plan.user}
    tail = {
        "required_capabilities": [
            {"name": one.name, "version": one.version, "parameters": one.parameters}
            for one in plan.required
        ],
        "timeout": plan.timeout_s,
        "timestamp": now.isoformat(),
        "signature": plan.permit,
    }
    parts = (msgspec.json.encode(head)[:-1], plan.raw, msgspec.json.encode(tail)[1:])
    return b'%s,"input":%s,%s' % parts


class HostRefusal(NamedTuple):
    """What a host says with a status that is no success."""

    reason: str
    message: str
    loose: bool = False
    """It is not in the form in which a host speaks to users."""

    def __str__(self) -> str:
        return ": ".join(part for part in self[:2] if part) or "without a word"

    @classmethod
    def read(cls, status: int, data: bytes) -> HostRefusal:
        """Take `error.reason` and `error.message`, or `detail`, or the beginning of the text."""
        plain = site.plain
        try:
            fields = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls("", plain(data.decode("utf-8", "replace")), loose=True)
        error = fields.get("error") if isinstance(fields, dict) else None
        if isinstance(error, dict):
            reason, message = error.get("reason"), error.get("message")
            if isinstance(reason, str) or isinstance(message, str):
                return cls(plain(str(reason or "")), plain(str(message or "")))
        detail = fields.get("detail") if isinstance(fields, dict) else None
        if isinstance(detail, str):
            return cls("", plain(detail))
        text = msgspec.json.encode(fields if detail is None else detail).decode()
        return cls("", plain(text), loose=detail is None)


def advice(refusal: HostRefusal) -> str:
    """What to do about a Space kit of before 0.4, which expects a permit to name its id."""
    kind, _, text = refusal.message.partition(":")
    _, no_match, expected = text.rpartition(", not ")
    if refusal.reason != "bad_permit" or kind != "wrong_audience" or not no_match:
        return ""
    old = "://" not in expected
    return ". Its Space kit is of an earlier release: deploy it again" if old else ""


def meaning(status: int, reason: str) -> tuple[FailureKind, bool | None]:
    """What a status says about the call: the kind of failure, and whether the call was made.

    A status of the host's own says how the call ended; one of a proxy on the way does not.
    """
    match status:
        case 400 | 422:
            return FailureKind.BAD_INPUT, True
        case 409 if reason == "cancelled":
            return FailureKind.CUT, True
        case 409:
            return FailureKind.CUT, None
        case 413:
            return FailureKind.TOO_LARGE, True
        case 500:
            return FailureKind.TOOL, True
        case 504:
            return FailureKind.TIMEOUT, None
        case _ if status > 500 and status not in (501, 505):
            return FailureKind.CUT, None
        case _:
            return FailureKind.PROTOCOL, True


def small(data: bytes) -> dict[str, Any]:
    """Return the result in an answer. Raises NotJson."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"the answer is not JSON: {error}") from None
    if not isinstance(value, dict):
        return {"value": value}
    return value


def failure(value: Mapping[str, Any]) -> str:
    """What a small answer says that is an error; empty: it is none."""
    if value.get("is_error") is not True:
        return ""
    return _said(value.get("content"), value.get("structured"))


class _Seen(msgspec.Struct):
    """The parts of a big answer that matter here; raw ones are views into the mapped file."""

    is_error: msgspec.Raw = msgspec.Raw(b"false")
    content: msgspec.Raw = msgspec.Raw(b"[]")
    structured: msgspec.Raw = msgspec.Raw(b"null")


def checked(answer: Spooled) -> tuple[str, Spooled]:
    """Look through an answer in a file, which stays as it is: what it says if it is an error, or
    nothing. Raises NotJson.

    The file is mapped and its values are skipped, not built, so an answer of 100 MB takes no memory
    of this process that the system can't have back at once. On an error the file is gone.
    """
    try:
        return _look_through(answer.path), answer
    except BaseException:
        answer.remove()
        raise


def _look_through(path: Path) -> str:
    with path.open("rb") as file:
        # Not closed by hand: the raw parts are views into it.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if not data[:_CHUNK].lstrip(_SPACES).startswith(b"{"):
        raise NotJson("an answer of more than 1 MiB must be a JSON object")
    try:
        check_text(data)
    except ValueError as error:
        raise NotJson(f"the answer is not UTF-8: {error}") from None
    seen = _read(data)
    return _said_in(seen) if bytes(seen.is_error) == b"true" else ""


def _read(data: mmap.mmap) -> _Seen:
    try:
        return msgspec.json.decode(data, type=_Seen)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotJson(f"the answer is not JSON: {error}") from None


def _said_in(seen: _Seen) -> str:
    content = memoryview(seen.content)
    if len(content) > _TEXT:
        return bounded(bytes(content[:_TEXT]).decode("utf-8", "ignore"))
    structured = memoryview(seen.structured)
    told = msgspec.json.decode(seen.structured) if len(structured) <= _TEXT else None
    return _said(msgspec.json.decode(seen.content), told)


def _said(content: Any, structured: Any) -> str:
    """All text of a tool's answer, else what it holds, bounded."""
    items = content if isinstance(content, list) else []
    texts = [item.get("text") for item in items if isinstance(item, dict)]
    text = "\n".join(text for text in texts if isinstance(text, str))
    if not text.strip() and structured is not None:
        text = msgspec.json.encode(structured).decode()
    return bounded(text or "the tool answered with an error and no text")
