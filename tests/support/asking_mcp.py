"""A real MCP server whose tools ask before they answer, in either era of the protocol.

Over stdio, or with PORT set over streamable HTTP: then it prints its URL. With OLDER set it knows
the older era alone. Each `tools/call` is one
JSON line in the file that RECORDING_FILE names, with what it took along, and each answer another.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

import uvicorn
from mcp import MCPError, UrlElicitationRequiredError
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    InputRequiredResult,
    ListRootsRequest,
    ListToolsResult,
    SamplingMessage,
    TextContent,
    Tool,
    ToolAnnotations,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

FILE = "RECORDING_FILE"
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SIZE = {"type": "object", "properties": {"size": {"type": "integer"}}}
URL = "https://example.org/visit"
HARMLESS = ("form", "several", "url", "busy", "endless", "note", "lost", "twice")
CAREFUL = (
    "form_once",
    "lost_once",
    "sampling",
    "roots",
    "big",
    "mixed",
    "scheme",
    "fails",
    "gated",
)
_numbers = itertools.count(1)
_gated = itertools.count()


def write(**fields: Any) -> None:
    """Append one line; a single write to an O_APPEND file is never mixed with another's."""
    path = Path(os.environ[FILE])
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(number, json.dumps({**fields, "pid": os.getpid()}).encode() + b"\n")
    finally:
        os.close(number)


def form(message: str = "What is your name?", schema: Any = None) -> ElicitRequest:
    params = ElicitRequestFormParams(message=message, requested_schema=schema or NAME)
    return ElicitRequest(params=params)


def page(url: str = URL) -> ElicitRequest:
    return ElicitRequest(
        params=ElicitRequestURLParams(message="Visit this page", url=url, elicitation_id="e1")
    )


def model() -> CreateMessageRequest:
    text = SamplingMessage(role="user", content=TextContent(type="text", text="hi"))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[text], max_tokens=5))


def wanted(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a tool asks for, by key."""
    match tool:
        case "several":
            return {"who": form(), "how": form("How big?", SIZE)}
        case "url":
            return {"page": page()}
        case "mixed":
            return {"page": page(), "who": form()}
        case "scheme":
            return {"page": page("javascript:alert(1)")}
        case "sampling":
            return {"model": model()}
        case "roots":
            return {"roots": ListRootsRequest()}
        case "big":
            many = {f"f{n}": {"type": "string"} for n in range(arguments.get("fields", 1))}
            schema = {"type": "object", "properties": many}
            return {"who": form("?" * arguments.get("message", 1), schema)}
        case "form" | "form_once":
            return {"who": form(arguments.get("message", "What is your name?"))}
        case _:
            return {"who": form()}


def asks(tool: str, arguments: dict[str, Any]) -> InputRequiredResult:
    state = f"{tool}-{next(_numbers)}" + "s" * arguments.get("state", 0)
    return InputRequiredResult(input_requests=wanted(tool, arguments), request_state=state)


def modern(tool: str, params: CallToolRequestParams) -> Any:
    """What the newer era gets; None: the end."""
    given, state, arguments = params.input_responses, params.request_state, params.arguments or {}
    match tool:
        case "busy" | "endless":
            rounds = int(state or 0)
            if tool == "endless" or rounds < 3:
                return InputRequiredResult(request_state=str(rounds + 1))
            return None
        case "note":
            return None
        case "lost" | "lost_once" if given and not os.environ.get("KNOWN"):
            os.environ["KNOWN"] = "1"
            if arguments.get("how") == "again":
                return InputRequiredResult(input_requests=wanted(tool, arguments))
            raise MCPError(code=INVALID_PARAMS, message="unknown requestState")
        case "twice" if given and "second" not in str(state):
            state = f"second-{state}"
            return InputRequiredResult(
                input_requests={"who": form("And your other name?")}, request_state=state
            )
        case _:
            return None if given else asks(tool, arguments)


async def legacy(ctx: Any, tool: str, arguments: dict[str, Any]) -> Any:
    """Ask while the call is held open; what was said."""
    if tool in ("busy", "endless", "note"):
        return {}
    if tool == "gated":
        if next(_gated) == 0:
            raise UrlElicitationRequiredError([page().params])
        return {}
    said = {}
    related = None if arguments.get("unrelated") else ctx.request_id
    for key, request in wanted(tool, arguments).items():
        params = request.params
        match request:
            case CreateMessageRequest():
                await ctx.session.create_message(params.messages, max_tokens=5)
            case ListRootsRequest():
                await ctx.session.list_roots()
            case ElicitRequest(params=ElicitRequestURLParams()):
                result = await ctx.session.elicit_url(params.message, params.url, "e1", related)
                said[key] = result.model_dump(mode="json", exclude_none=True)
            case _:
                asking = ctx.session.elicit_form(params.message, params.requested_schema, related)
                patience_s = arguments.get("patience_s")
                result = await asyncio.wait_for(asking, patience_s)
                said[key] = result.model_dump(mode="json", exclude_none=True)
    return said


async def called(ctx: Any, params: CallToolRequestParams) -> Any:
    tool, arguments, meta = params.name, params.arguments or {}, dict(ctx.meta or {})
    about = {"tool": tool, "task": meta.get("metamcp/task"), "attempt": meta.get("metamcp/attempt")}
    given: Any = {
        key: one.model_dump(mode="json", exclude_none=True)
        for key, one in (params.input_responses or {}).items()
    }
    write(event="call", responses=given, state=params.request_state, **about)
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        if (asked := modern(tool, params)) is not None:
            return asked
    else:
        given = await legacy(ctx, tool, arguments)
    write(event="end", responses=given, **about)
    return CallToolResult(content=[TextContent(type="text", text=json.dumps(given))])


async def listed(ctx: Any, params: Any) -> ListToolsResult:
    tools = []
    for name in (*HARMLESS, *CAREFUL):
        hints = ToolAnnotations(read_only_hint=name in HARMLESS)
        tools.append(Tool(name=name, input_schema={"type": "object"}, annotations=hints))
    return ListToolsResult(tools=tools)


server = Server("asker", version="1.0.0", on_list_tools=listed, on_call_tool=called)
if os.environ.get("OLDER"):
    # Who does not know this is taken for a server of the older era.
    del server._request_handlers["server/discover"]


async def over_stdio() -> None:
    async with stdio_server() as (reading, writing):
        options = server.create_initialization_options()
        if os.environ.get("OLDER"):
            await serve_loop(server, reading, writing, lifespan_state={}, init_options=options)
        else:
            await server.run(reading, writing, options)


def over_http(port: int) -> None:
    listening = socket.create_server(("127.0.0.1", port))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    if (port := os.environ.get("PORT")) is not None:
        over_http(int(port))
    else:
        asyncio.run(over_stdio())


if __name__ == "__main__":
    main()
