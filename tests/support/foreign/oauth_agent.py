"""The official SDK's client, of before 2.0 or of today, told a URL and nothing else.

Prints where a person has to go, reads where the browser was sent back to, prints what it sees.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import metadata
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata

OLD = metadata.version("mcp").startswith("1.")


class Kept:
    """What a client keeps of its own."""

    tokens: Any = None
    client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


async def sends(url: str) -> None:
    print(json.dumps({"goes": url}), flush=True)


async def back() -> Any:
    line = await asyncio.to_thread(sys.stdin.readline)
    came = dict(parse_qsl(urlsplit(line.strip()).query))
    if OLD:
        return came["code"], came["state"]
    from mcp.client.auth import AuthorizationCodeResult

    return AuthorizationCodeResult.model_validate(came)


async def seen(url: str, provider: Any) -> list[str]:
    if OLD:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with (
            streamablehttp_client(url, auth=provider) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    http = httpx2.AsyncClient(auth=provider, timeout=60, trust_env=False)
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        return [tool.name for tool in (await client.list_tools()).tools]


async def main(url: str) -> None:
    told = {
        "client_name": "Python",
        "redirect_uris": ["http://localhost:33418/callback"],
        "token_endpoint_auth_method": "none",
    }
    asked = OAuthClientMetadata.model_validate(told)
    provider = OAuthClientProvider(url, asked, Kept(), sends, back)
    print(json.dumps({"seen": await seen(url, provider)}))


asyncio.run(main(*sys.argv[1:]))
