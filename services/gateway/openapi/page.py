"""`GET /api/docs`: the API's description as one page, without scripts and outside resources."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.di import NamedDependency, Provide

from services.gateway.openapi.document import PATH, OpenApiDocument
from services.gateway.openapi.types import REF

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}
a{color:#0550ae}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}
details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary b{display:inline-block;min-width:4.5rem}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f6f8fa;padding:.6rem;overflow:auto;border-radius:6px}
code{overflow-wrap:anywhere}[id]{scroll-margin-top:3rem}
table{border-collapse:collapse;width:100%}@media(max-width:50rem){table{display:block;overflow-x:auto}}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-top:1px solid #eaeef2}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}a{color:#6cb6ff}
pre{background:#161b22}h2,details,th,td{border-color:#30363d}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""Looser than that of all other answers by this one style."""


@get("/api/docs", media_type=MediaType.HTML, sync_to_thread=False)
def show_docs(
    request: Request[Any, Any, Any], description: NamedDependency[OpenApiDocument]
) -> Response[str]:
    """Show this description as a page."""
    text = page(description.document(request.app))
    headers = {"Content-Security-Policy": POLICY}
    return Response(text, media_type=MediaType.HTML, headers=headers)


def page(document: Mapping[str, Any]) -> str:
    """Render a document of ours as HTML. Pure."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    sections = "".join(_section(tag, document) for tag in document["tags"])
    schemas = document["components"]["schemas"]
    types = "".join(_type(name, schemas[name]) for name in sorted(schemas))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
        f'<p>{_text(info["description"])}</p><p><a href="{PATH}/openapi.json">openapi.json</a></p>'
        f"{sections}<h2>Types</h2>{types}</body></html>"
    )


def router(description: OpenApiDocument) -> Router:
    """The route of this module; `description` is what it shows."""

    async def provide_description() -> OpenApiDocument:
        return description

    dependencies = {"description": Provide(provide_description)}
    return Router("/", route_handlers=[show_docs], dependencies=dependencies)


def _section(tag: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    routes = "".join(
        _route(method, path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    return f"<h2>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>{routes}"


def _route(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> str:
    head = (
        f"<details><summary><b>{method.upper()}</b>"
        f" <code>{escape(path)}</code> {_text(operation['summary'])}</summary>"
    )
    access = _access(operation["security"])
    text = f"<p>{_text(operation['description'])} {access}</p>"
    body = operation.get("requestBody")
    asked = "" if body is None else f"<h4>Body</h4>{_contents(body['content'])}"
    answers = _table(
        ("Status", "Answer"),
        (
            (escape(status), _response(response, document))
            for status, response in operation["responses"].items()
        ),
    )
    # A link to what lies inside opens the box.
    inside = f"{text}{_parameters(operation)}{asked}<h4>Answers</h4>{answers}"
    return f'{head}<div id="{escape(operation["operationId"])}">{inside}</div></details>'


def _access(security: list[dict[str, list[str]]]) -> str:
    """Whether a token is needed, and which scope it has to have."""
    if not security:
        return "Needs no token."
    found = sorted({scope for one in security for scopes in one.values() for scope in scopes})
    named = " or ".join(f"<code>{scope}</code>" for scope in found)
    return f"Needs a token with the scope {named}." if found else "Needs a token."


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            _schema(one["schema"]),
            _text(one.get("description", "")),
        )
        for one in operation["parameters"]
    ]
    return f"<h4>Parameters</h4>{_table(('Name', 'In', 'Type', ''), rows)}" if rows else ""


def _response(response: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if reference := response.get("$ref"):
        named = document["components"]["responses"][reference.rpartition("/")[2]]
        return _text(named["description"])
    return _text(response["description"]) + _contents(response.get("content", {}))


def _contents(content: Mapping[str, Any]) -> str:
    return "".join(
        f"<div><code>{escape(media_type)}</code> {_schema(one.get('schema', {}))}"
        f"{_example(one.get('example'))}</div>"
        for media_type, one in content.items()
    )


def _type(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>" + (", required" if field in required else ""),
            _schema(one),
            _text(one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    body = _table(("Field", "Type", ""), rows) if rows else f"<p>{_schema(schema)}</p>"
    text = _text(schema.get("description", ""))
    example = "".join(_example(one) for one in schema.get("examples", ()))
    return (
        f"<details><summary><code>{escape(name)}</code> {text}</summary>"
        f'<div id="type-{escape(name)}">{body}{example}</div></details>'
    )


def _schema(schema: Mapping[str, Any]) -> str:
    """A schema in one line; other types are links."""
    if reference := schema.get("$ref"):
        name = escape(reference.removeprefix(REF))
        return f'<a href="#type-{name}">{name}</a>'
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_schema(one) for one in options)
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "items" in schema:
        return f"list of {_schema(schema['items'])}"
    limits = "".join(
        f", {words} {escape(str(schema[key]))}" for key, words in _LIMITS.items() if key in schema
    )
    return escape(str(schema.get("type", "anything"))) + limits


_LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "minLength": "at least long",
    "maxLength": "at most long",
    "pattern": "like",
    "default": "default",
}


def _example(example: Any) -> str:
    if example is None:
        return ""
    return f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; its cells are HTML already."""
    first = "".join(f"<th>{cell}</th>" for cell in head)
    rest = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{rest}</table>"


def _text(text: str) -> str:
    """Words for people; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
