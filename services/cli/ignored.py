"""Which names of a folder its ignore files leave out, as git would. Pure.

The deepest file that says something about a name decides; `.metamcpignore` before `.gitignore`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MOST_LINES = 10_000
"""Of one ignore file."""
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class IgnorePattern(NamedTuple):
    """One line of an ignore file."""

    regex: re.Pattern[str]
    ignores: bool
    """False: it takes back what a line before it says."""
    folders_only: bool
    last_part: bool
    """It is for the last part of a name, in whatever folder."""


class IgnoreRules(NamedTuple):
    """What one ignore file says about the names below its folder."""

    base: str
    """That folder, as the start of the names below it: empty, or with a slash at its end."""
    patterns: tuple[IgnorePattern, ...]
    """The last one that fits decides, so they stand here the other way round."""

    def decide(self, name: str, *, folder: bool) -> bool | None:
        """Whether the name is left out; None: there is no word about it."""
        below = name[len(self.base) :]
        last = below[below.rfind("/") + 1 :]
        for one in self.patterns:
            if one.folders_only and not folder:
                continue
            if one.regex.fullmatch(last if one.last_part else below):
                return one.ignores
        return None


def rules(base: str, text: str) -> IgnoreRules | None:
    """Read an ignore file; None: nothing in it counts. Lines that mean nothing are passed over."""
    lines = text.removeprefix("\ufeff").split("\n")[:MOST_LINES]
    found = [one for line in lines if (one := _pattern(line)) is not None]
    return IgnoreRules(base, tuple(reversed(found))) if found else None


def is_ignored(name: str, levels: Iterable[Sequence[IgnoreRules]], *, folder: bool) -> bool:
    """Whether a name is left out. Levels: the strongest first, in each the top folder first."""
    for level in levels:
        for one in reversed(level):
            if (decided := one.decide(name, folder=folder)) is not None:
                return decided
    return False


def _pattern(line: str) -> IgnorePattern | None:
    text = _without_spaces(line.removesuffix("\r"))
    if not text or text.startswith("#"):
        return None
    ignores = not text.startswith("!")
    text = text if ignores else text[1:]
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    last_part = "/" not in text
    try:
        regex = re.compile("".join(_regex(text.removeprefix("/"))), re.DOTALL)
    except (re.error, ValueError):
        return None
    return IgnorePattern(regex, ignores, folders_only, last_part) if text else None


def _without_spaces(line: str) -> str:
    """Spaces at the end count only after a backslash."""
    bare = line.rstrip(" ")
    slashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if slashes % 2 and len(bare) < len(line) else bare


def _regex(glob: str) -> Iterator[str]:
    """Translate piece by piece. Raises ValueError for what can fit nothing."""
    at = 0
    while at < len(glob):
        mark = glob[at]
        if mark == "*":
            stars = len(glob) - at - len(glob[at:].lstrip("*"))
            piece, taken = _stars(glob, at, stars)
        elif mark == "?":
            piece, taken = "[^/]", 1
        elif mark == "[":
            piece, taken = _bracket(glob, at)
        elif mark == "\\":
            if at + 1 == len(glob):
                raise ValueError("nothing is escaped")
            piece, taken = re.escape(glob[at + 1]), 2
        else:
            piece, taken = re.escape(mark), 1
        yield piece
        at += taken


def _stars(glob: str, at: int, stars: int) -> tuple[str, int]:
    """Two stars or more between slashes are any folders; else they stay between two slashes."""
    starts = at == 0 or glob[at - 1] == "/"
    following = glob[at + stars : at + stars + 1]
    if stars < 2 or not starts or following not in ("", "/"):
        return "[^/]*", stars
    return (".*", stars) if not following else ("(?:.*/)?", stars + 1)


def _bracket(glob: str, at: int) -> tuple[str, int]:
    """One character of several. Raises ValueError where the bracket is never closed."""
    here = at + 1
    negated = glob[here : here + 1] in ("!", "^")
    here += negated
    parts: list[str] = []
    first = True
    while first or glob[here : here + 1] != "]":
        first = False
        if glob[here : here + 2] == "[:" and (end := glob.find(":]", here)) > 0:
            parts.append(_CLASSES[glob[here + 2 : end]] if _known(glob, here, end) else "")
            here = end + 2
            continue
        low, here = _one(glob, here)
        if glob[here : here + 1] == "-" and glob[here + 1 : here + 2] not in ("", "]"):
            high, here = _one(glob, here + 1)
            # git has compared the first one before it sees that a range begins.
            parts.append(f"{re.escape(low)}-{re.escape(max(low, high))}")
        else:
            parts.append(re.escape(low))
    inside = "".join(parts)
    if not inside:
        return ("[^/]" if negated else "(?!)"), here + 1 - at
    return f"(?!/)[{'^' * negated}{inside}]", here + 1 - at


def _known(glob: str, here: int, end: int) -> bool:
    if glob[here + 2 : end] not in _CLASSES:
        raise ValueError("there is no such class")
    return True


def _one(glob: str, here: int) -> tuple[str, int]:
    """The next character of a bracket, and where it ends."""
    here += glob[here : here + 1] == "\\"
    if here >= len(glob):
        raise ValueError("the bracket is never closed")
    return glob[here], here + 1
