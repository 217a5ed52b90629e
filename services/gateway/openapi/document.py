"""The OpenAPI 3.1 description of the HTTP API, made from the routes themselves.

Litestar knows paths, parameters and what its `config` says, msgspec the types; `described` says at
a route what neither can. `__init__` has what Litestar alone would leave out.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec
from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OpenAPIType, Schema, SecurityScheme, Tag
from litestar.plugins import OpenAPISchemaPlugin
from litestar.response import Stream
from litestar.routes import HTTPRoute

from contracts.account import Provider
from contracts.wire import HttpError
from services.gateway.openapi import errors
from services.gateway.openapi.types import ID, REPO, Schemas

PATH = "/api/schema"
JSON = "application/json"
TAGS = {
    "tasks": "What you ask for, and how it goes.",
    "batches": "Tasks that are sent together.",
    "operations": "Cancelling, running again and tagging many tasks at once.",
    "results": "What tasks left behind.",
    "mcps": "The hosts that work on tasks.",
    "preferences": "How much you want tasks to go to which host.",
    "accounts": "Accounts that the orchestrator acts for.",
    "spaces": "Your Spaces at Hugging Face.",
    "github": "GitHub in the name of your linked account.",
    "projects": "What people work on together: members, tasks, results.",
    "tokens": "Tokens of this API: your own, and for the role `admin` everybody's.",
    "clients": "Programs that may ask people for tokens; for the role `admin`.",
    "auth": "Signing in and out, sessions, passwords, tickets.",
    "users": "Accounts of people and of services, and their quotas; for the role `admin`.",
    "me": "Yourself: what you may, and what you use of it.",
    "access": "Who came in and who was kept out; for the roles `auditor` and `admin`.",
    "events": "The facts as they happen.",
    "gateway": "The gateway itself: uploads, tickets, keys, health.",
}
TEXT = (
    "One JSON API over one durable log. Every answer has an envelope:"
    ' `{"success": true, "data": …}` or `{"success": false, "error": {…}}`.'
    " What belongs to another user does not exist: 404."
)
_IN_PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "task": ("Id of a task.", ID),
    "batch": ("Id of a batch.", ID),
    "operation": ("Id of an operation.", ID),
    "host": ("Name of a host.", ID),
    "user": ("Whose host it is, or who is in a project.", ID),
    "project": ("Id of a project.", ID),
    "profile": ("Name of a profile, as in `/mcp/PROFILE`.", ID),
    "token": ("Id of a token, as the list shows it; not its text.", ID),
    "person": ("Name of a user.", ID),
    "session": ("Id of a session, as the list shows it.", ID),
    "client": ("Id of a client of OAuth.", ID),
    "grant": ("Id of what you have let a client do.", ID),
    "sha256": ("SHA-256 of the bytes.", {"pattern": "^[0-9a-f]{64}$"}),
    "provider": ("Where the account is.", {"enum": [one.value for one in Provider]}),
    "owner": ("Owner of the Space or repository.", REPO),
    "name": ("Name of the Space.", REPO),
    "repo": ("Name of the repository.", {"pattern": "^[A-Za-z0-9_.-]{1,100}$"}),
    "way": ("A provider, as `/api/auth/providers` lists it.", {"pattern": "^[a-z0-9-]{1,64}$"}),
    "key": ("Key of it, as the list shows it.", {"pattern": "^[0-9a-f]{64}$"}),
}


class Described(NamedTuple):
    """What a route's signature does not say."""

    body: Any = None
    """Type of the body; `bytes` for any bytes."""
    body_needed: bool = True
    answer: Any = None
    """Type of the data, where the signature has only bytes."""
    errors: tuple[int, ...] = ()
    """Besides those that come by themselves, see `_errors`."""
    also: Mapping[int, str] = {}
    """More statuses with the same answer."""
    bare: Mapping[int, str] = {}
    """Statuses without a body."""
    headers: Mapping[str, str] = {}
    """Request headers that the route reads."""
    ticket: bool = False
    """A one-time ticket in the query will do for a token."""
    scope: str | tuple[str, ...] | None = None
    """Which of `contracts.scopes` a token needs; of several, one. Empty: any token will do. Whoever
    wants to know who is asking has to say; see `services.gateway.http.scoped`."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of which a token needs one; empty: it needs none."""
        return (
            (self.scope,) if isinstance(self.scope, str) and self.scope else (*(self.scope or ()),)
        )


