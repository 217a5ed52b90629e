"""A document to the tools of its operations.

Pure. What can't be called is left out, and why is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec

from contracts.host import Tool
from contracts.nesting import too_deep
from services.outside.openapi.inputs import (
    ALL_PARAMETERS,
    OWN_HEADERS,
    TOKEN,
    Budgets,
    Inputs,
    Unusable,
)
from services.outside.openapi.naming import RawOperation, chosen
from services.outside.openapi.operation import META, ApiOperation, Scheme
from services.outside.openapi.reading import BadDocument
from services.outside.openapi.schema import ALL_NODES, NodeBudget, ToolSchemas, plain, resolved

MOST_TOOLS = 2000
MOST_TOOLS_BYTES = 512 * 1024
"""Of all tools: they have to fit into one fact. What calls do not need makes way."""
DESCRIPTION = 1024
"""Characters of a tool's description; 200 where the tools are too big otherwise."""
_SHORT = 200
_READ = frozenset({"get", "head", "options"})
_IDEMPOTENT = _READ | {"put", "delete"}
_MOST_ALTERNATIVES, _MOST_SCHEMES = 8, 4


class ApiTools(NamedTuple):
    """What a document describes."""

    title: str
    version: str
    description: str
    tools: tuple[Tool, ...]
    left_out: dict[str, str]
    """Why, by operation; the first of them."""
    schemes: frozenset[str]
    """Security schemes that can be satisfied by a secret."""


def api(document: dict[str, Any], wanted: Sequence[str] = (), nodes: int = ALL_NODES) -> ApiTools:
    """The tools of a document; `wanted`: names to take, `*` for any characters; `nodes`: of schemas
    that are made, others are left open. Raises BadDocument.

    Names are unique and stay what they are when others come and go.
    """
    info = resolved(document, document.get("info"))
    schemes = _schemes(document)
    budgets = Budgets(NodeBudget(nodes), NodeBudget(nodes), NodeBudget(ALL_PARAMETERS))
    tools: list[Tool] = []
    left_out: dict[str, str] = {}
    for name, raw in chosen(document, wanted):
        try:
            tools.append(_tool(document, name, raw, schemes, budgets))
        except Unusable as why:
            left_out[name] = str(why)
        if len(tools) > MOST_TOOLS:
            raise BadDocument(f"it has more than {MOST_TOOLS} operations: {_ADVICE}")
    return ApiTools(
        plain(info.get("title"), 100),
        plain(str(info.get("version", "")), 40),
        plain(info.get("description"), 8 * 1024),
        _fitting(tools),
        left_out,
        frozenset(schemes),
    )


_ADVICE = "name those you want in endpoint.operations"


def _tool(
    document: dict[str, Any],
    name: str,
    raw: RawOperation,
    schemes: dict[str, dict[str, Any]],
    budgets: Budgets,
) -> Tool:
    """Raises Unusable."""
    operation = raw.operation
    if "servers" in operation or "servers" in raw.item:
        raise Unusable("it has a server of its own: calls go to the endpoint's URL only")
    inputs = Inputs(document, raw.path, raw.item, operation, budgets)
    known = ApiOperation(
        raw.method.upper(),
        raw.path,
        inputs.parameters,
        **inputs.body,
        security=_security(document, operation, schemes),
    )
    texts = [plain(operation.get(key), DESCRIPTION) for key in ("summary", "description")]
    texts = [text for text in dict.fromkeys(texts) if text]
    tool = Tool(
        name,
        plain("\n\n".join(texts), DESCRIPTION) or f"{raw.method.upper()} {raw.path}"[:_SHORT],
        inputs.schema(),
        read_only=raw.method in _READ,
        idempotent=raw.method in _IDEMPOTENT,
        title=texts[0] if texts and len(texts[0]) <= 100 else "",
        destructive=raw.method == "delete",
        open_world=True,
        output_schema=_output(document, operation, budgets.answers),
        # As the log gives it back: lists, no tuples.
        meta={META: msgspec.json.decode(msgspec.json.encode(known))},
    )
    if not _fit(tool.output_schema or {}):
        tool = msgspec.structs.replace(tool, output_schema=None)
    if not _fit(tool.input_schema):
        tool = msgspec.structs.replace(tool, input_schema=_open(tool.input_schema))
    return tool


