"""A stand-in of GitHub's MCP server: a real MCP server with tools of the same names and arguments.

It keeps its repositories in memory, and lets nobody in without a token that it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    CallToolResult,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from pydantic import BaseModel

READ = ToolAnnotations(read_only_hint=True)
WRITE = ToolAnnotations(read_only_hint=False, idempotent_hint=False)


class File(BaseModel):
    """A file of `push_files`."""

    path: str
    content: str


@dataclass
class Repo:
    """One repository: the commits of its branches, newest last."""

    private: bool
    branches: dict[str, list[tuple[str, dict[str, str]]]] = field(default_factory=dict)
    """Message, and all files as they are then."""

    def files(self, branch: str = "main") -> dict[str, str]:
        """What the branch holds."""
        commits = self.branches.get(branch)
        return commits[-1][1] if commits else {}


class GitHub:
    """The repositories, and who may come in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.logins: dict[str, str] = {}
        """Names by token."""
        self.repos: dict[str, Repo] = {}
        self.calls: list[tuple[str, str]] = []
        """Who has called what."""
        self.refused = 0
        """Requests without a token that is known."""

    def login(self, headers: Any) -> str | None:
        """Who asks."""
        given = (headers or {}).get("authorization", "")
        return self.logins.get(given.removeprefix("Bearer "))

    def asked(self, ctx: Context, tool: str) -> str:
        """Note the call; return who makes it."""
        login = self.login(ctx.headers)
        assert login is not None, "the door has let nobody else in"
        self.calls.append((login, tool))
        return login

    def repo(self, login: str, owner: str, name: str) -> Repo:
        """The repository, if it may be seen. Raises ToolError."""
        repo = self.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and owner != login):
            raise ToolError(f"failed to get repository {owner}/{name}: 404 Not Found")
        return repo


def tools(hub: GitHub) -> MCPServer:
    """The server with the tools that the built-in host uses."""
    server = MCPServer("github-mcp-server", version="stand-in", log_level="ERROR")
    for reading in (_readers(hub), _searchers(hub)):
        for tool in reading:
            server.add_tool(tool, annotations=READ)
    for tool in _writers(hub):
        server.add_tool(tool, annotations=WRITE)
    return server


def _readers(hub: GitHub) -> Iterator[Any]:
    async def get_me(ctx: Context) -> dict[str, Any]:
        return {"login": hub.asked(ctx, "get_me")}

    async def get_file_contents(
        ctx: Context, owner: str, repo: str, path: str = "/", ref: str = "", sha: str = ""
    ) -> CallToolResult:
        files = hub.repo(hub.asked(ctx, "get_file_contents"), owner, repo).files(
            ref.removeprefix("refs/heads/") or "main"
        )
        if path in files:
            uri = f"repo://{owner}/{repo}/contents/{path}"
            text = TextResourceContents(uri=uri, mime_type="text/plain", text=files[path])
            said = TextContent(type="text", text="successfully downloaded text file")
            return CallToolResult(content=[said, EmbeddedResource(type="resource", resource=text)])
        if path != "/":
            raise ToolError(f"failed to get file contents: {path} was not found")
        return CallToolResult(content=[TextContent(type="text", text="\n".join(sorted(files)))])

    async def list_commits(
        ctx: Context,
        owner: str,
        repo: str,
        sha: str = "main",
        path: str = "",
        page: int = 1,
        perPage: int = 30,
    ) -> list[dict[str, Any]]:
        found = hub.repo(hub.asked(ctx, "list_commits"), owner, repo)
        commits = list(reversed(found.branches.get(sha, [])))
        start = (page - 1) * perPage
        return [
            {"sha": _sha(message), "commit": {"message": message}}
            for message, _ in commits[start : start + perPage]
        ]

    yield from (get_me, get_file_contents, list_commits)


def _searchers(hub: GitHub) -> Iterator[Any]:
    async def search_code(
        ctx: Context, query: str, sort: str = "", order: str = "", page: int = 1, perPage: int = 30
    ) -> dict[str, Any]:
        login = hub.asked(ctx, "search_code")
        words = [word for word in query.split() if ":" not in word]
        only = [word[5:] for word in query.split() if word.startswith("repo:")]
        items = [
            {"name": path.rpartition("/")[2], "path": path, "repository": name}
            for name, repo in hub.repos.items()
            if (not repo.private or name.startswith(f"{login}/")) and (not only or name in only)
            for path, text in sorted(repo.files().items())
            if all(word in text for word in words)
        ]
        start = (page - 1) * perPage
        shown = items[start : start + perPage]
        return {"total_count": len(items), "incomplete_results": False, "items": shown}

    yield search_code


def _writers(hub: GitHub) -> Iterator[Any]:
    async def create_repository(
        ctx: Context,
        name: str,
        description: str = "",
        organization: str = "",
        private: bool = True,
        autoInit: bool = False,
    ) -> dict[str, Any]:
        owner = hub.asked(ctx, "create_repository")
        full = f"{organization or owner}/{name}"
        if full in hub.repos:
            raise ToolError("failed to create repository: 422 name already exists on this account")
        first = {"main": [("Initial commit", {"README.md": f"# {name}\n{description}\n"})]}
        hub.repos[full] = Repo(private, first if autoInit else {})
        return {"id": _sha(full), "url": f"https://github.com/{full}"}

    async def push_files(
        ctx: Context, owner: str, repo: str, branch: str, files: list[File], message: str
    ) -> dict[str, Any]:
        found = hub.repo(hub.asked(ctx, "push_files"), owner, repo)
        if branch not in found.branches:
            raise ToolError(f"failed to get branch reference: {branch} was not found")
        after = found.files(branch) | {file.path: file.content for file in files}
        found.branches[branch].append((message, after))
        return _ref(branch, message)

    async def create_branch(
        ctx: Context, owner: str, repo: str, branch: str, from_branch: str = "main"
    ) -> dict[str, Any]:
        found = hub.repo(hub.asked(ctx, "create_branch"), owner, repo)
        found.branches[branch] = list(found.branches[from_branch])
        return _ref(branch, found.branches[branch][-1][0])

    async def fork_repository(
        ctx: Context, owner: str, repo: str, organization: str = ""
    ) -> dict[str, Any]:
        login = hub.asked(ctx, "fork_repository")
        found = hub.repo(login, owner, repo)
        full = f"{organization or login}/{repo}"
        copies = {name: list(commits) for name, commits in found.branches.items()}
        hub.repos[full] = Repo(found.private, copies)
        return {"id": _sha(full), "url": f"https://github.com/{full}"}

    yield from (create_repository, push_files, create_branch, fork_repository)


def _ref(branch: str, message: str) -> dict[str, Any]:
    return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": _sha(message)}}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


class _Door:
    """Lets nobody in without a token, in the words of the real one."""

    def __init__(self, hub: GitHub, app: Any) -> None:
        self._hub = hub
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            if self._hub.login(headers) is None:
                self._hub.refused += 1
                kind = b'Bearer error="invalid_request", error_description="No access token was'
                asks = [(b"www-authenticate", kind + b' provided in this request"')]
                await send({"type": "http.response.start", "status": 401, "headers": asks})
                body = b"bad request: missing required Authorization header"
                return await send({"type": "http.response.body", "body": body})
        return await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the test."""
        yield


@contextlib.asynccontextmanager
async def github() -> AsyncIterator[GitHub]:
    """The stand-in on a free port, until the end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hub = GitHub(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp")
        app = _Door(hub, tools(hub).streamable_http_app())
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield hub
        finally:
            server.should_exit = True
            await serving
