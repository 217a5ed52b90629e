"""Requests to `/mcp` in both eras, as they should be and made up.

Every method that the server knows, and what may be wrong with its parameters, envelope or headers.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st
from mcp.shared.inbound import encode_header_value
from mcp_types import methods
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from services.gateway.mcp.asked import TASK_KEY
from services.gateway.mcp.tasks import TASKS
from tests.unit.gateway.fuzzing import HER_HOST, IDS, PUBLIC, SECRET, odd

MODERN, LEGACY = MODERN_PROTOCOL_VERSIONS[-1], HANDSHAKE_PROTOCOL_VERSIONS[-1]
JSON, EVENTS = "application/json", "text/event-stream"
ACCEPT = {"accept": f"{JSON}, {EVENTS}", "content-type": JSON}
SESSION, VERSION = "mcp-session-id", "mcp-protocol-version"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
}
HANDLES = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
"""For a client that takes a task's handle in place of its result."""
HELLO = {
    "protocolVersion": LEGACY,
    "capabilities": {"extensions": {TASKS: {}}},
    "clientInfo": {"name": "x", "version": "1"},
}
ID = 987654321
"""Stands for an id that no other request has: two at once with one id are answered once."""


class Request(NamedTuple):
    """One request; `session` says whose session it names."""

    method: str
    headers: dict[str, str]
    content: bytes
    session: str


def tool(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    given = st.fixed_dictionaries({}, optional=arguments)
    return st.fixed_dictionaries({"name": st.just(name), "arguments": given})


WAIT = st.sampled_from([0, 0.01, -1, None, "x", True, [], float("nan")])
SUBMITTED: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["t.x", "mcp.call", "", 5]),
    "input": odd() | st.just({}),
    "id": IDS,
    "host": IDS,
    "wait_s": WAIT,
    "priority": odd(),
}
NAMES = st.sampled_from(
    [f"{host}__{tool}" for host in (PUBLIC, HER_HOST, "*", "") for tool in ("echo", SECRET[:4], "")]
)
CALLS = st.one_of(
    tool("submit_task", **SUBMITTED),
    tool("get_task", task=IDS | odd(), wait_s=WAIT),
    tool("cancel_task", task=IDS | odd()),
    tool("answer_task", task=IDS | odd(), q=WAIT, action=odd(), content=odd(), reason=odd()),
    tool("list_tasks", status=odd(), type=odd(), limit=odd(), cursor=odd()),
    tool("why", task=IDS | odd()),
    tool("audit_task", task=IDS | odd()),
    tool("read_result", task=IDS | odd(), offset=WAIT, limit=WAIT),
    tool("list_hosts", task_type=st.sampled_from(["t.x", "mcp.call"]) | odd()),
    st.fixed_dictionaries(
        {"name": NAMES | IDS, "arguments": odd()},
        optional={
            "_meta": st.fixed_dictionaries(
                {TASK_KEY: IDS | odd()}, optional={"progressToken": IDS}
            ),
            "inputResponses": st.dictionaries(IDS, odd(), max_size=2) | odd(),
            "requestState": IDS | odd(),
        },
    ),
)
RESPONSES = st.dictionaries(IDS, odd() | st.just({"action": "accept"}), max_size=2) | odd()
ONE_TASK = st.fixed_dictionaries({"taskId": IDS}, optional={"inputResponses": RESPONSES})
OTHERS = sorted(
    (methods.SPEC_CLIENT_METHODS | methods.SPEC_CLIENT_NOTIFICATION_METHODS)
    - {"initialize", "tools/call"}
)
PARAMS = st.dictionaries(
    st.sampled_from(["cursor", "uri", "name", "taskId", "requestId", "level", "ref", "arguments"]),
    odd(),
    max_size=3,
)
MESSAGES = st.one_of(
    st.tuples(st.just("tools/call"), CALLS),
    st.tuples(st.just("tools/call"), CALLS),
    st.tuples(st.sampled_from(["tasks/get", "tasks/cancel", "tasks/update"]), ONE_TASK),
    st.tuples(st.just("tools/list"), st.fixed_dictionaries({}, optional={"cursor": IDS})),
    st.tuples(st.just("notifications/cancelled"), st.fixed_dictionaries({"requestId": st.just(1)})),
    st.tuples(st.sampled_from([*OTHERS, "tasks/list", "x", "", "\ud800"]), PARAMS),
    st.tuples(st.just("initialize"), st.just(HELLO) | PARAMS),
)
PLACES = ("id", "jsonrpc", "method", "params", "result", "error", "x")
CHANGES = st.dictionaries(st.sampled_from(PLACES), odd(), min_size=1, max_size=2)
TWISTS = ("cut", "tail", "bom", "batch", "twice", "deep", "broken", "empty", "noise")
HEADERS = st.dictionaries(
    st.sampled_from([VERSION, "accept", "content-type", "last-event-id", "origin", "host"])
    | st.sampled_from(["mcp-method", "mcp-name", "mcp-param-text", "content-encoding"]),
    st.sampled_from(
        ["", "*/*", JSON, EVENTS, MODERN, LEGACY, "2024-11-05", "9", "0/0", "tools/list"]
    )
    | st.sampled_from(["[::1", "a b", "=?base64?%?=", "\xe9", "x" * 5000]),
    min_size=1,
    max_size=2,
)
METHODS = st.sampled_from(["POST"] * 24 + ["GET", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "ODD"])
SESSIONS = st.sampled_from(["own"] * 8 + ["none", "hers", "\xe9", "x" * 5000])


