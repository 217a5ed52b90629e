"""The operations of a document and the names of their tools.

Pure. Names are unique and stay what they are when others come and go.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from services.outside.openapi.reading import BadDocument
from services.outside.openapi.schema import resolved

MOST_OPERATIONS = 20_000
"""Looked at in one document."""
NAME = 64
"""Characters of a tool's name."""
WILD = frozenset("*?[")
"""What makes a name a pattern."""
METHODS = ("get", "put", "post", "delete", "head", "patch", "options")
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = re.compile(r"[^A-Za-z0-9]+")


class RawOperation(NamedTuple):
    """A method of a path, as the document has it."""

    method: str
    path: str
    item: dict[str, Any]
    operation: dict[str, Any]


def chosen(
    document: dict[str, Any], wanted: Sequence[str] = ()
) -> Iterator[tuple[str, RawOperation]]:
    """The operations by name. `wanted`: names to take, `*` for any characters; none: all of them.

    Raises BadDocument.
    """
    exact = frozenset(wanted)
    patterns = [one for one in wanted if set(one) & WILD]
    for name, raw in _named(_operations(document)):
        named = not wanted or name in exact
        if named or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            yield name, raw


def _operations(document: dict[str, Any]) -> Iterator[RawOperation]:
    seen = 0
    for path, value in document.get("paths", {}).items():
        item = resolved(document, value)
        for method in METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                seen += 1
                if seen > MOST_OPERATIONS:
                    raise BadDocument(f"it has more than {MOST_OPERATIONS} operations")
                yield RawOperation(method, str(path), item, operation)


def _named(found: Iterator[RawOperation]) -> list[tuple[str, RawOperation]]:
    """Operations by name. Where several have one, all but one say what else they are: which one
    keeps it does not depend on their order."""
    groups: dict[str, list[RawOperation]] = {}
    for raw in found:
        groups.setdefault(_name(raw), []).append(raw)
    named = []
    for name, group in groups.items():
        first = min(group, key=lambda raw: (raw.path, raw.method))
        for raw in group:
            named.append((name if raw is first else _marked(name, raw), raw))
    return named


def _name(raw: RawOperation) -> str:
    given = raw.operation.get("operationId")
    text = given if isinstance(given, str) else ""
    name = _NAME.sub("_", text).strip("_") or _WORDS.sub("_", f"{raw.method} {raw.path}").strip("_")
    return name if len(name) <= NAME else _marked(name, raw)


def _marked(name: str, raw: RawOperation) -> str:
    digest = hashlib.sha256(f"{raw.method} {raw.path}".encode("utf-8", "replace")).hexdigest()
    return f"{name[: NAME - 9]}_{digest[:8]}"
