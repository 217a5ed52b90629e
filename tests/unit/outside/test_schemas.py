"""Schemas of strangers: judged in bounded time or not at all, and nothing is fetched for them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from services.outside import schema_cost
from services.outside.schemas import MOST_BYTES, MOST_PATTERNS, Invalid, Misfit, Schema, Unjudged
from tests.support.http_host import answer, serving

NODE = {"$ref": "#/$defs/n"}


def doubling(levels: int, keyword: str = "allOf") -> dict[str, Any]:
    chain: dict[str, Any] = {
        f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": chain | {f"d{levels}": {"type": "string"}}}


def circle(**node: Any) -> dict[str, Any]:
    return {"$ref": "#/$defs/n", "$defs": {"n": node}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


UNJUDGED: dict[str, dict[str, Any]] = {
    "lookahead": {"pattern": "(?=a)b"},
    "a group again": {"properties": {"x": {"pattern": r"(a)\1"}}},
    "a name that looks ahead": {"patternProperties": {"(?=a)b": {}}},
    "a pattern that grows": {"pattern": r"(\w{1,60}){1,60}"},
    "too many patterns": {"anyOf": [{"pattern": f"a{n}"} for n in range(MOST_PATTERNS + 1)]},
    "elsewhere": {"$ref": "http://127.0.0.1:1/x"},
    "a file": {"$ref": "file:///etc/passwd"},
    "another document": {"properties": {"x": {"$ref": "other.json#/a"}}},
    "a dialect of its own": {"$schema": "http://127.0.0.1:1/dialect"},
    "itself": {"$ref": "#"},
    "each other": {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#"}}}},
    "doubling allOf": doubling(40),
    "doubling anyOf": doubling(22, "anyOf"),
    "doubling if": {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{
                f"d{n}": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in ("if", "then")}
                for n in range(20)
            },
            "d20": {},
        },
    },
    "doubling with depth": circle(properties={"a": {"allOf": [NODE, NODE]}}),
    "doubling with depth, by name": circle(properties={"a": NODE}, patternProperties={"a": NODE}),
    "doubling with depth, in arrays": circle(items={"anyOf": [NODE, NODE]}),
    "doubling with depth, in both": circle(items=NODE, contains=NODE),
    "doubling what is left": nested(30),
    "parts with addresses": {
        "$defs": {"a": {"$id": "http://x/y", "$ref": "#/b", "b": {}}},
        "$ref": "#/$defs/a",
    },
    "dynamic": {"$dynamicRef": "#x"},
    "much": {"enum": ["x" * MOST_BYTES]},
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_what_may_take_for_ever_is_not_judged(name: str) -> None:
    began = time.process_time()
    with pytest.raises(Unjudged):
        Schema(UNJUDGED[name])
    assert time.process_time() - began < 2


def test_deep_schemas_are_not_judged() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"not": schema}
    with pytest.raises(Unjudged, match="nested"):
        Schema(schema)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"x": {"type": "strin"}}}, "properties.x.type"),
        ({"required": "x"}, "required"),
        ({"items": {"pattern": "("}}, "items.pattern"),
        ({"$ref": "#/nowhere"}, ""),
    ],
)
def test_what_is_no_schema_is_refused_with_its_path(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        Schema(schema)
    assert caught.value.path == path


ORDINARY: list[tuple[dict[str, Any], Any, Any]] = [
    ({"pattern": "^(a+)+$"}, "a" * 50, "a" * 50 + "!"),
    (circle(properties={"left": NODE, "right": NODE}, additionalProperties=NODE, type="object"),
     {"left": {"right": {}}, "x": {}}, {"left": {"right": 1}}),
    (circle(anyOf=[{"type": "string"}, {"type": "array", "items": NODE},
                   {"type": "object", "additionalProperties": NODE}]),
     {"a": ["b", {"c": []}]}, {"a": [1]}),
    ({"$defs": {"e": {"properties": {"l": {"$ref": "#/$defs/b"}, "r": {"$ref": "#/$defs/u"}}},
                "b": {"properties": {"o": {"$ref": "#/$defs/e"}}},
                "u": {"properties": {"o": {"$ref": "#/$defs/e"}}, "required": ["o"]}},
      "$ref": "#/$defs/e"}, {"l": {"o": {"r": {"o": {}}}}}, {"l": {"o": {"r": {}}}}),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://x/y",
      "definitions": {"a": {"type": "string"}},
      "properties": {"x": {"$ref": "http://x/y#/definitions/a"}}}, {"x": "a"}, {"x": 1}),
    ({"$defs": {"a b": {"$anchor": "one", "type": "string"}},
      "properties": {"x": {"$ref": "#one"}, "y": {"$ref": "#/$defs/a%20b"}}},
     {"x": "a", "y": "b"}, {"y": 1}),
    ({"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False}, {"a": 1}, {"b": 1}),
    ({"properties": {"id": {"type": "string", "format": "date"}}, "examples": [{"$id": "x"}]},
     {"id": "no date"}, {"id": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), ORDINARY)
def test_ordinary_schemas_are_judged(schema: dict[str, Any], good: Any, bad: Any) -> None:
    judged = Schema(schema)
    assert judged.misfit(good) is None
    assert judged.misfit(bad) is not None


def test_a_misfit_says_where_and_what() -> None:
    judged = Schema({"properties": {"a": {"items": {"type": "integer"}}}})
    assert str(judged.misfit({"a": [1, "x"]})) == '.a.1: "x" is not of type "integer"'
    long = judged.misfit({"a": ["x" * 100_000]})
    assert isinstance(long, Misfit)
    assert len(long.message) <= 2000


def test_big_schemas_and_data_take_little_time() -> None:
    fields = {f"q{n}": {"type": "string"} for n in range(8)}
    wide = {"properties": {f"p{n}": {"properties": fields} for n in range(300)}}
    union = {"items": {"anyOf": [{"properties": {"k": {"const": n}}} for n in range(200)]}}
    began = time.process_time()
    assert Schema(wide).misfit({f"p{n}": {"q1": "x"} for n in range(300)}) is None
    assert Schema(union).misfit([{"k": 150}] * 1000) is None
    assert time.process_time() - began < 3


def test_one_description_shares_its_steps() -> None:
    schema = {"properties": {"a": {"properties": {"b": {}}}}}
    used = Schema(schema).steps
    assert 0 < used < schema_cost.MOST_STEPS
    with pytest.raises(Unjudged, match="involved"):
        Schema(schema, used - 1)


async def test_nothing_is_fetched() -> None:
    async with serving(answer({"type": "string"})) as host:
        for schema in ({"$ref": f"{host.url}/a"}, {"$schema": f"{host.url}/b", "type": "object"}):
            with pytest.raises(Unjudged):
                Schema(schema)
        assert host.seen == []
