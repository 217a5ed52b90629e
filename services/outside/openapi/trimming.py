"""A document to what its tools are made of, so that it may stand in the log.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from contracts.nesting import MAX_DEPTH, too_deep
from services.outside.openapi.naming import METHODS, chosen
from services.outside.openapi.reading import BadDocument
from services.outside.openapi.schema import target

MOST_BYTES = 192 * 1024
"""Of a document in a host's description: one fact has room for it, and for its tools."""
_TOP = ("openapi", "info", "servers", "paths", "security", "components")
_IDLE = frozenset({"example", "examples", "externalDocs", "callbacks", "links", "xml", "tags"})
"""They say nothing that tools are made of."""
_UNUSED = re.compile(r"default|[13-5](?:\d\d|XX)|2(?!00|01|XX)\d\d", re.IGNORECASE)
"""Answers that make no output schema."""
_NAMES = frozenset(
    "properties patternProperties $defs headers schemas variables securitySchemes parameters"
    " requestBodies responses pathItems".split()
)
"""Below these, keys are names that the author has chosen."""


def trimmed(document: dict[str, Any], wanted: Sequence[str] = ()) -> dict[str, Any]:
    """The document without what no tool needs; `wanted`: names of tools, none for all of them.
    Raises BadDocument if it is too big all the same."""
    if wanted:
        document = {**document, "paths": _paths(document, wanted)}
    kept: dict[str, Any] = _lean({key: document[key] for key in _TOP if key in document})
    components = kept.pop("components", None)
    if isinstance(components, dict):
        kept["components"] = _used(kept | {"components": components}, components)
    data = msgspec.json.encode(kept)
    if too_deep(data):
        raise BadDocument(f"the document is nested more than {MAX_DEPTH} deep: put it at a URL")
    if (size := len(data)) > MOST_BYTES:
        raise BadDocument(
            f"what is used of the document has {size} bytes, more than {MOST_BYTES}: put it at a"
            " URL and name that, or leave operations out"
        )
    return kept


def _paths(document: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """The paths with these operations only."""
    taken = {(raw.path, raw.method) for _, raw in chosen(document, wanted)}
    paths = {}
    for path, item in document.get("paths", {}).items():
        left_out = {way for way in METHODS if (path, way) not in taken}
        if isinstance(item, dict) and not left_out.issuperset(METHODS):
            paths[path] = {key: value for key, value in item.items() if key not in left_out}
    return paths


def _lean(value: Any, under: str = "") -> Any:
    """`under`: the key of a map of names, if this is one."""
    if isinstance(value, list):
        return [_lean(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: one if key == "security" else _lean(one, key if not under and key in _NAMES else "")
        for key, one in value.items()
        if not _idle(key, under)
    }


def _idle(key: str, under: str) -> bool:
    if under:
        return under == "responses" and _UNUSED.fullmatch(key) is not None
    return key in _IDLE or key.startswith("x-")


def _used(document: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The components that the rest refers to, however far away, and the security schemes."""
    kept: dict[str, Any] = {}
    if "securitySchemes" in components:
        kept["securitySchemes"] = components["securitySchemes"]
    waiting = [*_references({**document, "components": kept})]
    seen: set[str] = set()
    while waiting:
        reference = waiting.pop()
        parts = reference.split("/", 4)[:4]
        whole = "/".join(parts)
        if whole in seen or len(parts) < 4 or parts[:2] != ["#", "components"]:
            continue
        seen.add(whole)
        if (value := target(document, whole)) is not None:
            key = parts[3].replace("~1", "/").replace("~0", "~")
            kept.setdefault(parts[2], {})[key] = value
            waiting += _references(value)
    return kept


def _references(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(reference := one.get("$ref"), str):
                yield reference
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
