"""MCP servers behind streamable HTTP: what stands between the SDK's client and the network.

The SDK gives up a whole session when one request does not get through, and says little about why.
Here such requests are answered with errors of our own; long answers are kept out of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from contracts.host import StreamableHttp
from services.outside import addresses, site
from services.outside.mcp_body import (
    DOUBTED,
    GONE,
    LOST,
    NOT_SENT,
    STATUS,
    EventBody,
    JsonBody,
    beginning,
    said,
)
from services.outside.mcp_errors import message_of, said_error
from services.outside.mcp_exchange import (
    FirstRefusal,
    asked_in,
    cancelled_in,
    error_in,
    lacking,
    moved,
    rest_of,
    status_of,
)
from services.outside.mcp_message import Incoming, error
from services.outside.mcp_old import Awaited, OldServer, StreamOver
from services.outside.mcp_reading import McpReader
from services.outside.noise import STREAMS, TokenBucket
from services.process import telemetry
from services.process.timeouts import timeout

CONNECT_S = 10.0
WRITE_S = 30.0
NOTICE_S = 10.0
"""How long a server may take to take a notification."""
TAKEN_S = 0.5
"""For so long nothing else is sent to it meanwhile."""
_EVENT = 8 * 1024 * 1024
_OURS = frozenset({"content-length", "content-encoding", "content-type", "transfer-encoding"})
"""Headers that are not those of what is passed on."""
_PLAIN = frozenset({"", "text/plain", "application/octet-stream"})
"""Media types of servers that don't say that their answer is JSON."""
_OLD = frozenset({400, 404, 405})
"""With one of these, servers of 2024 refuse the first message, by the specification."""
_BEFORE = frozenset({401, 403, 407, 408, 413, 429, 503})
"""Statuses given before the work begins, whatever error stands in the body."""
_BUSY_NOW = frozenset({408, 413, 429})
"""Those of them that are no news about the session."""
_MARGIN_S = 0.5
"""Time left to tell why a call was not made."""
DEADLINE: ContextVar[float] = ContextVar("DEADLINE", default=math.inf)
"""Monotonic time at which whoever asks gives up."""

log = telemetry.get_logger()


class Web:
    """The way to one server; see `mcp_session.Line`."""

    def __init__(
        self,
        endpoint: StreamableHttp,
        *,
        spaces: str,
        public_only: bool,
        bearer: str | None,
        limit: int,
        patience_s: float,
        reader: McpReader | None = None,
        discreet: bool = False,
    ) -> None:
        """`limit`: bytes of an answer. `patience_s`: how long a server may say that it is busy.
        `discreet`: errors don't repeat what was said with a status that is no success.

        Raises AddressRefused.
        """
        self._url = addresses.resolve(
            endpoint.url, spaces=spaces, mcp=True, subdomain=endpoint.subdomain
        )
        self._headers = {"accept-encoding": "identity", **endpoint.headers}
        if bearer is not None:
            self._headers["authorization"] = f"Bearer {bearer}"
        self._reader = reader or McpReader()
        self._wire = HttpWire(
            addresses.transport(public_only=public_only), limit, patience_s, self._reader
        )
        self._wire.discreet = discreet
        self.gone = self._reader.broken
        """Set when it has broken the protocol: whether a URL still answers shows only when it is
        asked."""

    @property
    def fault(self) -> str:
        """How it has broken the protocol."""
        return self._reader.fault

    @property
    def status(self) -> int:
        """The last HTTP status of an answer to a message; 0: there was none."""
        return self._wire.status

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """Streams of messages from and to the server."""
        timeout = httpx2.Timeout(None, connect=CONNECT_S, write=WRITE_S)
        # A sick server may not hold us up when we say goodbye: that request has a limit of its own.
        async with (
            httpx2.AsyncClient(
                transport=self._wire, headers=self._headers, timeout=timeout, trust_env=False
            ) as client,
            streamable_http_client(
                self._url, http_client=client, max_sse_event_size=_EVENT
            ) as streams,
        ):
            yield streams

    async def stop(self, *, kindly: bool) -> str:
        """Nothing is left to be done: the client has closed its connections."""
        return ""

    def last_words(self, count: int = 5) -> str:
        """A URL says nothing beside its answers."""
        return ""


