"""Documents to tools: names, schemas, hints, what is left out, and documents that mean harm."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Tool
from contracts.nesting import too_deep
from services.outside.openapi import document, reading
from services.outside.openapi.operation import ApiOperation, of_tool
from services.outside.openapi.reading import BadDocument
from services.outside.openapi.servers import base_url
from services.outside.openapi.trimming import trimmed
from tests.support.apis import FORGE, OK, PAYMENTS, PETSTORE, api, one


def tools(content: dict[str, Any], *wanted: str) -> dict[str, Tool]:
    return {tool.name: tool for tool in document.api(content, wanted).tools}


def operation(content: dict[str, Any], name: str = "op") -> ApiOperation:
    found = of_tool(document.api(content).tools, name)
    assert found is not None
    return found


def test_a_pet_store_becomes_tools() -> None:
    content = reading.read(PETSTORE.encode())
    found = document.api(content)
    assert (found.title, found.version, found.left_out) == ("Pet store", "1.0.27", {})
    assert found.schemes == {"petstore_auth", "api_key"}
    made = {tool.name: tool for tool in found.tools}
    assert set(made) == {"getPetById", "findPetsByTags", "addPet", "uploadFile"}
    get, add = made["getPetById"], made["addPet"]
    assert (get.description, get.read_only, get.idempotent) == ("Find pet by ID.", True, True)
    assert (add.read_only, add.idempotent, add.destructive) == (False, False, False)
    assert add.open_world is True
    assert get.input_schema["required"] == ["petId"]
    pet = add.input_schema["$defs"]["Pet"]
    assert "id" not in pet["properties"], "what only the API says is not sent"
    assert pet["properties"]["name"] == {"type": ["string", "null"]}
    assert pet["properties"]["status"]["enum"] == ["available", "pending", "sold", None]
    assert get.output_schema is not None
    assert "id" in get.output_schema["$defs"]["Pet"]["properties"]
    assert made["findPetsByTags"].output_schema is None, "a list is no structured content"
    assert operation(content, "addPet").body == "application/json"
    assert made["uploadFile"].input_schema["properties"]["body"]["contentEncoding"] == "base64"


def test_a_forge_becomes_tools() -> None:
    made = tools(FORGE)
    assert set(made) == {"issues_list-for-repo", "issues_create"}
    listed = made["issues_list-for-repo"]
    assert set(listed.input_schema["properties"]) == {"owner", "repo", "labels", "page"}
    assert made["issues_create"].output_schema == {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
    }
    (why,) = document.api(FORGE).left_out.values()
    assert "a server of its own" in why
    assert set(tools(FORGE, "issues_l*")) == {"issues_list-for-repo"}
    assert set(tools(FORGE, "issues_create")) == {"issues_create"}


def test_payments_become_tools() -> None:
    made = tools(PAYMENTS)
    assert set(made["GetCharges"].input_schema["properties"]) == {"created", "expand"}
    amount = made["PostCharges"].input_schema["properties"]["body"]["properties"]["amount"]
    assert amount == {"type": "integer", "exclusiveMinimum": 0}
    schemes = operation(PAYMENTS, "GetCharges").security
    assert [[scheme.kind for scheme in group] for group in schemes] == [["basic"], ["bearer"]]


@pytest.mark.parametrize("content", [FORGE, PAYMENTS, reading.read(PETSTORE.encode())])
def test_trimming_a_document_changes_no_tool(content: dict[str, Any]) -> None:
    before = copy.deepcopy(content)
    assert document.api(trimmed(content)) == document.api(content)
    assert content == before
    assert "Unused" not in trimmed(content).get("components", {}).get("schemas", {})


def test_trimming_keeps_the_wanted_operations_only() -> None:
    found = trimmed(FORGE, ("issues_l*",))
    assert document.api(found, ("issues_l*",)) == document.api(FORGE, ("issues_l*",))
    (ways,) = found["paths"].values()
    assert set(ways) == {"parameters", "get"}
    assert "responses" not in found["components"]


def test_trimming_keeps_what_only_looks_idle() -> None:
    schema = {"type": "object", "properties": {"example": {"type": "string"}, "x-a": {}, "xml": {}}}
    body = {"content": {"application/json": {"schema": schema, "example": 1}}}
    schemes = {"x-key": {"type": "apiKey", "in": "header", "name": "X-Key", "x-more": 1}}
    more = {"components": {"securitySchemes": schemes}, "security": [{"x-key": []}]}
    content = api({"/x": {"post": {"operationId": "op", "requestBody": body, "x-b": 1}}}, **more)
    found = trimmed(content)
    assert document.api(found) == document.api(content)
    assert b"x-b" not in msgspec.json.encode(found)
    assert b"x-more" not in msgspec.json.encode(found)


def test_what_is_too_big_for_the_log_is_not_kept() -> None:
    with pytest.raises(BadDocument, match="put it at a URL"):
        trimmed(one(description="x" * 200_000))


def test_names_are_fit_unique_and_stay() -> None:
    paths: dict[str, Any] = {
        "/a/{b}/c": {"get": OK},
        "/one": {"get": {"operationId": "same"}, "put": {"operationId": "same"}},
        "/two": {"get": {"operationId": "<b>näme</b>\u202e"}},
        "/long": {"get": {"operationId": "x" * 200}},
    }
    paths["/a/{b}/c"]["parameters"] = [{"name": "b", "in": "path", "schema": {}}]
    names = set(tools(api(paths)))
    assert len(names) == 5
    assert {"get_a_b_c", "same", "b_n_me_b"} <= names
    assert all(len(name) <= 64 for name in names)
    assert names == set(tools(api(dict(reversed(paths.items())))))


def test_arguments_of_one_name_are_told_apart() -> None:
    places = [{"name": "id", "in": place, "required": True} for place in ("query", "header")]
    body = {"content": {"application/json": {}}}
    content = one(*places, {"name": "body", "in": "query"}, method="post", requestBody=body)
    (tool,) = document.api(content).tools
    assert set(tool.input_schema["properties"]) == {"id", "header_id", "body", "request_body"}
    assert operation(content).body_argument == "request_body"


@pytest.mark.parametrize(
    ("parameter", "path", "why"),
    [
        ({"name": "a", "in": "query", "style": "odd"}, "/x", "has the style 'odd'"),
        ({"name": "a", "in": "path", "style": "matrix"}, "/{a}", "has the style 'matrix'"),
        ({"name": "Host", "in": "header"}, "/x", "the client's own"),
        ({"name": "A\r\nB: c", "in": "header"}, "/x", "no name that can be sent"),
        ({"name": "a", "in": "nowhere"}, "/x", "no place"),
        ({"$ref": "https://elsewhere.example/p.json"}, "/x", "no name"),
        ({"$ref": "#/paths/~1x/get/parameters/0"}, "/x", "no name"),
        ({"name": "a", "in": "query"}, "/{b}", "is no parameter"),
    ],
)
def test_what_cannot_be_called_is_left_out(parameter: Any, path: str, why: str) -> None:
    found = document.api(one(parameter, path=path))
    assert found.tools == ()
    assert why in found.left_out["op"]


@pytest.mark.parametrize(
    ("servers", "read_at", "url"),
    [
        ([{"url": "https://a.example/v1/"}], "", "https://a.example/v1"),
        ([{"url": "/api/v3"}], "https://p.example/doc/openapi.json", "https://p.example/api/v3"),
        ([], "https://p.example/doc/openapi.json", "https://p.example"),
        (None, "openapi.json", ""),
        ([{"url": "ftp://a.example"}], "", ""),
        ([{"url": 1}], "https://p.example", ""),
    ],
)
def test_the_base_url_is_that_of_the_first_server(servers: Any, read_at: str, url: str) -> None:
    assert base_url({"servers": servers}, read_at) == url


def test_variables_of_a_server_have_defaults() -> None:
    server = {"url": "https://{region}.a.example", "variables": {"region": {"default": "eu"}}}
    assert base_url({"servers": [server]}) == "https://eu.a.example"


# Documents that mean harm.


def body_of(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def test_cycles_end() -> None:
    schemas = {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/B"}}},
        "B": {"allOf": [{"$ref": "#/components/schemas/A"}], "description": "\x1b[31mred"},
        "C": {"$ref": "#/components/schemas/C"},
    }
    body = body_of({"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in "ABCD"]})
    content = one(method="post", requestBody=body) | {"components": {"schemas": schemas}}
    (tool,) = document.api(content).tools
    assert set(tool.input_schema["$defs"]) == set("ABCD")
    assert tool.input_schema["$defs"]["B"]["description"] == "[31mred"
    jsonschema.Draft202012Validator.check_schema(tool.input_schema)


def test_a_schema_without_end_is_left_open() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(9000)}}
    huge = {"enum": [f"value {n}" for n in range(100_000)]}
    for one_ in (schema, wide, huge):
        (tool,) = document.api(one(method="post", requestBody=body_of(one_))).tools
        assert len(msgspec.json.encode(tool)) < 200_000


def test_what_is_too_deep_for_the_log_is_left_open() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    content = one(method="post", requestBody=body_of({"type": "object", "default": deep}))
    (tool,) = document.api(content).tools
    assert not too_deep(msgspec.json.encode(tool))
    assert tool.input_schema["properties"] == {"body": {"type": "object"}}
    with pytest.raises(BadDocument, match="nested more than 64 deep"):
        trimmed(content)


def test_what_is_no_schema_is_left_open() -> None:
    bad = body_of({"type": "object", "properties": {"a": {"type": "text"}}})
    content = one(method="post", requestBody=bad, responses={"200": bad})
    (tool,) = document.api(content).tools
    assert tool.input_schema["properties"] == {"body": {"type": "object"}}
    assert tool.output_schema is None


def test_many_operations_are_too_many() -> None:
    paths = {f"/p{n}": {"get": OK} for n in range(10_000)}
    with pytest.raises(BadDocument, match="name those you want"):
        document.api(api(paths))
    assert len(document.api(api(paths), ("get_p1*",)).tools) == 1111


def test_tools_that_are_too_big_lose_what_calls_do_not_need() -> None:
    schema = {f"p{n}": {"type": "string", "description": "d" * 400} for n in range(20)}
    answer = {"content": {"application/json": {"schema": {"type": "object", "properties": schema}}}}
    way = {"requestBody": body_of({"properties": schema}), "responses": {"200": answer}}
    found = document.api(api({f"/p{n}": {"post": way} for n in range(150)})).tools
    assert len(found) == 150
    assert len(msgspec.json.encode(found)) <= document.MOST_TOOLS_BYTES
    assert found[0].output_schema is None
    assert "body" in found[0].input_schema["properties"]


def test_a_part_that_is_used_again_and_again_is_made_so_often_only() -> None:
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1900)}}
    parts = [{"name": f"q{n}", "in": "query", "schema": wide} for n in range(199)]
    item = {"get": {"requestBody": {"$ref": "#/components/requestBodies/B"}}, "parameters": parts}
    more = {"pathItems": {"I": item}, "requestBodies": {"B": body_of(wide)}}
    paths = {f"/p{n}": {"$ref": "#/components/pathItems/I"} for n in range(1900)}
    with pytest.raises(BadDocument, match="its 251 operations"):
        document.api(api(paths, components=more))


@pytest.mark.parametrize(
    "content",
    [
        api({"/x": None}),
        api({"/x": {"get": 1}}),
        api({"/x": {"parameters": 1, "get": {"parameters": 1, "responses": 1, "security": 1}}}),
        api({"/x": {"get": {"requestBody": {"content": {"application/json": None}}}}}),
        api({"/x": {"get": {"requestBody": {"content": {"application/json": {"schema": 1}}}}}}),
        api({}, components=1, servers=1, security={"a": 1}, info=None),
        api({}, components={"securitySchemes": {"a": 1, "b": {"type": "apiKey", "in": []}}}),
        api({"/x": {"get": {"security": [{"a": 1}, 1], "summary": 1, "description": []}}}),
        api({"/x": {"get": {"responses": {"200": {"content": {"application/json": []}}}}}}),
        one({"name": "a", "in": "query", "content": {"a/b": 1}, "explode": 1, "style": []}),
    ],
)
def test_nonsense_breaks_nothing(content: Any) -> None:
    document.api(content)
    base_url(content)
    trimmed(content)


JUNK = st.sampled_from(
    [None, True, 0, 1.5, "", "x", "#/paths", [], [1], {}, {"$ref": "#"}, {"a": 1}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything within."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


CONTENTS = [FORGE, PAYMENTS, reading.read(PETSTORE.encode())]
WHERE = [(content, path) for content in CONTENTS for path in places(content)]


@given(st.sampled_from(WHERE), JUNK)
def test_junk_anywhere_is_left_out_or_said(where: tuple[Any, Any], junk: Any) -> None:
    content, path = copy.deepcopy(where[0]), where[1]
    around = content
    for key in path[:-1]:
        around = around[key]
    around[path[-1]] = junk
    try:
        reading.check(content)
        for tool in document.api(content).tools:
            assert of_tool([tool], tool.name) is not None
            assert msgspec.json.decode(msgspec.json.encode(tool), type=Tool) == tool
        base_url(content, "https://a.example")
        trimmed(content)
    except BadDocument:
        pass