def twisted(content: bytes, how: str) -> bytes:
    match how:
        case "cut":
            return content[: len(content) // 2]
        case "tail":
            return content + b"{}"
        case "bom":
            return b"\xef\xbb\xbf" + content
        case "batch":
            return b"[" + content + b"," + content + b"]"
        case "twice":
            return content[:-1] + b',"id":%d,"method":"tools/list"}' % ID
        case "deep":
            return content[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
        case "broken":
            return content.replace(b"a", b"\xff", 1)
        case "empty":
            return b""
        case _:
            return b"\x00\xff{}"


def envelope(
    method: str, params: dict[str, Any], *, modern: bool
) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the message of a request in one of the eras."""
    headers = dict(ACCEPT)
    if modern:
        more = params.get("_meta")
        params = params | {"_meta": META | (more if isinstance(more, dict) else {})}
        headers |= {VERSION: MODERN, "mcp-method": method}
        if isinstance(name := params.get("name"), str):
            headers["mcp-name"] = name
    return headers, {"jsonrpc": "2.0", "id": ID, "method": method, "params": params}


def plain(method: str, params: dict[str, Any], *, modern: bool) -> Request:
    """A request as it should be."""
    headers, message = envelope(method, params, modern=modern)
    return Request("POST", headers, json.dumps(message).encode(), "none" if modern else "own")


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A message of either era, as it should be or with something changed."""
    method, params = draw(MESSAGES)
    modern = draw(st.booleans())
    if modern and draw(st.booleans()):
        params = {"_meta": HANDLES} | params
    headers, message = envelope(method, params, modern=modern)
    if method.startswith("notifications/"):
        del message["id"]
    if draw(st.integers(0, 4)) == 0:
        message |= draw(CHANGES)
    content = json.dumps(message).encode()
    if draw(st.integers(0, 7)) == 0:
        content = twisted(content, draw(st.sampled_from(TWISTS)))
    if draw(st.integers(0, 5)) == 0:
        headers |= draw(HEADERS)
    verb = draw(METHODS)
    if verb == "GET" and draw(st.booleans()):
        headers["last-event-id"] = draw(st.sampled_from(["1", "x"]))
    return Request(verb, headers, content, draw(st.just("none") if modern else SESSIONS))


def apart(group: list[Request]) -> list[Request]:
    """Those that can be sent together: none that begins or ends a stream, no two with one id.

    To the SDK that is a mistake of the client's, who gets half an answer, or only one.
    """
    mine = b"%d" % ID
    free = [one for one in group if mine in one.content or b'"id"' not in one.content]
    return [one for one in free if one.method not in ("GET", "DELETE")] or group[:1]


GROUPS = st.lists(requests(), min_size=1, max_size=3).map(apart)
"""Requests that are sent at the same time."""


def header(text: str) -> bytes:
    """What can stand in a header of a text, as the protocol wants it."""
    try:
        return encode_header_value(text).encode("latin-1")
    except UnicodeEncodeError:
        return b"?"
