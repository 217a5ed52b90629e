"""Types of the HTTP API as JSON Schema, with examples and the texts that stand in the code.

Generators take a field with a default for one that is always there. So none has one: what an answer
always holds is required, and what a body may leave out says in words what that means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec

from contracts.host import Host
from contracts.schema import field_texts

REF = "#/components/schemas/"
_REFERENCE = re.compile(f'"{REF}([^"]+)"')
ID = {"pattern": "^[A-Za-z0-9_-]{1,64}$"}
HOST = {"pattern": "^([A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_-]{1,64}$"}
REPO = {"pattern": "^[A-Za-z0-9_.-]{1,96}$"}
_NARROWER: dict[str, dict[str, Any]] = {
    "TaskBody": {"input": {"type": "object"}, "id": ID, "host": HOST},
    "NewToken": {"user": ID},
    "NewHost": {"id": HOST},
    "NewInvitation": {"user": ID},
}
"""What is checked after the body was read, by type and field."""
_FOUND = frozenset(
    {"id", "switched", "source", "tools", "server", "protocol", "instructions", "features"}
)
"""Fields of a host that nobody says: they are found out."""


def _entry(class_: str, *more: str) -> type[msgspec.Struct]:
    """`more`: texts that are needed besides."""
    said = [one for one in msgspec.structs.fields(Host) if one.name not in _FOUND]
    fields: list[Any] = [(name, str) for name in more]
    for one in said:
        default = "" if one.name == "name" else one.default
        if one.default_factory is not msgspec.NODEFAULT:
            default = msgspec.field(default_factory=one.default_factory)
        needed = default is msgspec.NODEFAULT
        fields.append((one.name, one.type) if needed else (one.name, one.type, default))
    fields.sort(key=len)
    return msgspec.defstruct(
        class_, fields, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
    )


HostEntry = _entry("HostEntry")
"""A host as the API takes it; `docs/schemas/host.json` says exactly what the registry takes."""
NewHost = _entry("NewHost", "id")
"""The same with its id."""


class Schemas:
    """The schemas of all types, by type, under readable names."""

    def __init__(
        self, types_: list[Any], examples: Mapping[type, Any], bodies: Iterable[Any] = ()
    ) -> None:
        """`examples`: by type, as JSON has them; `bodies`: which of the types are sent to us."""
        made, found = msgspec.json.schema_components(types_, ref_template=REF + "{name}")
        names = _readable(found)
        # Names hold letters, dots and underscores only, so a quoted reference can't match a part.
        text = msgspec.json.encode([made, found]).decode()
        for long, short in names.items():
            text = text.replace(f'"{REF}{long}"', f'"{REF}{short}"')
        schemas, components = msgspec.json.decode(text)
        self._examples = examples
        self._made = list(zip(types_, schemas, strict=True))
        self.components = {names[name]: schema for name, schema in components.items()}
        taken = self._within([self.of(body) for body in bodies])
        for class_, name in _classes(types_, schemas):
            schema = self.components.get(name, {})
            self._complete(class_, schema)
            if name not in taken and not class_.__struct_config__.omit_defaults:
                schema["required"] = [
                    field.encode_name
                    for field in msgspec.structs.fields(class_)
                    if field.default is not msgspec.UNSET
                ]
        for name, schema in self.components.items():
            _plain(schema)
            schema["title"] = name
        for schema in schemas:
            _plain(schema)

    def of(self, type_: Any) -> dict[str, Any]:
        """The schema of a type, mostly a reference."""
        return next((schema for known, schema in self._made if known == type_), {})

    def example(self, type_: Any) -> Any:
        """An example of a type; None: there is none."""
        origin, inner = get_origin(type_), get_args(type_)
        if origin in (list, tuple) and inner:
            found = self.example(inner[0])
            return None if found is None else [found]
        if inner and isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            paged = "next_cursor" in origin.__struct_fields__
            data = self.example(inner[0])
            data = [data] if paged and data is not None else data
            more = {"next_cursor": None, "next_mark": None} if paged else {}
            return None if data is None else {"success": True, "data": data, "message": "", **more}
        return self._examples.get(type_)

    def _within(self, nodes: list[Any]) -> set[str]:
        """The names of all types that these refer to."""
        found: set[str] = set()
        while nodes:
            for reference in _REFERENCE.findall(msgspec.json.encode(nodes.pop()).decode()):
                if reference not in found:
                    found.add(reference)
                    nodes.append(self.components[reference])
        return found

    def _complete(self, class_: type, schema: dict[str, Any]) -> None:
        texts = field_texts(class_)
        narrower = _NARROWER.get(class_.__name__, {})
        for name, field in schema.get("properties", {}).items():
            if name in texts:
                field.setdefault("description", texts[name])
            field |= narrower.get(name, {})
        if (example := self._examples.get(class_)) is not None:
            schema["examples"] = [example]


def _classes(
    types_: list[Any], schemas: list[dict[str, Any]]
) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """All structs within these types, with the names of their schemas."""
    for made, schema in zip(types_, schemas, strict=True):
        # Only what stands for itself has parameters.
        if isinstance(origin := get_origin(made), type) and issubclass(origin, msgspec.Struct):
            yield origin, schema.get("$ref", "").removeprefix(REF)
    seen: set[Any] = set()
    waiting = list(types_)
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        waiting += [inner for inner in get_args(one) if not isinstance(inner, str | int)]
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            waiting += [field.type for field in msgspec.structs.fields(one)]
            yield one, one.__name__


def _plain(schema: dict[str, Any]) -> None:
    """Say what generators would not take for granted, and nothing that they take amiss."""
    if schema.get("type") == "object" and "properties" not in schema:
        schema.setdefault("additionalProperties", True)
    if schema.get("type") == "array" and "prefixItems" not in schema:
        schema.setdefault("items", {})
    if (default := schema.pop("default", None)) not in (None, "", [], {}):
        text = f"Without it: `{msgspec.json.encode(default).decode()}`."
        schema["description"] = " ".join(filter(None, (schema.get("description"), text)))
    inner = [schema.get("items"), schema.get("additionalProperties")]
    inner += schema.get("properties", {}).values()
    for key in ("anyOf", "oneOf", "prefixItems"):
        inner += schema.get(key, ())
    for one in inner:
        if isinstance(one, dict):
            _plain(one)


def _readable(names: Iterable[str]) -> dict[str, str]:
    """Component names without modules and needless underscores; those that would clash stay."""
    short = {
        name: re.sub(r"(?:services|contracts|typing)(?:\.[a-z_0-9]+)*\.|_+$", "", name)
        for name in names
    }
    counts = list(short.values())
    return {name: s if counts.count(s) == 1 else name for name, s in short.items()}
