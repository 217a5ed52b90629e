"""From what the engines found to one list: the same weakness in one place is told once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.registry.builtin.security import weaknesses
from services.registry.builtin.security.engines.base import Found

SEVERITIES = ("ERROR", "WARNING", "INFO")
CONFIDENCES = ("HIGH", "MEDIUM", "LOW")
MOST_CODE = 300
"""Characters of a line that a finding shows."""
_SHOWN = 4
"""Characters of a secret that are shown, so that one can tell which it is."""
_MASK = "********"
_QUOTED = re.compile(r"""(["'`])((?:\\.|(?!\1).)*)\1""")
_WORD = re.compile(r"(?<![\w*])(?=\w*\d)\w{8,}")
_TOKEN = re.compile(r"(?=[^\s]*\d)[A-Za-z0-9+/_=.~-]{16,}")
_AFTER_KEY = re.compile(r"(?<=PRIVATE KEY-----).+")

Group = list[tuple[str, Found]]


def merged(
    found: Mapping[str, Sequence[Found]], lines: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """All findings in the order of files and places.

    `found`: by engine, the one to be believed first. `lines`: of each file that has a finding.
    """
    by_path: dict[str, Group] = {}
    for engine, several in found.items():
        for one in several:
            placed = in_characters(one, lines.get(one.path, ()))
            by_path.setdefault(one.path, []).append((engine, placed))
    told = []
    for path in sorted(by_path):
        groups = [group for group in _groups(by_path[path]) if _worth_telling(group)]
        hidden = _secrets(by_path[path])
        told += [_finding(group, lines.get(path, ()), hidden) for group in groups]
    return sorted(told, key=_place)


def at_least(findings: Iterable[dict[str, Any]], severity: str) -> list[dict[str, Any]]:
    """The findings of this severity and of those above it."""
    wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
    return [one for one in findings if one["severity"] in wanted]


def masked(line: str, places: Iterable[tuple[int, int | None]]) -> str:
    """The line with every secret cut to its first characters.

    `places`: columns from 1 of where secrets are, the end not included; None: not known.
    """
    for column, end in sorted(places, key=lambda place: (-place[0], -(place[1] or 0))):
        start = min(max(0, column - 1), len(line))
        stop = len(line) if end is None else min(max(start, end - 1), len(line))
        line = line[:start] + _hidden(line[start:stop]) + line[stop:]
    line = _AFTER_KEY.sub(_MASK, line)
    return _TOKEN.sub(lambda token: _cut(token[0]), line)


def in_characters(one: Found, lines: Sequence[str]) -> Found:
    """The same finding with columns that count characters."""
    if not one.in_bytes:
        return one
    end = None if one.end_column is None else _column(lines, one.end_line, one.end_column)
    column = _column(lines, one.line, one.column)
    return one._replace(column=column, end_column=end, in_bytes=False)


def _column(lines: Sequence[str], line: int, column: int) -> int:
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    before = text.encode("utf-8", "surrogateescape")[: column - 1]
    return column if text.isascii() else len(before.decode("utf-8", "replace")) + 1


def _hidden(text: str) -> str:
    """A secret, or the piece of code that holds it."""
    if _MASK in text:
        return text
    if not _QUOTED.search(text):
        return _cut(text)
    text = _QUOTED.sub(lambda quoted: quoted[1] + _cut(quoted[2]) + quoted[1], text)
    return _WORD.sub(lambda word: _cut(word[0]), text)


def _cut(secret: str) -> str:
    if _MASK in secret or len(secret) <= _SHOWN:
        return secret if _MASK in secret else _MASK
    return secret[:_SHOWN] + _MASK


def _groups(found: Group) -> list[Group]:
    groups: list[Group] = []
    for engine, one in found:
        near = [group for group in groups if _same(group, engine, one)]
        if near:
            min(near, key=lambda group: abs(group[0][1].line - one.line)).append((engine, one))
        else:
            groups.append([(engine, one)])
    return groups


def _same(group: Group, engine: str, one: Found) -> bool:
    """Whether it is the weakness of this group once more.

    One engine may find two of a kind in lines that overlap: they are one only if they are at the
    same lines and speak of the same CWE.
    """
    first_engine, first = group[0]
    if engine == first_engine:
        lines = (one.line, one.end_line) == (first.line, first.end_line)
        columns = (one.column, one.end_column) == (first.column, first.end_column)
        return lines and columns and bool(set(one.cwe) & set(first.cwe))
    overlap = one.line <= first.end_line and first.line <= one.end_line
    return overlap and weaknesses.kin(one.cwe, first.cwe)


def _worth_telling(group: Group) -> bool:
    return any(one.alone for _, one in group)


def _secrets(found: Group) -> dict[int, list[tuple[int, int | None]]]:
    """Where secrets are, by line."""
    places: dict[int, list[tuple[int, int | None]]] = {}
    for _, one in found:
        if one.secret:
            end = one.end_column if one.line == one.end_line else None
            places.setdefault(one.line, []).append((one.column, end))
    return places


def _finding(
    group: Group, lines: Sequence[str], hidden: Mapping[int, list[tuple[int, int | None]]]
) -> dict[str, Any]:
    group = sorted(group, key=lambda one: not one[1].alone)
    _, best = group[0]
    rules: dict[str, str] = {}
    for engine, one in group:
        known = rules.get(engine, "").split(", ")
        if one.rule not in known:
            rules[engine] = ", ".join(filter(None, [*known, one.rule]))
    code = lines[best.line - 1].rstrip("\r\n") if 0 < best.line <= len(lines) else ""
    message = best.message
    if places := hidden.get(best.line):
        code = masked(code, places)
        message = _TOKEN.sub(lambda token: _cut(token[0]), message)
    cwe = next((list(one.cwe) for _, one in group if one.cwe), [])
    told = {
        "path": best.path,
        "line": best.line,
        "end_line": best.end_line,
        "column": best.column,
        "end_column": best.end_column,
        "rule": best.rule,
        "severity": min((one.severity for _, one in group), key=SEVERITIES.index),
        "confidence": min((one.confidence for _, one in group), key=CONFIDENCES.index),
        "cwe": cwe,
        "message": message,
        "code": code[:MOST_CODE],
        "fix": next((one.fix for _, one in group if one.fix), "") or weaknesses.fix(cwe),
        "engines": sorted(rules),
        "rules": rules,
    }
    return {key: value for key, value in told.items() if value is not None}


def _place(one: Mapping[str, Any]) -> tuple[str, int, int, str]:
    return one["path"], one["line"], one["column"], one["rule"]
