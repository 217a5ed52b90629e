"""The description of the HTTP API: complete, true to the types, and shown without outside help."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import jsonschema_rs
from litestar.routes import HTTPRoute

from services.gateway.openapi import page as http_docs
from services.gateway.openapi.document import PATH
from services.outside.openapi import document as openapi_tools
from services.outside.openapi import reading
from tests.unit.gateway.mcp.test_door import register
from tests.unit.gateway.world import World, error_of

ROOT = Path(__file__).parents[4]
CONSOLE = {"/console", "/console/{page}", "/console/assets/{version}/{file}"}
UNDESCRIBED = {PATH, f"{PATH}/{{path}}", f"{PATH}/openapi.json", "/device", *CONSOLE}
"""Litestar's own routes to the description, and pages for people."""
SIGN_IN = {"login", "refresh"}
ASKING = {"ask", "poll"}
"""Whoever is not let in is told so there, too."""
PUBLIC = SIGN_IN | ASKING | {"index", "health", "live", "ready", "jwks", "show_docs", "show_limits"}
PUBLIC |= {"list_providers", "start_sign_in", "start_linking", "finish_sign_in"}
PUBLIC |= {"finish_link", "describe_client", "take_link"}


async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(f"{PATH}/openapi.json")
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["operationId"]: one for path in document["paths"].values() for one in path.values()}


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        found: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolved(document, found)
    return node


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise if a value does not conform to a schema of the document."""
    whole = schema | {"components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def contents(document: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    return list(resolved(document, node).get("content", {}).values())


async def test_every_route_is_described_once(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
    served = {
        (route.path_format, method.lower())
        for route in gateway.site.app._http.app.routes  # type: ignore[attr-defined]
        if isinstance(route, HTTPRoute) and route.path_format not in UNDESCRIBED
        for method in route.route_handler_map
        if method != "OPTIONS"
    }
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert told == served
    assert document["openapi"] == "3.1.0"
    assert len(operations(document)) == len(told)
    for one in operations(document).values():
        assert one["summary"]
        assert [tag["name"] for tag in document["tags"] if tag["name"] in one["tags"]]
        for parameter in one["parameters"]:
            assert parameter.get("description"), (one["operationId"], parameter["name"])


async def test_references_lead_somewhere_and_names_are_readable(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(document)))
    assert len(references) > 50
    for reference in references:
        assert resolved(document, {"$ref": reference})
    assert all(re.fullmatch(r"[A-Za-z_]+", name) for name in document["components"]["schemas"])


async def test_examples_conform_to_their_schemas(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
    checked = 0
    for one in operations(document).values():
        bodies = contents(document, one.get("requestBody", {}))
        assert all("example" in body for body in bodies if "schema" in body), one["operationId"]
        for response in one["responses"].values():
            bodies += contents(document, response)
        for body in bodies:
            if "example" in body:
                check(document, body["schema"], body["example"])
                checked += 1
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            check(document, schema, example)
            checked += 1
    assert checked > 300


async def test_the_example_of_a_task_is_accepted(gateway: World) -> None:
    async with gateway.http() as client:
        operation = operations(await described(client))["create_task"]
        body = operation["requestBody"]["content"]["application/json"]["example"]
        assert (await client.post("/api/tasks", json=body)).status_code == 201


async def test_errors_are_described_as_they_come(gateway: World) -> None:
    async with gateway.http(None) as nobody, gateway.http() as alice:
        document = await described(nobody)
        every = operations(document)
        for name, one in every.items():
            assert {"429", "500"} <= one["responses"].keys()
            assert bool(one["security"]) == (name not in PUBLIC)
            assert ("401" in one["responses"]) == (name not in PUBLIC - SIGN_IN)
        answers = {
            401: ("list_tasks", await nobody.get("/api/tasks")),
            404: ("get_task", await alice.get("/api/tasks/none")),
            400: ("create_task", await alice.post("/api/tasks", content=b"{")),
        }
    for status, (name, answer) in answers.items():
        response = resolved(document, every[name]["responses"][str(status)])
        error = error_of(answer)
        assert error.code == status
        check(document, response["content"]["application/json"]["schema"], answer.json())
        for header in response["headers"]:
            assert header in answer.headers


async def test_hosts_are_described_as_the_registry_takes_them(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
    ours = document["components"]["schemas"]["HostEntry"]
    registry = json.loads((ROOT / "docs/schemas/host.json").read_text())["$defs"]["Entry"]
    assert ours["properties"].keys() == registry["properties"].keys()
    assert ours["required"] == registry["required"] == ["endpoint"]
    assert ours["additionalProperties"] is False


class Page(HTMLParser):
    """What a browser would load, show and jump to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "href":
                self.links.add(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_shows_everything_and_loads_nothing(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
        answer = await client.get("/api/docs")
    assert answer.headers["content-type"].startswith("text/html")
    page = Page()
    page.feed(answer.text)
    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    assert page.attributes == {"lang", "charset", "name", "content", "href", "id"}
    assert len(page.ids) == len(set(page.ids))
    types = {f"type-{name}" for name in document["components"]["schemas"]}
    assert set(page.ids) == types | operations(document).keys()
    assert page.links - {f"#{name}" for name in page.ids} == {f"{PATH}/openapi.json"}


async def test_the_page_may_use_its_own_style_and_nothing_else(gateway: World) -> None:
    async with gateway.http(None) as client:
        answer = await client.get("/api/docs")
        other = await client.get("/")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    styles = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in styles]
    assert [policy.pop("style-src")] == [f"'sha256-{one}'" for one in hashes]
    assert set(policy.values()) == {"'none'"}
    assert "default-src" in policy
    assert "style-src" not in other.headers["content-security-policy"]


def test_words_of_the_description_are_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    operation = {
        "tags": ["t"],
        "summary": evil,
        "description": f"`{evil}`",
        "operationId": '"><b>',
        "parameters": [
            {"name": evil, "in": "query", "description": evil, "schema": {"enum": [evil]}}
        ],
        "responses": {
            "200": {"description": evil, "content": {evil: {"schema": {}, "example": evil}}}
        },
        "security": [],
    }
    document = {
        "info": {"title": evil, "version": "1", "description": evil},
        "tags": [{"name": "t", "description": evil}],
        "paths": {f"/{evil}": {"get": operation}},
        "components": {
            "schemas": {
                evil: {"description": evil, "properties": {evil: {"const": evil}}},
                "Other": {"anyOf": [{"$ref": f"#/components/schemas/{evil}"}, {"default": evil}]},
            }
        },
    }
    page = Page()
    page.feed(http_docs.page(document))
    assert page.open == []
    assert "script" not in page.tags
    assert '"><b>' in page.ids


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a schema, the schema among them; examples are none."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in ("examples", "example"):
                yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


async def test_generators_find_types_said_in_full(gateway: World) -> None:
    async with gateway.http(None) as client:
        document = await described(client)
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema["title"] == name
        for node in nodes(schema):
            assert "default" not in node or isinstance(node["default"], dict), name
            assert node.get("type") != "array" or node.keys() & {"items", "prefixItems"}, name
            if node.get("type") == "object":
                assert node.keys() & {"properties", "additionalProperties"}, name
    body = schemas["TaskBody"]["properties"]
    assert body["input"]["additionalProperties"] is True
    assert body["is_heavy"]["description"].endswith("Without it: `false`.")


async def test_what_is_always_there_is_said_to_be(gateway: World) -> None:
    await register(gateway, "plain")
    async with gateway.http() as client:
        document = await described(client)
        hosts = (await client.get("/api/mcps")).json()
        page = (await client.get("/api/tasks")).json()
    schemas = document["components"]["schemas"]
    (host,) = hosts["data"]
    assert (
        set(schemas["HostView"]["required"]) == set(host) == set(schemas["HostView"]["properties"])
    )
    assert (host["capabilities"], host["owner"]) == ([], None)
    assert set(schemas["Page_TaskRow"]["required"]) == page.keys()
    assert "required" in schemas["TaskView"]
    assert "host" not in schemas["TaskView"]["required"], "it is left out before there is one"
    content = operations(document)["list_hosts"]["responses"]["200"]["content"]
    check(document, content["application/json"]["schema"], hosts)


async def test_it_becomes_tools_as_any_document_does(gateway: World) -> None:
    async with gateway.http(None) as client:
        content = reading.read((await client.get(f"{PATH}/openapi.json")).content)
    found = openapi_tools.api(content)
    assert (len(found.tools), found.left_out) == (len(operations(content)), {})
    for tool in found.tools:
        assert jsonschema_rs.meta.is_valid(tool.input_schema)
        assert jsonschema_rs.meta.is_valid(tool.output_schema or {})
        assert "#/components" not in json.dumps([tool.input_schema, tool.output_schema])
