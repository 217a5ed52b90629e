"""Query parameters that a route does not know, or has twice: named in an error, not ignored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from litestar import Request

from contracts.errors import Reason, Rejected
from services.gateway.http.scoped import check_scope
from services.gateway.openapi.document import OpenApiDocument
from services.gateway.openapi.types import REF

SHOWN = 80
"""Characters of what was sent that are said again."""
TICKET = "ticket"

AnyRequest = Request[Any, Any, Any]


def checking(description: OpenApiDocument) -> Callable[[AnyRequest], Awaitable[None]]:
    """What to do before each request: hold the token's scopes against the route, and its query
    against the API's description.

    It raises InsufficientScope, Rejected(BAD_REQUEST). What is not described is not checked.
    """

    async def check(request: AnyRequest) -> None:
        check_scope(request)
        scope = request.scope
        if not scope["query_string"] or request.route_handler.opt.get("any_query"):
            return
        document = description.document(request.app)
        path = document["paths"].get(scope["path_template"], {})
        operation = path.get(scope["method"].lower())
        # Whoever has to say who they are, and has not, is told that and nothing else.
        if operation and (scope["state"]["principal"] or not operation["security"]):
            _check(request, operation, document)

    return check


def _check(request: AnyRequest, operation: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    known = {one["name"]: one["schema"] for one in operation["parameters"] if one["in"] == "query"}
    if any(TICKET in one for one in operation["security"]):
        known[TICKET] = {}
    for name, values in request.query_params.dict().items():
        if name not in known:
            there = ", ".join(known) if known else "none"
            text = f"unknown query parameter {name[:SHOWN]!r}: there are {there}"
            raise Rejected(Reason.BAD_REQUEST, text)
        schema = known[name]
        if schema.get("type") == "array":
            schema = schema["items"]
        elif len(values) > 1:
            raise Rejected(Reason.BAD_REQUEST, f"{name}: given {len(values)} times, once is enough")
        choices = _choices(schema, document)
        if wrong := [value for value in values if choices and value not in choices]:
            text = f"{name}: expected one of {', '.join(choices)}, not {wrong[0][:SHOWN]!r}"
            raise Rejected(Reason.BAD_REQUEST, text)


def _choices(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    if reference := schema.get("$ref"):
        schema = document["components"]["schemas"][reference.removeprefix(REF)]
    return [str(one) for one in schema.get("enum", ())]
