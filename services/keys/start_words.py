"""What a program wrote before it ended at its start, fit for everybody: no secret, and no place.

Pure. Nobody's work is in it yet, so it is about the program alone; what it writes later is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from contracts.host import Stdio
from services.keys.spotting import in_text, secret_name

LINES = 5
LINE = 200
"""Characters of each line."""
HIDDEN = "[redacted]"
_LEAST = 4
"""A shorter value is in every other word, and no secret."""
_READ = 1000
"""Characters of a line that are looked at: no stranger's text is to take long."""
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;]{0,20}[A-Za-z]|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
_NAMED = re.compile(r"\b([A-Za-z][\w.-]{0,80})(\s{0,3}[=:]\s{0,3})[\"']?([^\s\"',;]+)")
_PLACES = (
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s\"'<>]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\":]+[/\\])+"), "…/"),
    (re.compile(r"(?<![\d.])(?!127\.|0\.0)\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"), "[address]"),
)
"""Where things lie is the operator's: of a path the last name is left, of a URL its scheme."""
_WHY = re.compile(
    r"(?:Error|Exception)\b\s*[:\[(]|(?-i:\bE[A-Z]{3,}\b)|\berror[:!]|"
    r"\b(?:required|missing|not set|not found|not in this registry|no such|cannot|can't|unable to"
    r"|refused|denied|invalid|unknown)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"error|fail|fatal", re.IGNORECASE)
_ASIDE = re.compile(r"\s*at .*[:(]|.*A complete log of this run|\s*throw\b|.*\bNote that you can\b")
"""Places in a stack, and what npm says each time."""


def start_words(text: str, endpoint: Stdio, environment: Mapping[str, str]) -> str:
    """Return the line that tells why and the last lines, as one; empty: nothing was written.

    `text` is the end of what it wrote; values of its variables that are secrets are left out.
    """
    for value in _secrets(endpoint, environment):
        text = text.replace(value, HIDDEN)
    lines = [line for line in map(_clean, text.splitlines()) if line]
    last = lines[-LINES:]
    why = _last(lines, _WHY) or _last(lines, _WORD)
    if why is None:
        return " | ".join(last)
    others = " | ".join(line for line in last if line != why)
    return f"{why} (its last lines: {others})" if others else why


def _secrets(endpoint: Stdio, environment: Mapping[str, str]) -> list[str]:
    """Values that nobody is to read, the longest first: one may be a part of another."""
    named = {*endpoint.env_from, *(name for name in endpoint.env if secret_name(name))}
    values = {environment.get(name, "") for name in named}
    parts = {line for value in values for line in value.splitlines()}
    return sorted((one for one in values | parts if len(one) >= _LEAST), key=len, reverse=True)


def _clean(line: str) -> str:
    line = " ".join(_ESCAPES.sub(" ", line[:_READ]).split())
    line = _NAMED.sub(_without_value, line)
    if in_text(line):
        return HIDDEN
    for place, short in _PLACES:
        line = place.sub(short, line)
    return line if len(line) <= LINE else f"{line[:LINE]}…"


def _without_value(found: re.Match[str]) -> str:
    """`API_KEY=abc` without what it is; `API_KEY: required` says nothing."""
    name, between, value = found.groups()
    secret = secret_name(name) and any(map(str.isdigit, value))
    return f"{name}{between}{HIDDEN}" if secret else found[0]


def _last(lines: list[str], pattern: re.Pattern[str]) -> str | None:
    found = (one for one in reversed(lines) if pattern.search(one) and not _ASIDE.match(one))
    return next(found, None)
