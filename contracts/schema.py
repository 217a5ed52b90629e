"""Writes `schema.json`: the JSON Schema of this package, for people and other languages.

The text below a field in its class becomes the field's description, so it is written once.
"""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from contracts import facts, host, result, route, said, status, task, wire
from contracts.host import Host
from contracts.said import LogMessage
from contracts.status import TaskView
from contracts.task import TaskRequest

MODULES: tuple[ModuleType, ...] = (facts, host, result, route, said, status, task, wire)
PATH = Path(__file__).with_name("schema.json")


def document() -> dict[str, Any]:
    """Return the schema: `$defs` of all types, and the groups that name them."""
    groups: dict[str, list[Any]] = {
        "facts": list(facts.AnyFact.__args__),
        "client_frames": list(wire.ClientFrame.__args__),
        "server_frames": list(wire.ServerFrame.__args__),
        "values": [
            TaskRequest,
            TaskView,
            Host,
            wire.Beat,
            wire.Progress,
            LogMessage,
            wire.Accepted,
            wire.Refused,
            wire.PermitClaims,
            wire.HttpError,
        ],
    }
    every = [type_ for types in groups.values() for type_ in types]
    schemas, defs = msgspec.json.schema_components(every, ref_template="#/$defs/{name}")
    _describe(defs)
    by_type = dict(zip(every, schemas, strict=True))
    listed = {name: [by_type[type_] for type_ in types] for name, types in groups.items()}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "MetaMCP contracts"}
    return head | listed | {"$defs": defs}


def field_texts(class_: type) -> dict[str, str]:
    """The texts below the fields of a class and of those it inherits from, each in one line."""
    texts: dict[str, str] = {}
    fields = msgspec.structs.fields(class_) if issubclass(class_, msgspec.Struct) else ()
    names = {field.name: field.encode_name for field in fields}
    for one in reversed(class_.__mro__):
        module = inspect.getmodule(one)
        if module is not None and module.__name__.split(".")[0] in {"contracts", "services"}:
            texts |= _texts_of(module).get(one.__name__, {})
    return {names.get(field, field): text for field, text in texts.items()}


def _describe(defs: dict[str, Any]) -> None:
    """Give every property the text of its field, and every type its own without indentation."""
    classes = {
        name: class_
        for module in MODULES
        for name, class_ in vars(module).items()
        if isinstance(class_, type)
    }
    for name in defs.keys() & classes.keys():
        dedent(defs[name])
        texts = field_texts(classes[name])
        properties = defs[name].get("properties", {})
        for field in properties.keys() & texts.keys():
            properties[field] = {"description": texts[field], **properties[field]}


def dedent(definition: dict[str, Any]) -> None:
    """Take the indentation out of its text: older Pythons than 3.13 leave it in docstrings."""
    if "description" in definition:
        definition["description"] = inspect.cleandoc(definition["description"])


@functools.cache
def _texts_of(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class name to field to text. Python keeps no such strings, so they are read in the source."""
    # What the collector takes away may parse too, as tracebacks do: for Python 3.11 that is a fault
    # of the parse that was under way.
    collects = gc.isenabled()
    gc.disable()
    try:
        classes = ast.parse(inspect.getsource(module)).body
    finally:
        if collects:
            gc.enable()
    return {node.name: dict(_below(node)) for node in classes if isinstance(node, ast.ClassDef)}


def _below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in itertools.pairwise(node.body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())
            case _:
                pass


def render() -> str:
    """Return the file's text."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
