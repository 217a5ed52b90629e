"""The way to the Spaces of the stand-in of the Hub: what `*.hf.space` is for real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tests.support.hub_repos import Refused, Repo, State
from tests.support.hub_spaces import Runner

PREFIX = "/spaces-live/"
_HOPS = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding"
    " upgrade host date".split()
)
_PAGE = "<!DOCTYPE html><html><head><title>Spaces</title></head><body><h1>{}</h1></body></html>"


class Gone(Exception):
    """The client has hung up."""


class Proxy:
    """An ASGI app: passes requests below `/spaces-live/<subdomain>` on, both ways as streams."""

    def __init__(self, state: State, runner: Runner) -> None:
        self._state = state
        self._runner = runner
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(timeout=None, trust_env=False, limits=limits)
        # Only what the client says is passed on: no `Accept-Encoding` that it did not send.
        self._http.headers.clear()

    async def close(self) -> None:
        await self._http.aclose()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        subdomain = scope["path"].removeprefix(PREFIX).partition("/")[0]
        repo = self._find(subdomain)
        if repo is None or not self._may(repo, Request(scope)):
            return await _page(404, "Sorry, we can't find the page you are looking for.")(
                scope, receive, send
            )
        if not (repo.runtime.target and repo.runtime.stage.startswith("RUNNING")):
            return await self._refuse(repo)(scope, receive, send)
        raw = "/" + scope["raw_path"].decode().removeprefix(PREFIX).partition("/")[2]
        query = scope["query_string"].decode()
        if not raw.startswith(repo.runtime.served_at):
            return await _page(404, "Not found")(scope, receive, send)
        rest = raw.removeprefix(repo.runtime.served_at)
        if repo.runtime.served_at:
            rest = rest.rstrip("/")
        url = repo.runtime.target.rstrip("/") + rest + (f"?{query}" if query else "")
        return await self._pass(url, scope, receive, send)

    def _find(self, subdomain: str) -> Repo | None:
        spaces = (repo for (kind, _), repo in self._state.repos.items() if kind == "space")
        return next((repo for repo in spaces if repo.subdomain == subdomain), None)

    def _may(self, repo: Repo, request: Request) -> bool:
        if not repo.private:
            return True
        try:
            return self._state.may_read(repo, self._state.token(request))
        except Refused:
            return False

    def _refuse(self, repo: Repo) -> HTMLResponse:
        """What is said for a Space that doesn't run; one that sleeps wakes up by being asked."""
        stage = repo.runtime.stage
        if stage == "SLEEPING":
            self._runner.wake(repo)
            return _page(503, "Your Space is waking up")
        if stage == "PAUSED":
            return _page(503, "This Space has been paused by its owner")
        return _page(503, f"Your Space is in the stage {stage}")

    async def _pass(self, url: str, scope: Any, receive: Any, send: Any) -> None:
        sent = asyncio.Event()
        watching = asyncio.create_task(_gone(sent, receive))
        passing = asyncio.create_task(self._forward(url, scope, receive, send, sent))
        try:
            await asyncio.wait({watching, passing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, passing):
                task.cancel()
            await asyncio.wait({watching, passing})
        if not passing.cancelled() and not isinstance(passing.exception(), Gone | None):
            # The app went away in the middle of its answer; so does this connection.
            raise ConnectionError("the Space has ended") from passing.exception()

    async def _forward(self, url: str, scope: Any, receive: Any, send: Any, sent: Any) -> None:
        given = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        headers = {name: value for name, value in given.items() if name not in _HOPS}
        headers["x-forwarded-host"] = given.get("host", "")
        has_body = "content-length" in given or "transfer-encoding" in given
        content = _body(receive, sent) if has_body else None
        if not has_body:
            sent.set()
        request = self._http.build_request(scope["method"], url, headers=headers, content=content)
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.TransportError:
            return await _page(503, "Your Space is in error")(scope, receive, send)
        sent.set()
        try:
            kept = [pair for pair in answer.headers.raw if pair[0].decode().lower() not in _HOPS]
            head = {"type": "http.response.start", "status": answer.status_code, "headers": kept}
            await send(head)
            async for chunk in answer.aiter_raw():
                part = {"type": "http.response.body", "body": chunk, "more_body": True}
                await send(part)
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()


async def _body(receive: Any, sent: asyncio.Event) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            break
    sent.set()


async def _gone(sent: asyncio.Event, receive: Any) -> None:
    """Wait until the client hangs up; not before its body has been read by the other one."""
    await sent.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


def _page(status: int, text: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(text), status)
