"""A request that may not be served now, answered so that its session lives on.

There are clients to whom a status of HTTP is the end of their session. An agent reads what a tool
says, and waits.
"""

from __future__ import annotations

from typing import Any

import msgspec
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from services.gateway.refusals import Refusal, fail

CODE = -32000
"""Errors of a server's own."""
LIMITED = "limited"
"""In a request's state: the refusal."""
_VERSION = b"mcp-protocol-version"


class _Message(msgspec.Struct):
    """What has to be known of a message in order to answer it."""

    method: str | msgspec.UnsetType = msgspec.UNSET
    id: str | int | msgspec.UnsetType = msgspec.UNSET


_message = msgspec.json.Decoder(_Message)


async def limited(refusal: Refusal, scope: Any, receive: Any, send: Any, most: int) -> Any:
    """Answer a request that is over a limit; else what it is to be received with.

    What needs no answer is taken: it costs no more than a refusal. Neither it nor the answer has
    more than `most` bytes.
    """
    body = await _body(receive, most) if scope["method"] == "POST" else None
    try:
        message = None if body is None else _message.decode(body)
    except msgspec.MsgspecError:
        message = None
    if body is None or message is None:
        await fail(scope, send, refusal)
        return None
    if message.id is msgspec.UNSET or message.method is msgspec.UNSET:
        return _again(body, receive)
    version = dict(scope["headers"]).get(_VERSION, b"").decode("latin-1")
    answer = {"jsonrpc": "2.0", "id": message.id} | _said(
        message.method, refusal, modern=version in MODERN_PROTOCOL_VERSIONS
    )
    head = [(b"content-type", b"application/json"), *refusal.headers]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})
    return None


def _said(method: str | msgspec.UnsetType, refusal: Refusal, *, modern: bool) -> dict[str, Any]:
    if method == "tools/call":
        result = {"content": [{"type": "text", "text": refusal.message}], "isError": True}
        return {"result": result | ({"resultType": "complete"} if modern else {})}
    data = {"reason": str(refusal.reason)}
    return {"error": {"code": CODE, "message": refusal.message, "data": data}}


async def _body(receive: Any, most: int) -> bytes | None:
    """The whole body; None: it has no end, or is too big."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Any) -> Any:
    """Receive what has been received already, and then what comes."""
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return given.pop() if given else await receive()

    return received
