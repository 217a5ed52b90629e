"""What the parts of the host say things with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import mcp_types as t

JOB_S = 1.5
"""What is over within a second is answered, and no task."""


def said(text: str, *, is_error: bool = False) -> t.CallToolResult:
    """A plain text."""
    return t.CallToolResult(content=[t.TextContent(type="text", text=text)], is_error=is_error)


def form(message: str, properties: Mapping[str, Any]) -> t.ElicitRequest:
    """A question to a person, of which every part has to be answered."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    params = t.ElicitRequestFormParams(message=message, requested_schema=schema)
    return t.ElicitRequest(params=params)


async def passing(seconds: float) -> None:
    """Let time pass."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
