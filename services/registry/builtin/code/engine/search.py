# mypy: disable-error-code="import-not-found"
"""Code by its structure: patterns of ast-grep, in which `$NAME` stands for one node."""

from __future__ import annotations

from typing import Any

import ast_grep_py

from services.registry.builtin.code.engine import patterns
from services.registry.builtin.code.engine.languages import LANGUAGES
from services.registry.builtin.code.engine.patterns import VARIABLE, BadPattern

MOST_MATCHES = 1000
LONGEST = 500
"""Characters of a line, or of what a name of the pattern stands for."""


def searchable() -> list[str]:
    """The languages that patterns can be for."""
    return sorted(name for name, notions in LANGUAGES.items() if notions.search)


def check(pattern: str, language: str) -> None:
    """Raise BadPattern unless the pattern is code of this language."""
    notions = LANGUAGES.get(language)
    if notions is None or not notions.search:
        raise BadPattern(f"`{language}` can't be searched: {', '.join(searchable())} can")
    _nodes("", language, pattern)


def found(text: str, language: str, pattern: str, most: int, context: int) -> dict[str, Any]:
    """The matches of one file; those beyond `most` are counted only. Raises BadPattern."""
    nodes = _nodes(text, language, pattern)
    lines = text.split("\n")
    names = list(dict.fromkeys(VARIABLE.findall(pattern)))
    return {
        "matches": [_match(node, names, lines, context) for node in nodes[:most]],
        "left_out": max(0, len(nodes) - most),
    }


def _nodes(text: str, language: str, pattern: str) -> list[Any]:
    prepared = patterns.prepared(pattern, language)
    try:
        root = ast_grep_py.SgRoot(text, LANGUAGES[language].search).root()
        return list(root.find_all(pattern=prepared))
    # A panic of the engine is no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise BadPattern(f"`{pattern[:100]}` is no pattern in {language}: {_said(error)}") from None


def _match(
    node: Any, names: list[tuple[str, str]], lines: list[str], context: int
) -> dict[str, Any]:
    where = _range(node)
    first, last = where["start"]["line"], where["end"]["line"]
    told = {
        "range": where,
        "line": lines[first - 1].rstrip("\r")[:LONGEST],
        "text": node.text()[:LONGEST],
        "captured": _captured(node, names),
    }
    if context:
        told["before"] = [one[:LONGEST] for one in lines[max(0, first - 1 - context) : first - 1]]
        told["after"] = [one[:LONGEST] for one in lines[last : last + context]]
    return told


def _captured(node: Any, names: list[tuple[str, str]]) -> dict[str, Any]:
    captured: dict[str, Any] = {}
    for sign, name in names:
        if name.startswith("_"):
            continue
        if sign == "$$$":
            many = node.get_multiple_matches(name)
            captured[name] = [one.text()[:LONGEST] for one in many if one.is_named()]
        elif (one := node.get_match(name)) is not None:
            captured[name] = one.text()[:LONGEST]
    return captured


def _range(node: Any) -> dict[str, dict[str, int]]:
    where = node.range()
    return {
        "start": {"line": where.start.line + 1, "column": where.start.column + 1},
        "end": {"line": where.end.line + 1, "column": where.end.column + 1},
    }


def _said(error: BaseException) -> str:
    """What the engine says, without its stack."""
    words = " ".join(str(error).partition("Stack backtrace")[0].split())
    return words[:300] or type(error).__name__