def described(**facts: Any) -> dict[str, Any]:
    """Say something about a route, as its `opt`; the fields are those of `Described`."""
    return {"described": Described(**facts)}


class Operation(NamedTuple):
    """One method of one path."""

    path: str
    method: str
    status: int
    media_type: str
    answer: Any
    asks: bool
    """Whether it wants to know who is asking."""
    least: Mapping[str, int]
    """Parameters that begin at 0, which Litestar does not say of those that may be left out."""
    said: Described


class Structs(OpenAPISchemaPlugin):
    """Keeps Litestar from describing our types: msgspec does that better, and does not fail."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Tell whether this type is described here."""
        of = get_origin(value) or value
        return isinstance(of, type) and issubclass(of, msgspec.Struct)

    def to_openapi_schema(self, field_definition: Any, schema_creator: Any) -> Schema:
        """Describe nothing; `document` puts the type's own schema in this place."""
        return Schema(type=OpenAPIType.OBJECT)


class OpenApiDocument(JsonRenderPlugin):
    """The document, made once; serves it as `/api/schema/openapi.json`."""

    def __init__(self, examples: Iterable[Any]) -> None:
        """`examples`: values of the types that routes take and answer."""
        super().__init__(path="/openapi.json")
        self._examples = {type(one): json.loads(msgspec.json.encode(one)) for one in examples}
        self._made: dict[str, Any] = {}

    def document(self, app: Litestar) -> dict[str, Any]:
        """Return the document of this application."""
        if not self._made:
            known = app.openapi_schema.to_schema()
            self._made = document(known, list(operations(app)), self._examples)
        return self._made

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        return msgspec.json.encode(self.document(request.app))


def config(title: str, version: str, description: OpenApiDocument) -> OpenAPIConfig:
    """Litestar's part of it."""
    return OpenAPIConfig(
        title=title,
        version=version,
        description=TEXT,
        path=PATH,
        render_plugins=[description],
        tags=[Tag(name, text) for name, text in TAGS.items()],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer"),
                "ticket": SecurityScheme(type="apiKey", security_scheme_in="query", name="ticket"),
            }
        ),
        operation_id_creator=_operation_id,
        use_handler_docstrings=True,
    )


def _operation_id(handler: HTTPRouteHandler, _: object, path: list[Any]) -> str:
    """The function's name, with what tells the path from its others where it has several."""
    if len(handler.paths) == 1:
        return handler.handler_name
    if not any("{user:str}" in one for one in handler.paths):
        return f"{handler.handler_name}_of_{path[1]}"
    owned = any(getattr(part, "name", "") == "user" for part in path)
    return handler.handler_name + ("_of_user" if owned else "")


def operations(app: Litestar) -> Iterator[Operation]:
    """What there is to describe, as the routes say it."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            if method == "OPTIONS" or not handler.resolve_include_in_schema():
                continue
            signature = handler.parsed_fn_signature
            yield Operation(
                path=route.path_format,
                method=method.lower(),
                status=handler.status_code,
                media_type=str(getattr(handler.media_type, "value", handler.media_type)) or JSON,
                answer=_answer(signature.return_type.annotation),
                asks="principal" in signature.parameters,
                least={
                    name: 0
                    for name, field in signature.parameters.items()
                    if getattr(field.kwarg_definition, "ge", None) == 0
                },
                said=handler.opt.get("described", Described()),
            )


def document(
    litestar: Mapping[str, Any], routes: list[Operation], examples: Mapping[type, Any]
) -> dict[str, Any]:
    """Complete what Litestar knows. Pure."""
    answers = [one.said.answer or one.answer for one in routes]
    types_ = [*answers, *(one.said.body for one in routes), HttpError]
    bodies = [one.said.body for one in routes]
    schemas = Schemas([one for one in types_ if one not in (None, bytes, str)], examples, bodies)
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        known = litestar["paths"][one.path][one.method]
        paths.setdefault(one.path, {})[one.method] = _operation(one, known, schemas)
    components = {
        "schemas": litestar["components"].get("schemas", {}) | schemas.components,
        "responses": errors.responses(schemas.of(HttpError)),
        "headers": errors.HEADERS,
    }
    return {**litestar, "paths": paths, "components": litestar["components"] | components}


def _answer(annotation: Any) -> Any:
    """The type of an answer's body; `bytes` for anything that is streamed."""
    if get_origin(annotation) in (Union, types.UnionType):
        return bytes
    if annotation is Stream:
        return str
    return get_args(annotation)[0] if get_origin(annotation) is Response else annotation


