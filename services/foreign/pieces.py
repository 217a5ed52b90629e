"""Pieces of configuration with which other programs come in here: each client in its own words.

Pure. A token is never among them: `TOKEN` stands where one goes, and whoever has it puts it there.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

Auth = Literal["token", "oauth"]
TOKEN = "TOKEN"
"""Stands where the token goes."""
NAME = "metamcp"
"""What clients call this server."""
_BEARER = f"Authorization: Bearer {TOKEN}"
_DESKTOP = "claude_desktop_config.json (Settings, Developer, Edit Config)"


class Piece(msgspec.Struct, frozen=True):
    """What one client needs."""

    client: str
    """Its name on the command line."""
    title: str
    """Its name for people."""
    where: str
    """Where the text goes: a shell, or a file."""
    language: Literal["shell", "json", "toml", "python"]
    text: str
    note: str
    """What else there is to know; may be empty."""


class ClientDoor(NamedTuple):
    """What is pointed at."""

    base: str
    """The gateway's address, without a slash at its end."""
    profile: str = ""
    hosts: tuple[str, ...] = ()
    search: bool = False
    auth: Auth = "token"

    @property
    def mcp(self) -> str:
        """The address of the MCP server."""
        path = f"/mcp/{quote(self.profile)}" if self.profile else "/mcp"
        asked = {"hosts": ",".join(self.hosts)} if self.hosts else {}
        asked |= {"tools": "search"} if self.search else {}
        query = urlencode(asked, safe=",*/")
        return f"{self.base}{path}{'?' if query else ''}{query}"

    @property
    def oauth(self) -> bool:
        """The client signs its user in by itself."""
        return self.auth == "oauth"


def pieces(door: ClientDoor) -> list[Piece]:
    """For every client that is known."""
    return [make(door) for make in CLIENTS.values()]


def _claude_code(door: ClientDoor) -> Piece:
    header = "" if door.oauth else f' --header "{_BEARER}"'
    text = f"claude mcp add --transport http {NAME} {_url(door)}{header}"
    note = "Then /mcp in Claude Code signs you in." if door.oauth else ""
    return Piece("claude-code", "Claude Code", "a shell", "shell", text, note)


def _claude_desktop(door: ClientDoor) -> Piece:
    args = ["-y", "mcp-remote", door.mcp]
    entry: dict[str, Any] = {"command": "npx", "args": args}
    if door.base.startswith("http://"):
        args.append("--allow-http")
    if not door.oauth:
        # Without a space: on Windows it would cut the argument in two.
        args += ["--header", "Authorization:${METAMCP_AUTH}"]
        entry["env"] = {"METAMCP_AUTH": f"Bearer {TOKEN}"}
    note = (
        "Claude Desktop starts local programs only, so mcp-remote (which needs Node.js) passes"
        " everything on. A gateway with a public https address can be added without it: Settings,"
        " Connectors, Add custom connector."
    )
    text = _json({"mcpServers": {NAME: entry}})
    return Piece("claude-desktop", "Claude Desktop", _DESKTOP, "json", text, note)


def _vscode(door: ClientDoor) -> Piece:
    server: dict[str, Any] = {"type": "http", "url": door.mcp}
    if not door.oauth:
        server["headers"] = {"Authorization": f"Bearer {TOKEN}"}
    note = "Or for all folders: the command `MCP: Open User Configuration`."
    text = _json({"servers": {NAME: server}})
    return Piece("vscode", "VS Code", ".vscode/mcp.json", "json", text, note)


def _cursor(door: ClientDoor) -> Piece:
    server: dict[str, Any] = {"url": door.mcp}
    if not door.oauth:
        server["headers"] = {"Authorization": f"Bearer {TOKEN}"}
    text = _json({"mcpServers": {NAME: server}})
    return Piece("cursor", "Cursor", "~/.cursor/mcp.json", "json", text, "")


