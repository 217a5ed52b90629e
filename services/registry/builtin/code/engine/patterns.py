"""From a pattern as a person writes it to one that ast-grep reads the way it is meant.

Some code means something else alone than inside of a function: `f(x)` in C declares. Such a pattern
gets its surroundings, and the node in them that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from services.registry.builtin.code.engine.grammars import Node, SyntaxTree

LONGEST_PATTERN = 10_000
VARIABLE = re.compile(r"(\$\$\$|\$)([A-Z_][A-Z0-9_]*)")
_MANY = re.compile(r"\$\$\$(?![A-Z_])")
# One name alone in the place of a statement: most languages want a semicolon behind it.
_STATEMENT = re.compile(r"(?<=[{;])(\s*)(\$\$\$[A-Z_0-9]*|\$[A-Z_0-9]+)(?=\s*\})")
_FUNCTION = (("void f_() { ", "; }"), ("void f_() { ", " }"))
_PLAIN = ("", "")
_CLASS = ("class C_ { ", " }")
_METHOD = ("class C_ { void f_() { ", "; } }")
_AROUND: dict[str, tuple[tuple[str, str], ...]] = {
    "c": (*_FUNCTION, _PLAIN),
    "cpp": (*_FUNCTION, ("class C_ { ", " };"), _PLAIN),
    "css": (_PLAIN, ("a { ", "; }"), ("a { ", " }")),
    "csharp": (_PLAIN, ("", ";"), _METHOD, _CLASS),
    "go": (_PLAIN, ("func f_() { ", " }")),
    "java": (_PLAIN, ("", ";"), _METHOD, _CLASS),
    "javascript": (_PLAIN, _CLASS),
    "json": (_PLAIN, ("{ ", " }")),
    "jsx": (_PLAIN, _CLASS),
    "php": (("<?php ", ""), ("<?php ", ";"), ("<?php class C_ { ", " }")),
    "rust": (_PLAIN, ("fn f_() { ", " }"), ("fn f_() { ", "; }"), ("impl C_ { ", " }")),
    "solidity": (_PLAIN, ("contract C_ { function f_() { ", "; } }"), ("contract C_ { ", " }")),
    "tsx": (_PLAIN, _CLASS),
    "typescript": (_PLAIN, _CLASS),
}


class BadPattern(Exception):
    """The pattern can't be used in this language; the message says why, and what to do."""


def prepared(pattern: str, language: str) -> Any:
    """The pattern for ast-grep: itself, or with its surroundings. Raises BadPattern."""
    if not pattern.strip():
        raise BadPattern("the pattern is empty: give code, with $NAME for what may be anything")
    if len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"the pattern has more than {LONGEST_PATTERN:,} characters")
    pattern = pattern.strip()
    tolerable: list[Any] = []
    for before, after, code in _ways(pattern, language):
        parsed = SyntaxTree(f"{before}{code}{after}", language)
        kind = _kind(parsed, len(before.encode()), len((before + code).encode()))
        if kind is None or parsed.found("ERROR"):
            continue
        made = _made(before, pattern, after, kind)
        if not parsed.root.has_error:
            return made
        tolerable.append(made)
    if tolerable:
        return tolerable[0]
    raise BadPattern(
        f"`{pattern[:100]}` is no single piece of {language}: write one whole expression,"
        " statement or definition, with $NAME for one node and $$$NAME for any number"
    )


def _ways(pattern: str, language: str) -> Iterator[tuple[str, str, str]]:
    """What the pattern may stand in, and how it looks as code."""
    around = (_PLAIN,) if pattern.startswith("#") else _AROUND.get(language, (_PLAIN,))
    # A name alone is a statement here and a parameter there: with none, both can be parsed.
    for many in ("x", ""):
        for before, after in around:
            code = pattern
            if "{" in before or ";" in after:
                code = _STATEMENT.sub(r"\1\2;", pattern)
            code = _MANY.sub(many, code)
            if not many:
                code = VARIABLE.sub(lambda match: "" if match[1] == "$$$" else match[0], code)
            yield before, after, VARIABLE.sub(_small, code)


def _small(match: re.Match[str]) -> str:
    return match[2].lower().strip("_") or "x"


def _made(before: str, pattern: str, after: str, kind: str) -> Any:
    if before in ("", "<?php ") and not after:
        return pattern
    return {"context": f"{before}{pattern}{after}", "selector": kind}


def _kind(parsed: SyntaxTree, start: int, end: int) -> str | None:
    """The type of the innermost node that is just the pattern's code; None: it is not one node.

    Of a type that is there already before it, ast-grep would take the first.
    """
    node: Node | None = parsed.root
    found: Node | None = None
    while node is not None:
        if node.start_byte == start and node.end_byte == end and node.parent is not None:
            found = node
        around = [one for one in node.children if one.start_byte <= start and one.end_byte >= end]
        node = around[0] if around else None
    if found is None or not found.is_named:
        return None
    first = parsed.found(found.type)[0]
    return str(found.type) if first.start_byte == start or start == 0 else None
