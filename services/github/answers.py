"""What GitHub's answers mean: errors in our words, rate limits, pages, redirects. Pure: the clock
comes in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from services.github.errors import (
    GitHubBusy,
    GitHubConflict,
    GitHubDenied,
    GitHubError,
    GitHubForbidden,
    GitHubLimited,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)

MOVED = frozenset({301, 302, 303, 307, 308})
BUSY = frozenset({408, 425, 500, 502, 503, 504})
SECONDARY_S = 60.0
"""How long GitHub asks to wait for a secondary limit of which it says no time."""
LONGEST_WAIT_S = 2 * 3600.0
LINK_AGAIN = "link the account again, `metamcp link github`"
_WORDS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NEXT = re.compile(r'<([^<>]{1,2048})>\s*;[^,<>]*\brel="?next"?')

T = TypeVar("T")


class _Words(msgspec.Struct):
    """The body of an answer that failed."""

    message: str = ""
    errors: list[Any] = []


def failed(status: int, headers: Mapping[str, str], body: bytes, now: float) -> GitHubError:
    """The error that an answer stands for; `headers` are found in any case, `now` is the time."""
    words = _words(body)
    said = f": {_line(words)}" if _line(words) else ""
    if wait_s := _limited(status, headers, words.message, now):
        return limited(wait_s)
    if _code(words) == "too_large":
        return GitHubTooLarge("the file is too large for GitHub's API: it gives at most 100 MB")
    match status:
        case 401:
            text = "GitHub does not accept this token: make a new one and"
            return GitHubDenied(f"{text} {LINK_AGAIN}")
        case 403 | 451:
            return GitHubForbidden(f"GitHub does not allow this{said}{_missing_right(headers)}")
        case 404 | 410:
            more = "" if words.message == "Not Found" else said
            return GitHubMissing(f"GitHub has nothing there that the linked account may see{more}")
        case 409:
            return GitHubConflict(f"GitHub says it is otherwise now{said}")
        case 422 if "already exists" in _line(words).lower():
            return GitHubConflict(f"it is there already, GitHub says{said}")
        case 413:
            return GitHubTooLarge(f"GitHub takes no body as big as this{said}")
        case _ if status in BUSY or status >= 500:
            return GitHubBusy(f"GitHub has a fault ({status}): try again later")
        case _ if 400 <= status < 500:
            return GitHubRefused(f"GitHub refuses it ({status}){said}")
        case _:
            return GitHubError(f"GitHub answered {status}: try again later")


def limited(wait_s: float) -> GitHubLimited:
    """Say how long it takes."""
    text = f"GitHub limits how often this account may ask: free again in {wait_s:.0f} s"
    return GitHubLimited(text, wait_s)


def _limited(status: int, headers: Mapping[str, str], message: str, now: float) -> float | None:
    """Seconds to wait, if that is what GitHub says; by its own rules for clients."""
    spent = headers.get("x-ratelimit-remaining") == "0"
    told = _number(headers.get("retry-after"))
    hinted = spent or told is not None or "rate limit" in message.lower()
    if status != 429 and not (status == 403 and hinted):
        return None
    reset = _number(headers.get("x-ratelimit-reset"))
    if told is not None:
        wait_s = told
    elif spent and reset is not None:
        wait_s = reset - now
    else:
        wait_s = SECONDARY_S
    return min(max(wait_s, 1.0), LONGEST_WAIT_S)


def next_page(link: str | None) -> bool:
    """Whether a `Link` header names a next page."""
    return _NEXT.search(link or "") is not None


def followed(url: str, location: str, *, downloads: bool = False) -> str:
    """Where a redirect leads. Raises GitHubRefused where it may not.

    It may to the same host, as for renamed repositories; with `downloads`, also to the host that
    gives out archives.
    """
    try:
        target = urljoin(url, location)
        asked, given = urlsplit(url), urlsplit(target)
        to, port = given.hostname or "", given.port
        same = (given.scheme, to, port) == (asked.scheme, asked.hostname, asked.port)
    except ValueError:
        raise GitHubRefused("GitHub redirects to a place that is no URL") from None
    archives = f"codeload.{(asked.hostname or '').removeprefix('api.')}"
    there = downloads and (given.scheme, to, port) == (asked.scheme, archives, asked.port)
    if not location or not (same or there) or "@" in given.netloc:
        raise GitHubRefused("GitHub redirects to another host: the token is not taken there")
    return target


def decoded(body: bytes, type_: type[T]) -> T:
    """Read an answer. Raises GitHubError if it is none that is known."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = "GitHub answered with something that is not understood: try again later"
        raise GitHubError(text) from None


def _missing_right(headers: Mapping[str, str]) -> str:
    """What GitHub's headers say the token lacks."""
    if headers.get("x-github-sso", "").startswith("required"):
        return "; the organisation wants the token authorised for its single sign-on"
    wanted = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes")
    if not wanted:
        return ""
    return f"; it needs {_plain(wanted)}: {LINK_AGAIN} with a token that has it"


def _words(body: bytes) -> _Words:
    try:
        return msgspec.json.decode(body, type=_Words)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Words()


def _code(words: _Words) -> str:
    first = words.errors[0] if words.errors else None
    return str(first.get("code", "")) if isinstance(first, dict) else ""


def _line(words: _Words) -> str:
    """The message, and what the first of the errors in it adds."""
    first = words.errors[0] if words.errors else None
    more = first.get("message") if isinstance(first, dict) else first
    added = f" ({more})" if isinstance(more, str) and more else ""
    return _plain(words.message + added)


def _plain(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())[:_WORDS]


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None