def _codex(door: ClientDoor) -> Piece:
    lines = [f"[mcp_servers.{NAME}]", f"url = {json.dumps(door.mcp)}"]
    note = f"Then `codex mcp login {NAME}` signs you in."
    if not door.oauth:
        lines.append('bearer_token_env_var = "METAMCP_TOKEN"')
        note = f"Codex reads the token from its environment: export METAMCP_TOKEN={TOKEN}"
    return Piece("codex", "Codex", "~/.codex/config.toml", "toml", "\n".join(lines), note)


def _gemini(door: ClientDoor) -> Piece:
    header = "" if door.oauth else f' --header "{_BEARER}"'
    text = f"gemini mcp add --scope user --transport http{header} {NAME} {_url(door)}"
    note = f"Then /mcp auth {NAME} in Gemini CLI signs you in." if door.oauth else ""
    return Piece("gemini", "Gemini CLI", "a shell", "shell", text, note)


def _inspector(door: ClientDoor) -> Piece:
    call = f"npx @modelcontextprotocol/inspector --cli {_url(door)} --transport http"
    header = "" if door.oauth else f' --header "{_BEARER}"'
    text = f"{call} --method tools/list{header}"
    note = "Without --cli it opens a page in the browser."
    return Piece("inspector", "MCP Inspector", "a shell", "shell", text, note)


def _fastmcp(door: ClientDoor) -> Piece:
    auth = "oauth" if door.oauth else TOKEN
    text = f"""import asyncio

from fastmcp import Client


async def main():
    async with Client({json.dumps(door.mcp)}, auth="{auth}") as client:
        for tool in await client.list_tools():
            print(tool.name)


asyncio.run(main())"""
    return Piece("fastmcp", "FastMCP", "a Python file", "python", text, "")


def _curl(door: ClientDoor) -> Piece:
    text = f"""curl {shlex.quote(door.base + "/api/tasks?wait=30")} \\
  -H "{_BEARER}" -H "Content-Type: application/json" \\
  -d '{{"type": "code_analysis", "input": {{"files": {{"a.py": "print(1)"}}}}}}'"""
    note = f"The token needs `tasks:write`. Every route is described at {door.base}/api/docs."
    return Piece("curl", "HTTP (curl)", "a shell", "shell", text, note)


def _websocket(door: ClientDoor) -> Piece:
    url = "ws" + door.base.removeprefix("http") + "/api/stream"
    frame = '{"op":"subscribe","ref":1,"sub":"a","to":"tasks","after":null}'
    text = f'npx wscat --subprotocol metamcp.v1 --header "{_BEARER}" --connect {shlex.quote(url)}'
    note = (
        f"Then send {frame} to follow your tasks; the token needs `tasks:read`: docs/protocol.md."
    )
    return Piece("websocket", "WebSocket", "a shell", "shell", text, note)


def _nats(door: ClientDoor) -> Piece:
    task = '{"type": "code_analysis", "input": {"files": {"a.py": "print(1)"}}}'
    text = (
        "nats --server nats://HOST:4222 --user USER --password PASSWORD \\\n"
        f"  pub task.created '{task}'"
    )
    note = (
        "NATS takes no tokens: an administrator makes an account with `metamcp publisher add NAME`,"
        " which prints its user and password. docs/protocol.md has a whole publisher."
    )
    return Piece("nats", "NATS", "a shell", "shell", text, note)


CLIENTS: Mapping[str, Callable[[ClientDoor], Piece]] = {
    "claude-code": _claude_code,
    "claude-desktop": _claude_desktop,
    "vscode": _vscode,
    "cursor": _cursor,
    "codex": _codex,
    "gemini": _gemini,
    "inspector": _inspector,
    "fastmcp": _fastmcp,
    "curl": _curl,
    "websocket": _websocket,
    "nats": _nats,
}


def _url(door: ClientDoor) -> str:
    return shlex.quote(door.mcp)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
