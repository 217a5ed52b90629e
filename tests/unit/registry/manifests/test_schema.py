"""The published schemas: current, and right about real files."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import jsonschema
import pytest

from services.registry.manifests import manifest, schema
from tests.unit.registry.manifests.test_space import KIT, SPECIFIED


def validator(name: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads((schema.FOLDER / name).read_text()))


def test_the_files_are_current() -> None:
    for name, text in schema.documents().items():
        assert (schema.FOLDER / name).read_text(encoding="utf-8") == text, "run `make schema`"
        jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_they_accept_what_we_read() -> None:
    validator("manifest.json").validate(tomllib.loads(manifest.BUILTIN.read_text()))
    validator("mcp.json").validate(json.loads(KIT.read_text()))
    validator("mcp.json").validate(SPECIFIED)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("host.json", {}),
        ("host.json", {"endpoint": {"kind": "stdio", "command": "x"}, "spelling": 1}),
        ("host.json", {"endpoint": {"kind": "http"}}),
        ("host.json", {"endpoint": {"kind": "nothing"}}),
        ("manifest.json", {"hosts": {"h": {}}}),
        ("mcp.json", {"tools": [{}]}),
    ],
)
def test_they_refuse_what_we_refuse(name: str, raw: Any) -> None:
    assert not validator(name).is_valid(raw)


def test_fields_are_described() -> None:
    properties = json.loads((schema.FOLDER / "host.json").read_text())["$defs"]["Entry"][
        "properties"
    ]
    assert "Only this user may use it" in properties["owner"]["description"]
