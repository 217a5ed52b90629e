"""What callers ask for, checked: nothing of theirs is ever taken for an option. Pure.

Every function raises GitRefused with words for the caller.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

LONGEST_REVISION = 500
LONGEST_PATH = 4096
LONGEST_PATTERN = 1000
MOST_PATHS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AGO = re.compile(r"(\d{1,6})[ .](second|minute|hour|day|week|month|year)s?[ .]ago")
_SPANS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_TIMES = (
    "`2026-01-31`, `2026-01-31T12:00:00Z`, `@1769860800` (seconds since 1970), `2 weeks ago`,"
    " `yesterday`, `today` and `now`"
)


class GitRefused(Exception):
    """The call can't be answered; the message says why, and what to do."""


class Comparison(NamedTuple):
    """What a diff compares: `old` with `new`, or with what is not committed (None)."""

    old: str
    new: str | None = None
    merge_base: bool = False


def revision(text: str) -> str:
    """The name of one revision."""
    what = f"the revision {text[:80]!r}"
    if not text or len(text) > LONGEST_REVISION:
        raise GitRefused(f"{what} must have 1 to {LONGEST_REVISION} characters")
    if _CONTROL.search(text) or _unpaired(text):
        raise GitRefused(f"{what} has characters that no revision has")
    if text.startswith("-"):
        raise GitRefused(f"{what} begins with `-`: name a commit, branch or tag")
    if ".." in text or text.startswith("^"):
        raise GitRefused(f"{what} is a range: name one commit, branch or tag")
    if ":" in text or "{/" in text:
        raise GitRefused(f"{what} is a search: name a commit, branch or tag")
    return text


def target(text: str) -> Comparison:
    """One revision, `A..B` or `A...B`; a side that is left out is HEAD."""
    old, dots, new = text.partition("...")
    if not dots:
        old, dots, new = text.partition("..")
    if not dots:
        return Comparison(revision(text))
    return Comparison(revision(old or "HEAD"), revision(new or "HEAD"), dots == "...")


def place_in(text: str) -> tuple[str, str | None]:
    """`REV` or `REV:path`; the path of a whole tree is empty."""
    name, colon, inside = text.partition(":")
    return revision(name), _inside(inside) if colon else None


def paths(given: Sequence[str] | None) -> list[str]:
    """Names relative to the top of the repository; none of them: everything."""
    if given is not None and len(given) > MOST_PATHS:
        raise GitRefused(f"there are {len(given)} paths; {MOST_PATHS} are allowed")
    checked = [_inside(one) for one in given or ()]
    return [] if "" in checked else checked


def path(text: str) -> str:
    """The name of one file, relative to the top of the repository."""
    if not (checked := _inside(text)):
        raise GitRefused(f"{text!r} names no file")
    return checked


def _inside(text: str) -> str:
    what = f"the path {text[:80]!r}"
    if len(text) > LONGEST_PATH:
        raise GitRefused(f"{what}… has {len(text)} characters; {LONGEST_PATH} are allowed")
    if "\0" in text or _unpaired(text):
        raise GitRefused(f"{what} has characters that no path has")
    if text.startswith("/"):
        raise GitRefused(f"{what} is absolute: give it relative to the top of the repository")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise GitRefused(f"{what} leaves the repository")
    return "/".join(parts)


def pattern(text: str) -> str:
    """What to search for."""
    if not text or len(text) > LONGEST_PATTERN:
        raise GitRefused(f"a pattern has 1 to {LONGEST_PATTERN} characters, this one {len(text)}")
    if "\n" in text or "\0" in text or _unpaired(text):
        raise GitRefused("a pattern is one line of text: search for one line after another")
    return text


def words(text: str, what: str) -> str:
    """Words to look for in commits."""
    if not text or len(text) > LONGEST_PATTERN or _CONTROL.search(text) or _unpaired(text):
        raise GitRefused(f"`{what}` has 1 to {LONGEST_PATTERN} characters in one line")
    return text


def moment(text: str, now: datetime, *, end: bool) -> str:
    """A time as git takes it. A day alone begins with its first second, or `end`s with its last.

    Times without a zone are UTC. git itself takes any words for a time, and what it does not
    understand for now.
    """
    words_, day = text.strip().lower(), now.astimezone(UTC).date()
    try:
        if words_ == "now":
            return _written(now)
        if words_ in ("today", "yesterday"):
            return _of_day(day - timedelta(days=words_ == "yesterday"), end=end)
        if match := _AGO.fullmatch(words_):
            return _written(_before(now, int(match[1]), match[2]))
        if words_.startswith("@"):
            return _written(datetime.fromtimestamp(int(words_[1:]), UTC))
        if "t" not in words_ and ":" not in words_:
            return _of_day(datetime.fromisoformat(words_).date(), end=end)
        return _written(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError, OSError):
        raise GitRefused(
            f"{text[:80]!r} is no time that is known here. There are {_TIMES}."
        ) from None


def _of_day(day: date, *, end: bool) -> str:
    return _written(datetime.combine(day, time(23, 59, 59) if end else time()))


def _before(now: datetime, count: int, unit: str) -> datetime:
    if unit in _SPANS:
        return now - count * _SPANS[unit]
    months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1] if year > 0 else 1
    return now.replace(year=year, month=month + 1, day=min(now.day, last))


def _written(moment_: datetime) -> str:
    if moment_.tzinfo is None:
        moment_ = moment_.replace(tzinfo=UTC)
    if moment_.year < 1970:
        # git knows no earlier times and would take one for now.
        moment_ = datetime.fromtimestamp(0, UTC)
    return moment_.replace(microsecond=0).isoformat()


def _unpaired(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
