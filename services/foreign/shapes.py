"""Where the servers stand in the files of the clients that there are, and the names of their parts.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_DEEPEST = 4
_URLS = ("url", "serverUrl", "server_url", "httpUrl", "http_url", "uri", "baseUrl", "base_url")
_COMMANDS = ("command", "cmd")
_OTHER = re.compile(r"[^a-z]")
_LISTS = ("mcpservers", "contextservers", "modelcontextprotocolservers")


class Named(NamedTuple):
    """One server of a file."""

    name: str
    server: Any
    inputs: Mapping[str, Any]
    """What `${input:ID}` asks for, by id."""
    folder: str = ""
    """The project's folder, where the file says it."""


def servers(raw: Any, stem: str) -> list[Named]:
    """All servers of a file; `stem` is the file's name, for one that has none of its own."""
    found = list(_walked(raw, {}, "", _DEEPEST))
    if found or not isinstance(raw, dict):
        return found
    if is_server(raw):
        return [Named(str(raw.get("name") or stem), raw, {})]
    if raw and all(isinstance(one, dict) and is_server(one) for one in raw.values()):
        return [Named(str(name), one, {}) for name, one in raw.items()]
    return []


def is_server(value: Mapping[str, Any]) -> bool:
    """Whether this describes a server."""
    return any(key in value for key in (*_URLS, *_COMMANDS, "transport", "mcp_config"))


def url_of(server: Mapping[str, Any]) -> Any:
    """Where it is reached; None: it is a program."""
    return next((server[key] for key in _URLS if server.get(key)), None)


def command_of(server: Mapping[str, Any]) -> Any:
    """What starts it."""
    return next((server[key] for key in _COMMANDS if server.get(key)), None)


def flat(server: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with the parts of its parts: some clients nest transport, settings or command."""
    inner = server.get("mcp_config")
    found = dict(inner if isinstance(inner, dict) else server)
    for key in ("transport", "settings", "requestOptions", "requestInit"):
        if isinstance(inner := found.get(key), dict):
            found.pop(key)
            kept = inner if key != "settings" else {}
            found = {**kept, **found}
    if isinstance(inner := found.get("command"), dict):
        found = {**found, **inner, "command": inner.get("path") or inner.get("command")}
    return found


def _walked(
    raw: Any, inputs: Mapping[str, Any], folder: str, deep: int, within: str = ""
) -> Iterator[Named]:
    if not isinstance(raw, dict) or deep == 0:
        return
    inputs = {**inputs, **_inputs(raw)}
    for key, value in raw.items():
        if _holds_servers(str(key), value, within):
            yield from _listed(value, {**inputs, **_inputs(value)}, folder)
        elif key == "projects" and isinstance(value, dict):
            for place, project in value.items():
                yield from _walked(project, inputs, str(place), deep - 1)
        else:
            yield from _walked(value, inputs, folder, deep - 1, str(key))


def _holds_servers(key: str, value: Any, within: str) -> bool:
    if not isinstance(value, dict | list):
        return False
    if _OTHER.sub("", key.lower()).endswith(_LISTS):
        return True
    if key == "servers":
        return within in ("", "mcp")
    if within or not isinstance(value, dict):
        return False
    # Of opencode, Crush and Goose.
    if key == "mcp":
        return bool(value) and not {"servers", "mcpServers"} & value.keys()
    if key == "extensions":
        return any(isinstance(one, dict) and is_server(one) for one in value.values())
    return key == "server" and isinstance(value.get("mcp_config"), dict)


def _listed(value: Any, inputs: Mapping[str, Any], folder: str) -> Iterator[Named]:
    if isinstance(value, list):
        for at, one in enumerate(value):
            name = one.get("name") or one.get("id") if isinstance(one, dict) else None
            yield Named(str(name or f"server-{at + 1}"), one, inputs, folder)
    elif isinstance(value.get("mcp_config"), dict):
        yield Named("server", value, inputs, folder)
    else:
        for name, one in value.items():
            if name == "inputs" and isinstance(one, list):
                continue
            yield Named(str(name), one, inputs, folder)


def _inputs(raw: Any) -> dict[str, Any]:
    asked = raw.get("inputs") if isinstance(raw, dict) else None
    if not isinstance(asked, list):
        return {}
    return {str(one["id"]): one for one in asked if isinstance(one, dict) and "id" in one}
