"""From words on the command line to a task: input texts, files and capabilities.

Whatever can't be understood is a usage error that shows the right form.
"""

from __future__ import annotations

import base64
import math
import re
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import Rejected
from contracts.host import Capability
from contracts.ids import check_host, check_token, check_user
from contracts.subjects import WRITTEN
from services.cli.common import CliError, Exit

STDIN = "-"
FACT_TYPES = tuple(".".join(subject.split(".")[:2]) for subject in WRITTEN)
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MOST_LEVELS = 900
"""Of nesting. Python 3.11 and 3.12 read no more than 1000, and calls count too; newer ones do."""


def read_input(text: str | None, files: Sequence[Path] = ()) -> dict[str, Any]:
    """The task's input: JSON text, a file with it, or `-` for standard input; files are added.

    With files and no text, `path` names the first file.
    """
    value = {} if text is None else _parse(text)
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise _usage(f"The input must be a JSON object, not {kind}.", "For example: '{\"a\": 1}'")
    if not files:
        return value
    added = value.setdefault("files", {})
    if not isinstance(added, dict):
        raise _usage("`files` in the input must be an object of file name to text.")
    for path in files:
        if path.name in added:
            raise _usage(f"There are two files named {path.name}.")
        added[path.name] = as_content(_read(path))
    if text is None:
        value["path"] = files[0].name
    return value


def read_value(text: str) -> Any:
    """A value written as JSON, or as plain text where it is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def as_content(data: bytes) -> str | dict[str, str]:
    """A file as it stands in an input: its text, or its bytes in base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def check_ids(**ids: str | None) -> None:
    """Refuse what is no id of its kind; None is none. They become parts of URLs and subjects."""
    checks = {"host": check_host, "user": check_user}
    for what, text in ids.items():
        if text is not None:
            try:
                checks.get(what, check_token)(text, f"the {what} id")
            except Rejected as error:
                raise _usage(f"{error.message}.") from None


def check_types(types: Sequence[str]) -> None:
    """Refuse a type that no fact has."""
    for wanted in types:
        if wanted not in FACT_TYPES:
            raise _usage(f"There is no fact {wanted}.", f"Facts: {', '.join(FACT_TYPES)}")


def check_seconds(**options: float | None) -> None:
    """Refuse `nan` and `inf`, which JSON can't carry; limits are for the gateway to check."""
    for option, value in options.items():
        if value is not None and not math.isfinite(value):
            raise _usage(f"--{option} is {value}: expected a number of seconds.")


def capability(text: str) -> Capability:
    """Read `NAME[@VERSION][:parameter,parameter]`."""
    head, _, parameters = text.partition(":")
    name, at, version = head.partition("@")
    if not name or (at and not version):
        raise _usage(f"{text!r} is no capability.", "Write NAME, NAME@VERSION or NAME@1.2:a,b")
    given = tuple(part.strip() for part in parameters.split(",") if part.strip())
    return Capability(name, version, given) if version else Capability(name, parameters=given)


def moment(text: str | None) -> float | None:
    """Read a time or an age as seconds since the epoch; local time unless it says otherwise."""
    if text is None:
        return None
    try:
        if found := _AGO.fullmatch(text.strip()):
            return time.time() - timedelta(**{_UNITS[found[2]]: float(found[1])}).total_seconds()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        now = datetime.now(UTC).astimezone().isoformat(timespec="minutes")
        raise CliError(
            Exit.USAGE,
            f"{text!r} is no time.",
            f"Write it like {now}, or an age such as 30m or 2h.",
        ) from None


def _parse(text: str) -> Any:
    if text == STDIN:
        return _json(sys.stdin.buffer.read(), "standard input")
    if text.lstrip().startswith(("{", "[")):
        return _json(text.encode(errors="surrogateescape"), "the input")
    path = Path(text)
    if not _is_file(path):
        raise _usage(
            f"{_short(text)} is neither JSON nor a file.",
            "Give a JSON object, a file with one, or `-`.",
        )
    return _json(_read(path), str(path))


def _json(data: bytes, where: str) -> Any:
    try:
        value = msgspec.json.decode(data)
        _check_depth(value)
    except RecursionError:
        raise _usage(f"{where} is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise _usage(f"{where} is not JSON: {error}") from None
    return value


def _check_depth(value: Any) -> None:
    """Raise RecursionError now rather than when the task is sent."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecursionError


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # Too long a name, for example.
        return False


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _usage(f"{path} can't be read: {error.strerror}.") from None


def _usage(message: str, hint: str = "") -> CliError:
    return CliError(Exit.USAGE, message, hint)
