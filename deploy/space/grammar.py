"""The task grammar: from a step's argument template and the task's input to the tool's arguments.

Pure: no clock, no randomness, no I/O. `docs/task-grammar.md` is its description for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

ROOTS = ("input", "workspace", "task", "attempt", "step")
_REFERENCE = re.compile(r"([a-z]+)((?:\.[A-Za-z0-9_-]+)*)(\?|\|(.*))?", re.DOTALL)
_WHOLE = re.compile(r"\$[A-Za-z_]")
_PIECE = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")


class GrammarError(Exception):
    """A template that is malformed, or names something that is not there."""


class Scope(NamedTuple):
    """What references may name."""

    input: Any
    task: str
    attempt: int
    workspace: Callable[[], str]
    """Called only when a template names the workspace."""
    steps: Mapping[str, Any]
    """Values of the outputs kept so far."""


class Reference(NamedTuple):
    """One parsed `$…` or `${…}`."""

    text: str
    root: str
    path: tuple[str, ...]
    optional: bool
    default: tuple[Any, ...]
    """Empty, or the one default value."""


Part = str | Reference


class _Missing:
    """Marks an optional reference that found nothing."""


MISSING = _Missing()


def resolve(template: Any, scope: Scope) -> Any:
    """Return the template with every reference replaced by its value.

    Arguments and list items whose optional reference finds nothing are dropped.
    Raises GrammarError.
    """
    value = _resolve(template, scope)
    return None if value is MISSING else value


def check(template: Any) -> frozenset[str]:
    """Return the roots a template names (`input`, `workspace`, `step.<output>`, …).

    Raises GrammarError if it is malformed.
    """
    return frozenset(
        f"step.{part.path[0]}" if part.root == "step" else part.root
        for text in _texts(template)
        for part in parse(text)
        if isinstance(part, Reference)
    )


def escape(value: Any) -> Any:
    """Return a template that resolves to exactly this value."""
    match value:
        case str():
            return value.replace("$", "$$")
        case list():
            return [escape(item) for item in value]
        case dict():
            return {key: escape(item) for key, item in value.items()}
        case _:
            return value


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[Part, ...]:
    """Split a string into literal text and references. Raises GrammarError."""
    if _WHOLE.match(text):
        return (_reference(text, text[1:]),)
    parts: list[Part] = []
    end = 0
    for found in _PIECE.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[0] == "$$":
            parts.append("$")
        elif found[1] is None:
            raise GrammarError(f"{text!r}: `${{` is not closed; write `$${{` for the characters")
        else:
            parts.append(_reference(found[0], found[1]))
    parts.append(text[end:])
    return tuple(part for part in parts if part)


def _reference(shown: str, body: str) -> Reference:
    found = _REFERENCE.fullmatch(body)
    if found is None or found[1] not in ROOTS:
        names = ", ".join(f"${root}" for root in ROOTS)
        raise GrammarError(
            f"{shown!r} is no reference: use {names}, or `$$` for a literal dollar sign"
        )
    root, path = found[1], tuple(found[2].split(".")[1:])
    if root == "step" and not path:
        raise GrammarError(f"{shown!r}: name the output, as in $step.<output>.<path>")
    if root in ("workspace", "task", "attempt") and path:
        raise GrammarError(f"{shown!r}: ${root} has no parts")
    default: tuple[Any, ...] = ()
    if found[4] is not None:
        try:
            default = (json.loads(found[4]),)
        except ValueError:
            raise GrammarError(
                f"{shown!r}: the default {found[4]!r} is not JSON (text needs quotes)"
            ) from None
    return Reference(shown, root, path, found[3] == "?", default)


def _resolve(template: Any, scope: Scope) -> Any:
    match template:
        case str():
            return _text(parse(template), scope) if "$" in template else template
        case list():
            found = (_resolve(item, scope) for item in template)
            return [value for value in found if value is not MISSING]
        case dict():
            pairs = ((key, _resolve(item, scope)) for key, item in template.items())
            return {key: value for key, value in pairs if value is not MISSING}
        case _:
            return template


def _text(parts: tuple[Part, ...], scope: Scope) -> Any:
    if len(parts) == 1 and isinstance(parts[0], Reference) and parts[0].text[1] != "{":
        return _lookup(parts[0], scope)
    return "".join(
        part if isinstance(part, str) else _as_text(_lookup(part, scope)) for part in parts
    )


def _as_text(value: Any) -> str:
    if value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lookup(reference: Reference, scope: Scope) -> Any:
    match reference.root:
        case "workspace":
            return scope.workspace()
        case "task":
            return scope.task
        case "attempt":
            return scope.attempt
        case "input":
            value, path = scope.input, reference.path
        case _:
            value, path = scope.steps, reference.path
    for name in path:
        value = _member(value, name)
        if value is MISSING:
            break
    if value is not MISSING:
        return value
    if reference.default:
        return reference.default[0]
    if reference.optional:
        return MISSING
    raise GrammarError(f"{reference.text}: the {reference.root} has no `{'.'.join(path)}`")


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, MISSING)
    if isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
        return value[int(name)]
    return MISSING


def _texts(template: Any) -> Iterator[str]:
    match template:
        case str():
            yield template
        case list():
            for item in template:
                yield from _texts(item)
        case dict():
            for item in template.values():
                yield from _texts(item)
