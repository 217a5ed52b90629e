"""Probes over HTTP: `GET /health` of hosts that answer `/execute`, and the way to MCP servers.

A host that says 429 or 503 is starting: it is asked again for its start budget.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import httpx2
import msgspec
from mcp import MCPError

from contracts.host import Execute, Host, StreamableHttp
from services.keys.secrets import advice
from services.outside import addresses, mcp_http
from services.outside import site as outbound_site
from services.outside.site import BUSY, HttpSite, SitePage
from services.registry.probes.base import ProbeOutcome, Prober, Reach, Sick, short

HEALTH = "/health"
HEALTH_BYTES = 64 * 1024
_GOOD = frozenset({"healthy", "warning"})


class ExecuteProber:
    """Asks one `/execute` host for its health; nothing is kept between two probes."""

    def __init__(self, host: Host, limit_s: float, reach: Reach) -> None:
        """`limit_s`: seconds for one request."""
        self._host = host
        self._limit_s = limit_s
        self._reach = reach

    async def probe(self) -> ProbeOutcome:
        """Ask until the host is no longer busy, or its start budget is spent."""
        try:
            site = await self._site()
        except addresses.AddressRefused as refused:
            return ProbeOutcome(f"refused: {refused}")
        except Sick as sick:
            return ProbeOutcome(str(sick))
        try:
            return await self._ask(site)
        except aiohttp.ClientError as error:
            return ProbeOutcome(f"no connection: {outbound_site.why(error)}")
        except TimeoutError:
            return ProbeOutcome(f"no answer: asked for {HEALTH} for {self._limit_s:g} s")
        except OSError as error:
            return ProbeOutcome(f"refused: {short(str(error))}")
        finally:
            await site.close()

    async def close(self) -> None:
        """Nothing is held."""

    async def _site(self) -> HttpSite:
        endpoint = self._host.endpoint
        assert isinstance(endpoint, Execute)
        return HttpSite(
            addresses.resolve(endpoint.url, spaces=self._reach.spaces),
            guarded=self._reach.guarded(self._host),
            connections=1,
            headers=endpoint.headers,
            bearer=await self._reach.bearer(self._host),
        )

    async def _ask(self, site: HttpSite) -> ProbeOutcome:
        budget = self._host.limits.start_s
        until = time.monotonic() + budget
        waits = outbound_site.pauses()
        while True:
            started = time.perf_counter()
            async with asyncio.timeout(self._limit_s):
                page = await site.get(HEALTH, HEALTH_BYTES)
            reason = judged(page, budget)
            wait = outbound_site.wait_s(page.retry_after_s, next(waits))
            if not reason.startswith("starting:") or time.monotonic() + wait > until:
                return ProbeOutcome(reason, (time.perf_counter() - started) * 1000)
            await asyncio.sleep(wait)


def judged(page: SitePage, budget_s: float) -> str:
    """Say what is wrong with a host that shows this page; empty if all is well.

    `warning` counts as well: such a host works. One that calls itself unhealthy is starting if it
    says when to come back.
    """
    said = _fields(page)
    status = said.get("status")
    why = next((f": {text}" for key in _WORDS if isinstance(text := said.get(key), str)), "")
    if page.status in BUSY and (status != "unhealthy" or page.retry_after_s is not None):
        return short(f"starting: it has answered {page.status} for {budget_s:g} s{why}")
    if page.status == 200 and not said:
        return f"unhealthy: {HEALTH} is no JSON object"
    if page.status == 200 and status in _GOOD:
        return ""
    if isinstance(status, str):
        with_ = "" if page.status == 200 else f", with status {page.status}"
        return short(f"unhealthy: it says {status!r}{with_}{why}")
    advice = _ADVICE.get(page.status, "")
    return f"unhealthy: {HEALTH} answered {page.status}{advice}"


_WORDS = ("reason", "message", "detail")
_ADVICE = {
    200: " without a status",
    401: ": it wants another secret, see bearer_from",
    403: ": it wants another secret, see bearer_from",
    404: ": it is no host of the kind execute, or its URL is wrong",
}


def _fields(page: SitePage) -> dict[str, Any]:
    try:
        return msgspec.json.decode(page.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


class PersonalProber:
    """Asks an MCP server that users meet with secrets of their own.

    Where there is no secret for everybody it is asked without one: by refusing that, it proves that
    it is there.
    """

    def __init__(self, host: Host, inner: Prober, reach: Reach) -> None:
        """`inner` asks with the secret for everybody, or without."""
        self._host = host
        self._inner = inner
        self._reach = reach

    async def probe(self) -> ProbeOutcome:
        """Ask once."""
        answer = await self._inner.probe()
        if answer.reason.startswith(_WHO_ARE_YOU) and await self._reach.shared(self._host) is None:
            return ProbeOutcome(note=self._note(), latency_ms=answer.latency_ms)
        return answer

    async def close(self) -> None:
        """Let go of the host."""
        await self._inner.close()

    def _note(self) -> str:
        endpoint = self._host.endpoint
        assert isinstance(endpoint, StreamableHttp)
        name = endpoint.bearer_from or ""
        how = f": {command}" if (command := advice(name)) else ""
        return f"no secret: it is there, and works for users with a {name} of their own{how}"


_WHO_ARE_YOU = ("refused: it answered 401", "refused: it answered 403")


class WebLine:
    """The way to an MCP server behind a URL; see `probe.Line`."""

    def __init__(self, host: Host, reach: Reach, bearer: str | None, limit: int) -> None:
        """`limit`: bytes of one answer. Raises Sick for a host that may not be called."""
        endpoint = host.endpoint
        assert isinstance(endpoint, StreamableHttp)
        self._budget_s = host.limits.start_s
        self._transport = _Remembering(addresses.transport(guarded=reach.guarded(host)))
        headers = dict(endpoint.headers)
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        try:
            url = addresses.resolve(endpoint.url, spaces=reach.spaces, mcp=True)
        except addresses.AddressRefused as refused:
            raise Sick(f"refused: {refused}") from None
        self._web = mcp_http.Web(
            url, headers, self._transport, limit=limit, patience_s=self._budget_s
        )
        self.gone = asyncio.Event()
        """Never set: whether a URL still answers shows only when it is asked."""

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Return the SDK's streams over HTTP."""
        return self._web.streams()

    async def stop(self, *, kindly: bool) -> None:
        """Nothing is left to be done: the client has closed its connections."""

    def problem(self, error: BaseException | None) -> str:
        """Say what an error means, or being late; empty if it is nothing of this connection."""
        if self._transport.last in BUSY:
            return f"starting: it has answered {self._transport.last} for {self._budget_s:g} s"
        if not isinstance(error, MCPError):
            return ""
        kinds = {
            mcp_http.NOT_SENT: "",
            mcp_http.LOST: "cut: ",
            mcp_http.STATUS: "refused: it answered ",
            mcp_http.GONE: "cut: ",
        }
        kind = kinds.get(error.code)
        return "" if kind is None else short(kind + error.message)


class _Remembering(httpx2.AsyncBaseTransport):
    """Notes with which status the last request was answered."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.last = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError:
            self.last = 0
            raise
        if request.method == "POST":
            self.last = response.status_code
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