class HttpWire(httpx2.AsyncBaseTransport):
    """Sends what the SDK's client sends; what goes wrong comes back as an answer."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        limit: int,
        patience_s: float,
        reader: McpReader | None = None,
    ) -> None:
        self._inner = inner
        self._limit = limit
        self._patience_s = patience_s
        self._reader = reader or McpReader()
        self._streams = TokenBucket(STREAMS, time.monotonic())
        self._old: OldServer | None = None
        self._notices: set[asyncio.Task[None]] = set()
        self._first = FirstRefusal()
        self.discreet = False
        self.status = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one HTTP request."""
        if request.method == "DELETE":
            return await self._goodbye(request)
        if request.method == "GET":
            if not self._streams.take(1, time.monotonic()):
                # The SDK opens a stream again whenever it ends, as soon as the server says.
                return httpx2.Response(405, request=request)
            return await self._exchange(request, None)
        if (asked := asked_in(request)) is None:
            if (id_ := cancelled_in(request)) is not None:
                self._reader.given_up(id_)
            return await self._notify(request)
        self._reader.sent(*asked)
        return await self._exchange(request, asked)

    async def _notify(self, request: httpx2.Request) -> httpx2.Response:
        """Send what nobody answers. The SDK sends nothing else meanwhile, so a server that does not
        take it is waited for shortly only."""
        sending = asyncio.create_task(self._notified(request))
        self._notices.add(sending)
        sending.add_done_callback(self._noticed)
        # Before it has heard that the session has begun, a server may refuse whatever comes.
        first = b"notifications/initialized" in request.content
        await asyncio.wait((sending,), timeout=NOTICE_S if first else TAKEN_S)
        return httpx2.Response(202, request=request)

    def _noticed(self, sending: asyncio.Task[None]) -> None:
        self._notices.discard(sending)
        if not sending.cancelled() and (error := sending.exception()) is not None:
            log.info("host_notification_failed", error=repr(error))

    async def _notified(self, request: httpx2.Request) -> None:
        with contextlib.suppress(TimeoutError):
            async with timeout(NOTICE_S):
                response = await self._exchange(request, None)
                await response.aclose()

    async def _exchange(
        self, request: httpx2.Request, asked: tuple[int | str, str] | None
    ) -> httpx2.Response:
        id_ = None if asked is None else asked[0]
        try:
            response = await self._response(request, asked)
        except StreamOver as over:
            return self._own(request, id_, GONE, str(over))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as failure:
            return self._own(request, id_, NOT_SENT, f"no connection: {said(failure)}")
        except httpx2.TransportError as failure:
            return self._own(request, id_, LOST, f"the connection was lost: {said(failure)}")
        if isinstance(response.stream, Awaited):
            return response
        if response.has_redirect_location:
            await response.aclose()
            return self._own(
                request, id_, STATUS, f"{status_of(response)} to {self._place(response)}"
            )
        if id_ is not None and response.status_code >= 400:
            return await self._refusal(request, response, id_)
        if id_ is not None and response.status_code in (202, 204):
            await response.aclose()
            return self._own(request, id_, LOST, f"{status_of(response)}: it gives no answer")
        return await self._bounded(request, response, id_)

    async def _response(
        self, request: httpx2.Request, asked: tuple[int | str, str] | None
    ) -> httpx2.Response:
        """What the server says, of whichever transport it is. Raises StreamOver, TransportError."""
        id_, method = asked or (None, "")
        if self._old is None:
            response = await self._send(request)
            if method != "initialize" or response.status_code not in _OLD:
                return response
            old = OldServer(self._inner, self._limit, self._reader)
            if not await old.found(request):
                return response
            await response.aclose()
            self._old = old
        if request.method == "GET":
            return httpx2.Response(405, request=request)
        response = await self._old.send(request, id_)
        self.status = response.status_code
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for sending in self._notices:
            sending.cancel()
        if self._old is not None:
            await self._old.close()
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and follow where the same server has it sent to; while the server says that it is
        busy, again, for a limited time."""
        until = min(time.monotonic() + self._patience_s, DEADLINE.get() - _MARGIN_S)
        waits = site.pauses()
        moves = 0
        while True:
            try:
                response = await self._inner.handle_async_request(request)
            except httpx2.TransportError:
                self.status = 0
                raise
            if (place := moved(request, response)) is not None and moves < site.MOST_REDIRECTS:
                await response.aclose()
                request = place
                moves += 1
                continue
            if request.method == "POST":
                self.status = response.status_code
            asked_s = rest_of(response)
            wait = site.wait_s(asked_s, next(waits))
            late = time.monotonic() + max(wait, asked_s or 0.0) > until
            if response.status_code not in site.BUSY or late:
                return response
            await response.aclose()
            await asyncio.sleep(wait)

    async def _goodbye(self, request: httpx2.Request) -> httpx2.Response:
        with contextlib.suppress(httpx2.TransportError, TimeoutError):
            async with timeout(1.0):
                response = await self._inner.handle_async_request(request)
                await response.aclose()
        return httpx2.Response(204, request=request)

    async def _refusal(
        self, request: httpx2.Request, response: httpx2.Response, id_: int | str
    ) -> httpx2.Response:
        """Pass a JSON-RPC error on; put any other refusal into one."""
        self._reader.given_up(id_)
        body = await beginning(response)
        status = response.status_code
        told = error_in(body)
        message = self._told(request, response, body if told is None else b"")
        if told is not None and status in _BEFORE:
            message = self._worded(request, message, site.plain(message_of(told)))
        if first := self._first.before(request, status, message):
            return self._own(request, id_, STATUS, first)
        in_session = "mcp-session-id" in request.headers
        if status == 404 and in_session:
            message = "the server does not know the session any more"
            return self._own(request, id_, GONE, message)
        passed = told is not None and status not in _BEFORE
        if in_session and 400 <= status < 500 and status not in _BUSY_NOW:
            # Perhaps this is how it says the same.
            data = {"status": message, "error": told if passed else None}
            return _answer(request, error(id_, DOUBTED, message, data))
        if passed:
            assert told is not None
            return _answer(request, said_error(id_, told))
        return self._own(request, id_, STATUS, message)

    def _told(self, request: httpx2.Request, response: httpx2.Response, body: bytes) -> str:
        """A refusal in words."""
        text = site.plain(body.decode("utf-8", "replace"))
        message = status_of(response) + lacking(response)
        if self._old is not None:
            message += " (where a server of HTTP+SSE, the transport of 2024, hears)"
        if response.status_code in site.BUSY and (rest_s := rest_of(response)):
            message += f" (it wants to be asked again in {rest_s:.0f} s)"
        return self._worded(request, message, text)

    def _worded(self, request: httpx2.Request, message: str, text: str) -> str:
        """A status and what was said with it, as far as users may know."""
        if self.discreet and text:
            log.info(
                "host_refused_request",
                url=str(request.url.copy_with(query=None)),
                status=message,
                said=text,
            )
            text = ""
        return f"{message}: {text}" if text else message

    def _place(self, response: httpx2.Response) -> str:
        """Where a redirect leads that is not followed, as far as users may know."""
        place = site.named(response.headers["location"])
        if self.discreet:
            log.info("host_redirects_elsewhere", status=status_of(response), place=place)
        return "another place" if self.discreet else place

    def _own(
        self, request: httpx2.Request, id_: int | str | None, code: int, message: str
    ) -> httpx2.Response:
        """Answer a request in the server's place; nobody waits for the answer of anything else."""
        if id_ is None:
            return httpx2.Response(202 if request.method == "POST" else 503, request=request)
        return _answer(request, error(id_, code, message))

    async def _bounded(
        self, request: httpx2.Request, response: httpx2.Response, id_: int | str | None
    ) -> httpx2.Response:
        """The same response, its messages no longer than they may be."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        events = kind == "text/event-stream"
        if not events and id_ is None:
            await response.aclose()
            return httpx2.Response(202 if request.method == "POST" else 405, request=request)
        if not events and kind not in _PLAIN and "json" not in kind:
            body = await beginning(response)
            told = self._told(request, response, body)
            return self._own(request, id_, LOST, f"it answered with {kind}, which is none: {told}")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            text = f"{status_of(response)} and compressed, although it is asked not to"
            return self._own(request, id_, STATUS, text)
        incoming = Incoming(self._limit, self._reader.big)
        body_of = EventBody if events else JsonBody
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in _OURS
        ]
        headers.append(("content-type", kind if events else "application/json"))
        return httpx2.Response(
            response.status_code,
            headers=headers,
            stream=body_of(response, incoming, self._reader, id_),
            extensions=response.extensions,
        )


def _answer(request: httpx2.Request, content: bytes) -> httpx2.Response:
    headers = {"content-type": "application/json"}
    return httpx2.Response(200, headers=headers, content=content, request=request)
