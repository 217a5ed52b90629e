"""Lists of tools, read one by one: what is no tool is left out, and does not hide the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp import ClientSession
from mcp_types import ListToolsResult, ServerCapabilities, methods
from pydantic import ValidationError

MOST_NAMED = 20
"""Tools that are left out which are named."""
_LONGEST = 80
_LIST = "tools/list"


def features(has: ServerCapabilities | None) -> tuple[str, ...]:
    """What a server has besides tools, by its own word."""
    named = ("prompts", "resources", "completions")
    found = tuple(name for name in named if getattr(has, name, None) is not None)
    tells = has is not None and has.resources is not None and has.resources.subscribe
    return (*found, "subscriptions") if tells else found


def lenient(session: ClientSession) -> dict[str, str]:
    """Have the session read lists so.

    What was left out of the latest list stands in what this returns, by name, with the reason.
    """
    left_out: dict[str, str] = {}
    ask = session._dispatcher.send_raw_request

    async def asked(method: str, params: Mapping[str, Any] | None, opts: Any = None) -> Any:
        raw = await ask(method, params, opts)
        if method == _LIST:
            if not (params or {}).get("cursor"):
                left_out.clear()
            sift(raw, str(session._negotiated_version), left_out)
        return raw

    session._dispatcher.send_raw_request = asked  # type: ignore[method-assign]
    return left_out


def sift(raw: dict[str, Any], version: str, left_out: dict[str, str]) -> None:
    """Take out of an answer what is no tool in this version of the protocol, and say why."""
    tools = raw.get("tools")
    if not isinstance(tools, list) or not _wrong(raw, version):
        return
    if _wrong({**raw, "tools": []}, version):
        # It is not the tools: whoever reads this says what it is.
        return
    good = []
    for tool in tools:
        if not (why := _wrong({**raw, "tools": [tool]}, version)):
            good.append(tool)
        elif len(left_out) < MOST_NAMED:
            name = tool.get("name") if isinstance(tool, dict) else None
            left_out[str(name)[:_LONGEST]] = why
    raw["tools"] = good


def _wrong(raw: dict[str, Any], version: str) -> str:
    """What is wrong with an answer; empty: nothing."""
    try:
        methods.validate_server_result(_LIST, version, raw)
        ListToolsResult.model_validate(raw, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("tools", 0))
        return f"{where}: {first['msg']}"[: _LONGEST * 2]
    except (KeyError, ValueError):
        # A version that the SDK has no models of.
        return ""
    return ""