def _tag(path: str) -> str:
    name = path.split("/")[2] if path.startswith("/api/") else ""
    return name if name in TAGS else "gateway"


def _operation(one: Operation, known: Mapping[str, Any], schemas: Schemas) -> dict[str, Any]:
    said, text = one.said, " ".join(known["description"].split())
    parameters = [_parameter(found, one.least) for found in known.get("parameters", ())]
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in said.headers.items()
    ]
    made: dict[str, Any] = {
        "tags": [_tag(one.path)],
        "summary": text.partition(". ")[0].rstrip("."),
        "description": text,
        "operationId": known["operationId"],
        "parameters": parameters,
        "responses": _responses(one, bool(parameters), schemas),
        "security": [],
    }
    if one.asks:
        ways = ["bearer", "ticket"] if said.ticket else ["bearer"]
        wanted: list[list[str]] = [[scope] for scope in said.scopes] or [[]]
        made["security"] = [{way: scopes} for way in ways for scopes in wanted]
    if said.body is not None:
        media_type = "application/octet-stream" if said.body is bytes else JSON
        content = {media_type: _content(said.body, schemas)}
        made["requestBody"] = {"required": said.body_needed, "content": content}
    return made


def _content(type_: Any, schemas: Schemas) -> dict[str, Any]:
    """How a body is described. Any bytes have no schema, as OpenAPI 3.1 has it."""
    if type_ is bytes:
        return {}
    if type_ is str:
        return {"schema": {"type": "string"}}
    made: dict[str, Any] = {"schema": schemas.of(type_)}
    if (example := schemas.example(type_)) is not None:
        made["example"] = example
    return made


def _responses(one: Operation, parameters: bool, schemas: Schemas) -> dict[str, Any]:
    said, type_ = one.said, one.said.answer or one.answer
    media_type = "*/*" if type_ is bytes else one.media_type
    good = {one.status: errors.SUCCESS.get(one.status, "Done.")} | dict(said.also)
    made: dict[int, Any] = {}
    for status, text in good.items():
        content = {media_type: _content(type_, schemas)}
        if status in said.also:
            content[media_type].pop("example", None)
        made[status] = {"description": text, "headers": errors.REQUEST_ID, "content": content}
    for status, text in said.bare.items():
        made[status] = {"description": text, "headers": errors.REQUEST_ID}
    for status in _errors(one, parameters):
        made.setdefault(status, {"$ref": f"#/components/responses/{errors.ERRORS[status].name}"})
    return {str(status): made[status] for status in sorted(made)}


def _errors(one: Operation, parameters: bool) -> set[int]:
    """Which errors can come: those that the route names, and what its form brings with it."""
    found = {429, 500, *one.said.errors}
    if parameters or one.said.body is not None:
        found.add(400)
    if one.said.body is not None:
        found |= {413, 415}
    if one.asks:
        found.add(401)
    if one.said.scopes:
        found.add(403)
    if "{" in one.path:
        found.add(404)
    return found


def _parameter(known: Mapping[str, Any], least: Mapping[str, int]) -> dict[str, Any]:
    """A parameter without what goes without saying; one that may be left out is not null."""
    name = known["name"]
    schema = {key: _whole(value) for key, value in known["schema"].items()}
    schema.pop("description", None)
    if options := [one for one in schema.pop("oneOf", ()) if one != {"type": "null"}]:
        schema = (options[0] if len(options) == 1 else {"oneOf": options}) | schema
    if isinstance(schema.get("type"), list):
        schema["type"] = next(one for one in schema["type"] if one != "null")
        schema["enum"] = [one for one in schema["enum"] if one is not None]
    if name in least:
        schema["minimum"] = least[name]
    text = known.get("description")
    if known["in"] == "path":
        text, more = _IN_PATHS[name]
        schema |= more
    made = {"name": name, "in": known["in"], "required": known.get("required", False)}
    return made | ({"description": text} if text else {}) | {"schema": schema}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
