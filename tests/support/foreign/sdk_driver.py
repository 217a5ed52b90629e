"""The official SDK's client, of before 2.0 or of today, that does as it is told: see `driver`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from importlib import metadata
from typing import Any

from driver import GIVEN, LOGS, SAID, Steps, every, serve, wire
from mcp import types

OLD = metadata.version("mcp").startswith("1.")


async def answers(context: Any, params: Any) -> Any:
    return types.ElicitResult(action="accept", content=SAID)


async def logs(params: Any) -> None:
    LOGS.append(params.data)


class Driven:
    def __init__(self, one: Any) -> None:
        self.one = one

    async def tools(self) -> Any:
        return await every("tools", self.one.list_tools)

    async def call(
        self, tool: str, arguments: dict[str, Any], limit_s: float, meta: Any = None
    ) -> Any:
        steps = Steps()
        limit: Any = timedelta(seconds=limit_s) if OLD else limit_s
        result = await self.one.call_tool(tool, arguments, limit, steps.hear, meta=meta)
        return wire(result) | {"steps": steps}

    async def prompts(self) -> Any:
        return await every("prompts", self.one.list_prompts)

    async def prompt(self, name: str) -> Any:
        return wire(await self.one.get_prompt(name))

    async def resources(self) -> Any:
        return await every("resources", self.one.list_resources)

    async def read(self, uri: str) -> Any:
        return wire(await self.one.read_resource(uri))

    async def level(self) -> None:
        if OLD or GIVEN["era"] == "legacy":
            await self.one.set_logging_level("info")


async def old() -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    headers = {"Authorization": f"Bearer {GIVEN['token']}"}
    async with (
        streamablehttp_client(GIVEN["url"], headers=headers) as (reading, writing, _),
        ClientSession(
            reading, writing, elicitation_callback=answers, logging_callback=logs
        ) as session,
    ):
        greeting = await session.initialize()
        await serve(Driven(session), str(greeting.protocolVersion))


async def new() -> None:
    import httpx2
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if command := GIVEN.get("command"):
        server = StdioServerParameters(command=command[0], args=command[1:], env=GIVEN["env"])
        transport: Any = stdio_client(server)
    else:
        headers = {"Authorization": f"Bearer {GIVEN['token']}"}
        http = httpx2.AsyncClient(headers=headers, timeout=300, trust_env=False)
        transport = streamable_http_client(GIVEN["url"], http_client=http)
    async with Client(
        transport,
        mode="legacy" if GIVEN["era"] == "legacy" else "auto",
        elicitation_callback=answers,
        logging_callback=logs,
        log_level="info",
    ) as client:
        await serve(Driven(client), str(client.protocol_version))


asyncio.run(old() if OLD else new())
