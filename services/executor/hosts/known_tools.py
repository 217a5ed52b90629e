"""The tools of a session's server: which there are, and what they promise to answer."""

from __future__ import annotations

from typing import Any

import pydantic
from mcp import Client, MCPError

from contracts.message import bounded
from services.outside.mcp_errors import theirs
from services.outside.schemas import Invalid, Schema, Unjudged
from services.process import telemetry

MOST_PAGES = 50
"""Pages of tools that are read at the start of a session."""

log = telemetry.get_logger()


class KnownTools:
    """The tools of one session."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.names: frozenset[str] | None = None
        """The tools of the latest list, if it was complete."""
        self._outputs: dict[str, dict[str, Any] | Schema] = {}
        """What structured answers are to be, by tool; compiled when the first comes."""

    async def read(self, client: Client) -> None:
        """Learn what the tools' answers are to be; the SDK learns which arguments go into headers.

        Without that a call can be made all the same. Raises MCPError when the session is over.
        """
        outputs: dict[str, dict[str, Any] | Schema] = {}
        names: set[str] = set()
        cursor: str | None = None
        try:
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                outputs |= {
                    tool.name: tool.output_schema for tool in page.tools if tool.output_schema
                }
                names.update(tool.name for tool in page.tools)
                if page.next_cursor is None or page.next_cursor == cursor:
                    self.names = frozenset(names)
                    break
                cursor = page.next_cursor
        except MCPError as error:
            if not theirs(error):
                raise
            log.info("host_lists_no_tools", host=self._host, code=error.code)
        except pydantic.ValidationError as error:
            log.info("host_lists_no_tools", host=self._host, error=str(error))
        self._outputs = outputs

    def promised(self, tool: str, structured: Any) -> str:
        """What is to be said of an answer that is not what the tool's own schema promises."""
        schema = self._outputs.get(tool)
        try:
            if isinstance(schema, dict):
                schema = self._outputs[tool] = Schema(schema)
            misfit = schema.misfit(structured) if schema is not None else None
        except (Invalid, Unjudged) as why:
            self._outputs.pop(tool, None)
            return bounded(f"the answer of {tool} was not checked: its schema: {why}")
        if misfit is None:
            return ""
        return bounded(f"the answer of {tool} is not what it promises{misfit}")
