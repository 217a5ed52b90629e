"""Serve the host over HTTP, on two free ports: as one of both protocol eras, and as an older one.

Prints both addresses in one line.
"""

from __future__ import annotations

import asyncio
import json
import socket
import warnings
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tests.conformance.host import reads, tools


def server() -> Server[Any]:
    """One server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Server(
            "conformance",
            version="1",
            on_list_tools=tools.listed,
            on_call_tool=tools.call,
            on_list_prompts=reads.list_prompts,
            on_get_prompt=reads.get_prompt,
            on_list_resources=reads.list_resources,
            on_list_resource_templates=reads.list_templates,
            on_read_resource=reads.read,
            on_subscribe_resource=reads.taken,
            on_unsubscribe_resource=reads.taken,
            on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()),
            on_completion=reads.complete,
            on_set_logging_level=reads.taken,
        )


class Older:
    """Knows nothing of the newer era."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = dict(scope.get("headers", ())).get(b"mcp-protocol-version", b"").decode()
        if asked not in MODERN_PROTOCOL_VERSIONS:
            return await self._app(scope, receive, send)
        error = {"code": -32600, "message": f"Bad Request: Unsupported protocol version: {asked}"}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        return await send({"type": "http.response.body", "body": body})


async def main() -> None:
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    apps = (server().streamable_http_app(), Older(server().streamable_http_app()))
    configs = [uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1) for app in apps]
    print(*(f"http://127.0.0.1:{one.getsockname()[1]}/mcp" for one in listening), flush=True)
    serving = zip(configs, listening, strict=True)
    await asyncio.gather(*(uvicorn.Server(config).serve([one]) for config, one in serving))


if __name__ == "__main__":
    asyncio.run(main())
