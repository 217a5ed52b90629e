"""The stand-in as a server in the test's loop: who asks, limits, tags of answers, trouble."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from tests.support.github.api import Api, Refused
from tests.support.github.repos import GitRepo

DOCS = "https://docs.github.com/rest"
Trouble = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class GitHubToken(NamedTuple):
    """Whose a token is, and what it allows."""

    login: str
    scopes: str


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    """With its query, as it was sent."""
    headers: dict[str, str]
    body: bytes
    status: int


class GitHubServer:
    """Accounts, repositories, and how it behaves."""

    def __init__(self) -> None:
        self.url = ""
        self.api = Api(self)
        self.tokens: dict[str, GitHubToken] = {}
        self.limit = 5000
        self.used: dict[str, int] = {}
        self.reset = int(time.time()) + 3600
        self.asked: list[Asked] = []
        self.trouble: list[Trouble] = []
        """Each is asked first, once: what it answers is the answer; None: nothing is wrong."""

    def account(self, login: str, scopes: str = "repo") -> str:
        """Make a token."""
        token = f"ghp_{hashlib.sha256(f'{login}{len(self.tokens)}'.encode()).hexdigest()[:36]}"
        self.tokens[token] = GitHubToken(login, scopes)
        return token

    def repo(self, owner: str, name: str, **fields: Any) -> GitRepo:
        """Make an empty repository."""
        return self.api.make(owner, name, **fields)

    def fail(self, status: int, message: str = "", times: int = 1, **headers: str) -> None:
        """Answer the next requests so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def failing(_: web.Request) -> web.StreamResponse:
            return said(status, {"message": message, "documentation_url": DOCS}, named)

        self.trouble += [failing] * times

    def cut(self, times: int = 1) -> None:
        """Close the next connections without an answer."""

        async def cutting(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.close()
            return web.StreamResponse()

        self.trouble += [cutting] * times

    def count(self, method: str, words: str) -> int:
        """How many requests of this kind there were."""
        return sum(one.method == method and words in one.path for one in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        answer: web.StreamResponse | None = None
        if self.trouble:
            answer = await self.trouble.pop(0)(request)
        if answer is None:
            answer = self._answer(request, body)
        path = request.raw_path
        seen = Asked(request.method, path, dict(request.headers), body, answer.status)
        self.asked.append(seen)
        return answer

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        if request.path.startswith("/codeload/"):
            return self.api.codeload(request)
        if "User-Agent" not in request.headers:
            return said(403, {"message": "Request forbidden by administrative rules."})
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        token = self.tokens.get(shown) if scheme.lower() in ("bearer", "token") else None
        if shown and token is None:
            return said(401, {"message": "Bad credentials", "documentation_url": DOCS})
        who = token.login if token else ""
        if self.used.get(who, 0) >= self.limit:
            text = f"API rate limit exceeded for user ID 1. {DOCS}"
            return self._counted(who, said(403, {"message": text, "documentation_url": DOCS}))
        try:
            status, data, headers = self.api.answer(request, who, body)
        except Refused as refused:
            self.used[who] = self.used.get(who, 0) + 1
            data = {"message": refused.message, "documentation_url": DOCS} | refused.more
            return self._counted(who, said(refused.status, data))
        answer = said(status, data, headers)
        if token:
            answer.headers["X-OAuth-Scopes"] = token.scopes
        if request.method == "GET" and status == 200:
            # A tag is of what is shown and to whom.
            shown_body = answer.body if isinstance(answer.body, bytes) else b""
            mark = hashlib.sha256(shown.encode() + shown_body).hexdigest()
            answer.headers["ETag"] = f'W/"{mark}"'
            if request.headers.get("If-None-Match") == answer.headers["ETag"]:
                kept = {name: answer.headers[name] for name in ("ETag",)}
                return self._counted(who, web.Response(status=304, headers=kept))
        self.used[who] = self.used.get(who, 0) + 1
        return self._counted(who, answer)

    def _counted(self, who: str, answer: web.Response) -> web.Response:
        left = max(0, self.limit - self.used.get(who, 0))
        answer.headers["X-RateLimit-Limit"] = str(self.limit)
        answer.headers["X-RateLimit-Remaining"] = str(left)
        answer.headers["X-RateLimit-Used"] = str(self.used.get(who, 0))
        answer.headers["X-RateLimit-Reset"] = str(self.reset)
        answer.headers["X-RateLimit-Resource"] = "core"
        return answer


def said(status: int, data: Any, headers: dict[str, str] | None = None) -> web.Response:
    """Bytes as they are, all else as JSON."""
    given = {"X-GitHub-Media-Type": "github.v3; format=json"} | (headers or {})
    if isinstance(data, bytes):
        return web.Response(status=status, body=data, headers=given)
    body = json.dumps(data).encode()
    return web.Response(
        status=status,
        body=body,
        headers={"Content-Type": "application/json; charset=utf-8"} | given,
    )


@contextlib.asynccontextmanager
async def github_server() -> AsyncIterator[GitHubServer]:
    """The stand-in, on a free port of 127.0.0.1."""
    github = GitHubServer()
    app = web.Application(client_max_size=256 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", github.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield github
    finally:
        await runner.cleanup()


async def hang(_: web.Request) -> web.StreamResponse:
    """Trouble: never answer."""
    await asyncio.Event().wait()
    raise AssertionError
