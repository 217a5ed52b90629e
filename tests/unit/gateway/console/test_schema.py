"""Forms from schemas: what is typed becomes the value, and what is wrong is said at its field."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from contracts.host import Capability, Host, Limits, OpenApi, Stdio, StreamableHttp
from services.gateway.console.assets import WEB
from services.outside.schemas import Schema
from services.registry.manifests import checks, entries
from tests.support.node import node

DEEP: dict[str, Any] = {
    "type": "object",
    "required": ["where", "tags"],
    "$defs": {"Mode": {"enum": ["fast", "slow"]}},
    "properties": {
        "where": {"$ref": "#/$defs/Place"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}], "default": None},
        "depth": {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "default": 3},
        "sure": {"type": "boolean"},
        "what": {"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "string"}]},
        "size": {"oneOf": [{"const": 1, "title": "small"}, {"const": 2, "title": "big"}]},
    },
}
DEEP["$defs"]["Place"] = {
    "type": "object",
    "required": ["x"],
    "properties": {"x": {"type": "number"}, "note": {"type": "string", "maxLength": 5}},
}
WHOLE = {
    "where": {"x": 1.5, "note": "here"},
    "tags": ["a", "b"],
    "mode": "slow",
    "depth": 4,
    "sure": True,
    "what": {"a": [1]},
    "size": 2,
}


def run(*cases: tuple[str, dict[str, Any]]) -> list[Any]:
    script = Path(__file__).with_name("schema.mjs")
    given = json.dumps(cases)
    done = subprocess.run(
        [node(), str(script), str(WEB)], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_what_is_typed_becomes_the_value_that_the_schema_wants() -> None:
    typed = {"where": {"x": "2"}, "tags": ["a"], "mode": '"fast"', "what": "[", "depth": "12"}
    wrong = {"where": {"x": "two", "note": "longer"}, "tags": ["", "b"], "depth": "1.5"}
    again, begun, first, second, empty, nothing = run(
        ("form", {"schema": DEEP, "begins": WHOLE}),
        ("form", {"schema": DEEP, "begins": {"where": {"x": 0}, "tags": []}}),
        ("form", {"schema": DEEP, "typed": typed}),
        ("form", {"schema": DEEP, "typed": wrong}),
        ("form", {"schema": DEEP, "typed": {}}),
        ("form", {"schema": {"type": "object", "properties": {}}, "needed": False}),
    )
    assert again == {"value": WHOLE, "errors": {}}
    assert Schema(DEEP).misfit(again["value"]) is None
    # Of what has a default that stands in it, of all else nothing is sent.
    assert begun["value"] == {"where": {"x": 0}, "tags": [], "depth": 3}
    assert first["value"] == {"where": {"x": 2}, "tags": ["a"], "mode": "fast"}
    assert set(first["errors"]) == {"what", "depth"}
    assert set(second["errors"]) == {"where.x", "where.note", "tags.0", "depth"}
    assert empty["errors"] == {"where.x": "it is needed"}
    assert nothing == {"errors": {}}


def wide(names: int, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": of for number in range(names)}}


def test_names_that_every_object_has_are_names_like_others() -> None:
    names = ("constructor", "toString", "__proto__", "hasOwnProperty")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    typed = dict.fromkeys(names, "mine")
    nothing, something, needed = run(
        ("form", {"schema": schema, "begins": {}}),
        ("form", {"schema": schema, "begins": typed}),
        ("form", {"schema": schema | {"required": ["constructor"]}, "typed": {}}),
    )
    assert nothing == {"value": {}, "errors": {}}
    assert something == {"value": typed, "errors": {}}
    assert needed["errors"] == {"constructor": "it is needed"}


def test_a_form_has_an_end_whatever_its_schema_says() -> None:
    """Schemas of blocks in blocks are in use: they are followed as far as people can read."""
    block = wide(12, {"$ref": "#/$defs/Block"})
    loop = {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "null"}]}
    odd = {"type": "object", "required": 5, "properties": {"a": {"$ref": "#/%"}, "b": None}}
    flat = wide(200, {"type": "string"})
    sizes = run(
        ("size", {"schema": block | {"$defs": {"Block": block}}}),
        ("size", {"schema": wide(2, loop) | {"$defs": {"Loop": loop}}}),
        ("size", {"schema": odd}),
        ("size", {"schema": flat}),
        ("kind", {"schema": wide(2000, {"type": "string"})}),
        ("kind", {"schema": flat}),
    )
    assert all(0 < size < 20_000 for size in sizes[:4]), sizes
    assert sizes[4:] == ["json", "object"]


def test_tags_are_read_as_they_are_written() -> None:
    written = "team=core, run=7 note=two words,alone"
    line, lines, none = run(
        ("tags", {"line": written}),
        ("lines", {"text": "note=a, b=c\n\n alone \n__proto__=x"}),
        ("tags", {"line": " ,\n"}),
    )
    assert line == [["team", "core"], ["run", "7"], ["note", "two words"], ["alone", ""]]
    assert lines == [["note", "a, b=c"], ["alone", ""], ["__proto__", "x"]]
    assert none == []


def test_an_error_is_shown_at_the_field_that_it_names() -> None:
    misfit = Schema(DEEP).misfit(WHOLE | {"where": {"x": "no"}})
    places = [
        ("place", {"message": f"input{misfit}", "within": ""}),
        ("place", {"message": "expected `str` - at `$.input.tags[0]`", "within": "input"}),
        ("place", {"message": f"`content`{misfit}", "within": "content"}),
        ("place", {"message": "no connection to a.example.com: refused", "within": ""}),
    ]
    assert run(*places) == ["where.x", "tags.0", "where.x", ""]


def test_the_fields_of_a_host_are_its_description() -> None:
    """What the page sends is what a manifest may say, and a host shown to be changed stays so."""
    headers = {"X-Key": "{secret:KEY}", "X-At": "a: b"}
    hosts = [
        Host(
            id="web",
            name="Web",
            endpoint=StreamableHttp("https://a.example/mcp", headers=headers, bearer_from="T"),
            capabilities=(Capability("search"),),
            limits=Limits(max_concurrency=2),
        ),
        Host(
            id="run",
            name="run",
            endpoint=Stdio("npx", ("-y", "some mcp"), {"A": "b=c"}, ("HOME",), "/srv"),
            enabled=False,
        ),
        Host(
            id="api",
            name="api",
            endpoint=OpenApi("https://a.example", "https://a.example/o.json", secrets={"k": "K"}),
        ),
        Host(id="s", name="s", endpoint=StreamableHttp("hf://ann/tools")),
    ]

    def shown(host: Host) -> dict[str, Any]:
        return {f: msgspec.to_builtins(getattr(host, f)) for f in host.__struct_fields__}

    for host, entry in zip(
        hosts, run(*(("again", {"host": shown(h)}) for h in hosts)), strict=True
    ):
        described = entries.entry_of(entry)
        checks.check(described)
        wanted = msgspec.to_builtins(host)
        for field in entry:
            found = msgspec.to_builtins(getattr(described, field))
            assert found == msgspec.to_builtins(getattr(host, field)), field
        assert set(wanted) - {"id", "name"} <= set(entry) | {"placement"}
    said = run(
        ("entry", {"kind": "http", "fields": {}}),
        ("entry", {"kind": "http", "fields": {"url": "https://a", "headers": "no mark"}}),
        ("entry", {"kind": "execute", "fields": {"url": "https://a", "task_types": "x, y"}}),
    )
    assert said[0] == {"error": "Say the URL."}
    assert "expected NAME:VALUE" in said[1]["error"]
    assert said[2]["task_types"] == {"x": {}, "y": {}}