def _fit(schema: dict[str, Any]) -> bool:
    """Whether it is a JSON Schema, and can stand in the log."""
    return not too_deep(msgspec.json.encode(schema)) and jsonschema_rs.meta.is_valid(schema)


def _output(
    document: dict[str, Any], operation: dict[str, Any], budget: NodeBudget
) -> dict[str, Any] | None:
    """The schema of a successful answer that is a JSON object for sure."""
    responses = operation.get("responses")
    if not isinstance(responses, dict):
        return None
    good = [code for code in responses if str(code).upper() in ("200", "201", "2XX")]
    if len(good) != 1:
        return None
    content = resolved(document, responses[good[0]]).get("content")
    media = content.get("application/json") if isinstance(content, dict) else None
    schema = media.get("schema") if isinstance(media, dict) else None
    if resolved(document, schema).get("type") != "object":
        return None
    schemas = ToolSchemas(document, "writeOnly", budget)
    made = schemas.of(schema)
    definitions = schemas.definitions()
    if set(made) == {"$ref"}:
        # MCP wants `type: object` at the top.
        made = {"type": "object", **made}
    if made.get("type") != "object":
        return None
    return {**made, "$defs": definitions} if definitions else made


def _schemes(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The security schemes that a secret can satisfy, as an operation names them."""
    components = resolved(document, document.get("components"))
    found: dict[str, dict[str, Any]] = {}
    for name, value in resolved(document, components.get("securitySchemes")).items():
        scheme = resolved(document, value)
        kind, http = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        place, key = scheme.get("in"), scheme.get("name")
        if kind == "apiKey" and _sendable(place, key):
            found[name] = {"name": name, "kind": "key", "place": place, "key": key}
        elif kind in ("oauth2", "openIdConnect") or (kind == "http" and http == "bearer"):
            found[name] = {"name": name, "kind": "bearer"}
        elif kind == "http" and http == "basic":
            found[name] = {"name": name, "kind": "basic"}
    return found


def _sendable(place: Any, key: Any) -> bool:
    """Whether a key can be sent there."""
    if place == "query" or not isinstance(key, str):
        return isinstance(key, str) and bool(key)
    own = place == "header" and key.lower() in OWN_HEADERS
    return place in ("header", "cookie") and TOKEN.fullmatch(key) is not None and not own


def _security(
    document: dict[str, Any], operation: dict[str, Any], schemes: dict[str, dict[str, Any]]
) -> tuple[tuple[Scheme, ...], ...]:
    wanted = operation.get("security", document.get("security"))
    found = []
    for one in wanted[:_MOST_ALTERNATIVES] if isinstance(wanted, list) else ():
        known = isinstance(one, dict) and len(one) <= _MOST_SCHEMES and one.keys() <= schemes.keys()
        if known:
            found.append(tuple(msgspec.convert(schemes[name], Scheme) for name in one))
    return tuple(found)


def _fitting(tools: list[Tool]) -> tuple[Tool, ...]:
    """The tools with as much about them as there is room for. Raises BadDocument."""
    replace = msgspec.structs.replace
    if _size(tools) > MOST_TOOLS_BYTES:
        tools = [replace(tool, output_schema=None) for tool in tools]
    if _size(tools) > MOST_TOOLS_BYTES:
        tools = [replace(tool, description=plain(tool.description, _SHORT)) for tool in tools]
    if _size(tools) > MOST_TOOLS_BYTES:
        tools = [replace(tool, input_schema=_open(tool.input_schema)) for tool in tools]
    if (size := _size(tools)) > MOST_TOOLS_BYTES:
        raise BadDocument(f"its {len(tools)} operations have {size} bytes: {_ADVICE}")
    return tuple(tools)


def _size(tools: list[Tool]) -> int:
    return len(msgspec.json.encode(tools))


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """An input schema that names the arguments, and leaves open what they are made of."""
    kept = {
        name: {
            key: value[key] for key in ("type", "description") if isinstance(value.get(key), str)
        }
        for name, value in schema.get("properties", {}).items()
        if isinstance(value, dict)
    }
    return {key: schema[key] for key in ("type", "required") if key in schema} | {
        "properties": kept
    }
