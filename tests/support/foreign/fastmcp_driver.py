"""FastMCP's client, of 2, 3 or 4, that does as it is told: see `driver`."""

from __future__ import annotations

import asyncio
from typing import Any

import fastmcp
from driver import GIVEN, LOGS, SAID, Steps, serve, wire
from fastmcp import Client

NEW = int(fastmcp.__version__.split(".")[0]) >= 4


async def answers(message: str, response_type: Any, params: Any, context: Any) -> Any:
    return SAID


async def logs(message: Any) -> None:
    LOGS.append(message.data)


class Driven:
    def __init__(self, one: Any) -> None:
        self.one = one

    async def tools(self) -> Any:
        return [wire(tool) for tool in await self.one.list_tools()]

    async def call(
        self, tool: str, arguments: dict[str, Any], limit_s: float, meta: Any = None
    ) -> Any:
        steps = Steps()
        result = await self.one.call_tool_mcp(
            tool, arguments, progress_handler=steps.hear, timeout=limit_s, meta=meta
        )
        return wire(result) | {"steps": steps}

    async def prompts(self) -> Any:
        return [wire(prompt) for prompt in await self.one.list_prompts()]

    async def prompt(self, name: str) -> Any:
        return wire(await self.one.get_prompt(name))

    async def resources(self) -> Any:
        return [wire(resource) for resource in await self.one.list_resources()]

    async def read(self, uri: str) -> Any:
        return {"contents": [wire(content) for content in await self.one.read_resource(uri)]}

    async def level(self) -> None:
        if GIVEN["era"] == "legacy" or not NEW:
            await self.one.set_logging_level("info")


async def main() -> None:
    options: dict[str, Any] = {"elicitation_handler": answers, "log_handler": logs}
    if NEW and GIVEN["era"] == "legacy":
        options["mode"] = "legacy"
    async with Client(GIVEN["url"], auth=GIVEN["token"], **options) as client:
        era = client.protocol_version if NEW else client.initialize_result.protocolVersion
        await serve(Driven(client), str(era))


asyncio.run(main())
