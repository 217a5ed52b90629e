"""Schemas of an OpenAPI document to JSON Schemas that stand alone: references become `$defs`.

Pure. What is too big becomes "anything": a schema helps whoever calls, and the API judges.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

MOST_NODES = 2000
"""Schemas within one tool's schema; what is beyond is left open."""
ALL_NODES = 100_000
"""The same of all tools of a document, of their inputs and of their answers each."""
DEPTH = 24
"""Schemas inside each other; what is deeper is left open."""
MOST_ENUM = 8 * 1024
"""Bytes of the values of one `enum`; of a longer one the first stand in the description."""
DESCRIPTION = 500
"""Characters of the description of a schema."""
_HOPS = 16
_MAPS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONE = frozenset(
    "items additionalProperties not if then else contains propertyNames unevaluatedItems"
    " unevaluatedProperties".split()
)
_PLAIN = frozenset(
    "type const default format title multipleOf maximum minimum exclusiveMaximum exclusiveMinimum"
    " maxLength minLength pattern maxItems minItems uniqueItems maxProperties minProperties"
    " deprecated contentEncoding contentMediaType maxContains minContains dependentRequired".split()
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")

Side = Literal["readOnly", "writeOnly"]
"""Properties so marked are left out: the former of what is sent, the latter of answers."""


def plain(text: Any, most: int) -> str:
    """A text of a document, without what could deceive a terminal, bounded."""
    if not isinstance(text, str):
        return ""
    line = _CONTROL.sub(" ", text[: 4 * most]).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


def resolved(document: dict[str, Any], value: Any) -> dict[str, Any]:
    """What a value is, or refers to within the document; nothing, if that is no object."""
    for _ in range(_HOPS):
        if not isinstance(value, dict):
            return {}
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        value = target(document, reference)
    return {}


def target(document: dict[str, Any], reference: str) -> Any:
    """What stands at `#/...`; None: it is not there, or elsewhere. Nothing is fetched."""
    if not reference.startswith("#/"):
        return None
    value: Any = document
    for part in reference[2:].split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


class NodeBudget:
    """What may still be made of one document: its author chooses how often a part is used."""

    def __init__(self, left: int = ALL_NODES) -> None:
        self.left = left


class ToolSchemas:
    """Makes the schemas of one tool; they share their definitions."""

    def __init__(self, document: dict[str, Any], left_out: Side, budget: NodeBudget) -> None:
        self._document = document
        self._budget = budget
        self._left_out = left_out
        self._old = str(document.get("openapi", "")).startswith("3.0")
        self._left = MOST_NODES
        self._names: dict[str, str] = {}
        """Name of its definition, by reference."""
        self._made: dict[str, Any] = {}

    def of(self, schema: Any) -> Any:
        """The schema, with references to definitions."""
        return self._schema(schema, 0)

    def definitions(self) -> dict[str, Any]:
        """All that the schemas refer to, made as far as there is room."""
        while waiting := [ref for ref, name in self._names.items() if name not in self._made]:
            for reference in waiting:
                made = self._schema(target(self._document, reference), 1)
                self._made[self._names[reference]] = made
        return self._made

    def _schema(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        self._budget.left -= 1
        if isinstance(schema, bool):
            return schema
        spent = min(self._left, self._budget.left) < 0
        if not isinstance(schema, dict) or spent or depth > DEPTH:
            return {}
        made: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _PLAIN:
                made[key] = value
            elif key in _ONE:
                made[key] = self._schema(value, depth + 1)
            elif key in _LISTS and isinstance(value, list):
                made[key] = [self._schema(one, depth + 1) for one in value]
            elif key in _MAPS and isinstance(value, dict):
                made[key] = {
                    name: self._schema(one, depth + 1)
                    for name, one in value.items()
                    if not self._hidden(one)
                }
        if text := plain(schema.get("description"), DESCRIPTION):
            made["description"] = text
        self._required(schema, made)
        self._enum(schema, made)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            made["$ref"] = self._reference(reference)
        if made.get("format") == "binary":
            made = {**made, "contentEncoding": "base64"}
            del made["format"]
        return _modern(schema, made) if self._old else made

    def _hidden(self, schema: Any) -> bool:
        return isinstance(schema, dict) and schema.get(self._left_out) is True

    def _required(self, schema: dict[str, Any], made: dict[str, Any]) -> None:
        names, properties = schema.get("required"), schema.get("properties")
        if isinstance(names, list):
            hidden = {
                name
                for name, one in (properties.items() if isinstance(properties, dict) else ())
                if self._hidden(one)
            }
            kept = [name for name in names if isinstance(name, str) and name not in hidden]
            if kept:
                made["required"] = list(dict.fromkeys(kept))

    def _enum(self, schema: dict[str, Any], made: dict[str, Any]) -> None:
        values = schema.get("enum")
        if not isinstance(values, list) or not values:
            return
        if len(msgspec.json.encode(values)) <= MOST_ENUM:
            made["enum"] = values
            return
        some = msgspec.json.encode(values[:5])[:200].decode("utf-8", "ignore")
        text = f"One of {len(values)} values, such as {some}"
        made["description"] = plain(f"{text}. {made.get('description', '')}", DESCRIPTION)

    def _reference(self, reference: str) -> str:
        if reference not in self._names:
            last = _NAME.sub("_", unquote(reference.rpartition("/")[2]))[:64] or "Schema"
            name, number = last, 1
            while name in self._names.values():
                number += 1
                name = f"{last}_{number}"
            self._names[reference] = name
        return f"#/$defs/{self._names[reference]}"


def _modern(schema: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as one of JSON Schema."""
    for which, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(which), bool) and made.pop(which) and bound in made:
            made[which] = made.pop(bound)
    if "$ref" in made:
        # There, nothing beside a reference counts.
        return {"$ref": made["$ref"]}
    if schema.get("nullable") is not True:
        return made
    if isinstance(made.get("type"), str):
        nullable = {**made, "type": [made["type"], "null"]}
        if "enum" in made and None not in made["enum"]:
            nullable["enum"] = [*made["enum"], None]
        return nullable
    return {"anyOf": [made, {"type": "null"}]}
