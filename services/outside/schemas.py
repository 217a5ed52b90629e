"""JSON Schemas of hosts, judged in bounded time: a linear engine for patterns, nothing fetched.

`schema_cost` bounds what references may multiply; the engine is jsonschema-rs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import jsonschema_rs
import msgspec

from contracts.nesting import MAX_DEPTH, too_deep
from services.outside import schema_cost
from services.outside.schema_cost import Unjudged

MOST_BYTES = 256 * 1024
"""Of one schema."""
MOST_PATTERNS = 200
PATTERN_BYTES = 128 * 1024
"""Of one regular expression, compiled."""
MESSAGE_CHARS = 2000
MOST_SEEN = 20
"""Errors looked at for the one that says most."""
_WEAK = frozenset({"anyOf", "oneOf"})
_REGEX = 'is not a "regex"'

__all__ = ["Invalid", "Misfit", "Schema", "Unjudged"]


class Invalid(Exception):
    """It is no JSON Schema: `path` in it, and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


class Misfit(NamedTuple):
    """What is wrong with data: where, and what."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return "".join(f".{part}" for part in self.path) + f": {self.message}"


class Schema:
    """A schema that data can be held against."""

    __slots__ = ("_validator", "steps")

    def __init__(self, schema: dict[str, Any], steps: int = schema_cost.MOST_STEPS) -> None:
        """`steps` may be taken to find out that it costs little.

        Raises Invalid for what is no schema, Unjudged for one that might take for ever.
        """
        self.steps = _check(schema, steps)
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=PATTERN_BYTES, dfa_size_limit=4 * PATTERN_BYTES
                ),
                retriever=_refuse,
                validate_formats=False,
            )
        except jsonschema_rs.ValidationError as error:
            _explain(error)
        except Exception as error:
            raise Unjudged("", str(error)) from None

    def misfit(self, data: Any) -> Misfit | None:
        """What is wrong with the data; None if it fits. Raises Unjudged for data beyond sense."""
        try:
            errors = list(islice(self._validator.iter_errors(data), MOST_SEEN))
        except Exception as error:
            raise Unjudged("", f"the data can't be looked at: {error}") from None
        if not errors:
            return None
        # The outermost says most, and an alternative says little.
        found = min(errors, key=lambda one: (len(one.instance_path), one.kind.name in _WEAK))
        return Misfit(tuple(found.instance_path), found.message[:MESSAGE_CHARS])


def _check(schema: dict[str, Any], steps: int) -> int:
    data = msgspec.json.encode(schema)
    if len(data) > MOST_BYTES:
        raise Unjudged("", f"it has {len(data)} bytes, and {MOST_BYTES} is the most")
    if too_deep(data):
        raise Unjudged("", f"it is nested more than {MAX_DEPTH} deep")
    dialect = schema.get("$schema")
    if isinstance(dialect, str) and not _known(dialect):
        raise Unjudged("$schema", f"the dialect {dialect[:200]!r} is not known here")
    if sum(1 for _ in islice(_patterns(schema), MOST_PATTERNS + 1)) > MOST_PATTERNS:
        raise Unjudged("", f"it has more than {MOST_PATTERNS} patterns")
    return schema_cost.check(schema, steps)


def _known(dialect: str) -> bool:
    return dialect.rstrip("#").rstrip("/") in _DIALECTS


_DIALECTS = frozenset(
    f"{scheme}://json-schema.org/{name}"
    for scheme in ("http", "https")
    for name in (
        *("draft-04/schema", "draft-06/schema", "draft-07/schema"),
        *("draft/2019-09/schema", "draft/2020-12/schema"),
    )
)


def _patterns(value: Any) -> Iterator[str]:
    """Everything in it that may be a pattern."""
    if isinstance(value, list):
        for item in value:
            yield from _patterns(item)
    elif isinstance(value, dict):
        if isinstance(pattern := value.get("pattern"), str):
            yield pattern
        if isinstance(named := value.get("patternProperties"), dict):
            yield from named
        for item in value.values():
            yield from _patterns(item)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:200]} is elsewhere, and nothing is fetched")


def _explain(error: Any) -> NoReturn:
    """Raise what an error of the engine's compilation means."""
    path = ".".join(map(str, error.instance_path))
    message = str(error.message)[:300]
    if not message.endswith(_REGEX):
        # With no path: a reference that leads nowhere, which is known to be one of this document.
        raise Invalid(path, message) from None
    pattern = str(error.instance)
    try:
        jsonschema_rs.validator_for({"pattern": pattern})
    except jsonschema_rs.ValidationError:
        raise Invalid(path, f"{pattern[:200]!r} is no regular expression") from None
    why = "needs backtracking (lookaround, references to groups), or is too large"
    raise Unjudged(path, f"the pattern {pattern[:200]!r} {why}") from None
