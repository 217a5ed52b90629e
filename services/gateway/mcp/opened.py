"""What was opened at `/mcp` with a token ends with it: streams that listen, and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from services.gateway.access.identity import Principal
from services.process import telemetry

SESSION = b"mcp-session-id"
LISTEN = (b"mcp-method", b"subscriptions/listen")
"""The header of a request for a stream; the SDK sees to it that it is about that."""
FORGET_FROM = 4096
"""Sessions remembered from which on those that are over are forgotten."""

log = telemetry.get_logger()

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Opened:
    """Serves requests, and knows with which token its streams and sessions were opened."""

    def __init__(
        self,
        serve: Asgi,
        holds: Callable[[Principal], bool],
        sessions: Callable[[], Collection[str]],
    ) -> None:
        """`holds`: whether a token is still good; `sessions`: the ids of those there are."""
        self._serve = serve
        self._holds = holds
        self._alive = sessions
        self._streams: dict[asyncio.Event, str | None] = {}
        self._sessions: dict[str, tuple[str, Any]] = {}
        """The token that has opened each, and who may end it."""
        self._ending: set[asyncio.Task[None]] = set()

    async def serve(self, principal: Principal, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["method"] == "GET" or LISTEN in scope["headers"]:
            await self._listen(principal, scope, receive, send)
            return

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start" and principal.token is not None:
                self._note(principal.token, scope["user"], message)
            await send(message)

        await self._serve(scope, receive, noting)

    def revoke(self, tokens: Collection[str]) -> None:
        """End all that was opened with one of these tokens."""
        for over, token in self._streams.items():
            if token in tokens:
                over.set()
        for session in [s for s, (token, _) in self._sessions.items() if token in tokens]:
            task = asyncio.create_task(self._end(session, self._sessions.pop(session)[1]))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _note(self, token: str, user: Any, message: Any) -> None:
        opened = next((value for name, value in message["headers"] if name == SESSION), None)
        if opened is None:
            return
        self._sessions.setdefault(opened.decode(), (token, user))
        if len(self._sessions) > FORGET_FROM:
            alive = self._alive()
            self._sessions = {s: kept for s, kept in self._sessions.items() if s in alive}

    async def _listen(self, principal: Principal, scope: Any, receive: Any, send: Any) -> None:
        """Serve a stream that has no end of its own, until its token ends."""
        over, state = asyncio.Event(), {"open": False}

        async def heard() -> Any:
            """What the client says; once the token has ended, that it is gone."""
            saying, ending = asyncio.ensure_future(receive()), asyncio.ensure_future(over.wait())
            try:
                await asyncio.wait((saying, ending), return_when=asyncio.FIRST_COMPLETED)
                return {"type": "http.disconnect"} if ending.done() else saying.result()
            finally:
                saying.cancel()
                ending.cancel()

        async def noting(message: Any) -> None:
            state["open"] = message["type"] == "http.response.start" or message.get("more_body")
            await send(message)

        left_s = principal.left_s()
        loop = asyncio.get_running_loop()
        expiring = None if left_s is None else loop.call_later(max(0.0, left_s), over.set)
        self._streams[over] = principal.token
        if not self._holds(principal):
            # Revoked before this was one of those that `revoke` ends.
            over.set()
        try:
            await self._serve(scope, heard, noting)
            if state["open"]:
                await send({"type": "http.response.body", "body": b""})
        finally:
            del self._streams[over]
            if expiring is not None:
                expiring.cancel()

    async def _end(self, session: str, user: Any) -> None:
        """End a session as its client would."""

        async def nothing() -> Any:
            return {"type": "http.request", "body": b""}

        async def nobody(message: Any) -> None:
            pass

        scope = {
            "type": "http",
            "method": "DELETE",
            "path": "/mcp",
            "query_string": b"",
            "headers": [(SESSION, session.encode())],
            "user": user,
        }
        try:
            await self._serve(scope, nothing, nobody)
        except Exception:
            log.exception("mcp_session_not_ended")
