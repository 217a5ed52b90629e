"""Writes `docs/schemas/`: JSON Schemas of hosts in manifests and commands, and of `mcp.json`.

What a field means is written once, below it in its class.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from contracts.host import Host
from contracts.schema import dedent, field_texts
from services.registry.manifests import entries, space
from services.registry.manifests.entries import Entry
from services.registry.manifests.space import SpaceManifest

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest file: hosts by id, and profiles of `/mcp` by name, which gateways read."""

    hosts: dict[str, Entry] = {}
    profiles: dict[str, dict[str, Any]] = {}


def documents() -> dict[str, str]:
    """The files' texts by name."""
    return {
        "manifest.json": _render(Manifest, "MetaMCP manifest"),
        "host.json": _render(Entry, "MetaMCP host, as a command describes it"),
        "mcp.json": _render(SpaceManifest, "mcp.json of a Space"),
    }


def _render(type_: type, title: str) -> str:
    (schema,), defs = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    classes = {
        name: class_
        for module in (entries, space)
        for name, class_ in vars(module).items()
        if isinstance(class_, type) and issubclass(class_, msgspec.Struct)
    }
    for name, definition in defs.items():
        dedent(definition)
        texts = _texts(classes[name]) if name in classes else {}
        for field in definition.get("properties", {}).keys() & texts.keys():
            properties = definition["properties"]
            properties[field] = {"description": texts[field], **properties[field]}
    # Our own names for stricter classes are nobody's business.
    text = json.dumps(
        {"$schema": DRAFT, "title": title, **schema, "$defs": defs}, indent=1, sort_keys=True
    )
    return text.replace("$defs/_", "$defs/").replace('"_', '"') + "\n"


def _texts(class_: type) -> dict[str, str]:
    return field_texts(Host) if class_ is Entry else field_texts(class_)


def write() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
