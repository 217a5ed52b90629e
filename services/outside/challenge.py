"""What stands in `WWW-Authenticate`, of however many schemes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_CHALLENGE = 8192
MOST_SHOWN_SCOPE = 200
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


def parameters(headers: Iterable[str]) -> dict[str, str]:
    """All that is said by name; of what is said twice the first."""
    found: dict[str, str] = {}
    for header in headers:
        for name, quoted, plain in _PARAMETER.findall(header[:LONGEST_CHALLENGE]):
            found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
    return found


def missing_scope(headers: Iterable[str]) -> str:
    """The scope that a token lacks (RFC 6750, 3.1); empty: that is not why."""
    said = parameters(headers)
    scope = said.get("scope", "")
    if said.get("error") != "insufficient_scope" or not _SCOPES.fullmatch(scope):
        return ""
    return scope if len(scope) <= MOST_SHOWN_SCOPE and "'" not in scope else ""
