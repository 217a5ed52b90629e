"""Probes over HTTP: `GET /health` of hosts that answer `/execute`, and the way to MCP servers.

A host that says 429 or 503 is starting: it is asked again for its start budget.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import msgspec
from mcp import MCPError

from contracts.host import OUTDATED, Execute, Host, OpenApi, StreamableHttp, operated
from services.keys.secrets import HostSecrets, advice
from services.outside import addresses, mcp_body
from services.outside import site as outbound_site
from services.outside.mcp_errors import theirs
from services.outside.mcp_http import Web
from services.outside.mcp_reading import McpReader, Results
from services.outside.mcp_session import Line
from services.outside.site import BUSY, HttpSite, SitePage
from services.registry.probes.base import ProbeOutcome, Prober, Reach, Sick, short
from services.registry.spaces import KIT

HEALTH = "/health"
HEALTH_BYTES = 64 * 1024
_GOOD = frozenset({"healthy", "warning"})


class ExecuteProber:
    """Asks one `/execute` host for its health; nothing is kept between two probes."""

    asked = HEALTH
    """What is asked for, for a message."""

    def __init__(self, host: Host, limit_s: float, reach: Reach) -> None:
        """`limit_s`: seconds for one request."""
        self._host = host
        self._limit_s = limit_s
        self._reach = reach

    async def probe(self) -> ProbeOutcome:
        """Ask until the host is no longer busy, or its start budget is spent."""
        try:
            secrets = await self._reach.credentials(self._host)
            site = self._site(secrets)
        except addresses.AddressRefused as refused:
            return ProbeOutcome(f"refused: {refused}")
        except Sick as sick:
            return ProbeOutcome(str(sick))
        try:
            outcome = await self._ask(site, secrets)
            return msgspec.structs.replace(outcome, reason=secrets.hide(outcome.reason))
        except aiohttp.ClientError as error:
            return ProbeOutcome(f"no connection: {outbound_site.why(error)}")
        except TimeoutError:
            return ProbeOutcome(f"no answer: asked for {self.asked} for {self._limit_s:g} s")
        except OSError as error:
            return ProbeOutcome(f"refused: {outbound_site.cause(error)}")
        finally:
            await site.close()

    async def close(self) -> None:
        """Nothing is held."""

    def _site(self, secrets: HostSecrets) -> HttpSite:
        endpoint = secrets.put_into(self._host).endpoint
        assert isinstance(endpoint, Execute | OpenApi)
        return HttpSite(
            addresses.resolve(
                endpoint.url, spaces=self._reach.spaces, subdomain=endpoint.subdomain
            ),
            public_only=self._reach.kept_public(self._host),
            connections=1,
            headers=endpoint.headers,
            bearer=secrets.bearer,
            discreet=operated(self._host),
        )

    async def _ask(self, site: HttpSite, secrets: HostSecrets) -> ProbeOutcome:
        budget = self._host.limits.start_s
        until = time.monotonic() + budget
        waits = outbound_site.pauses()
        while True:
            started = time.perf_counter()
            async with asyncio.timeout(self._limit_s):
                page = await site.get(HEALTH, HEALTH_BYTES)
            reason = judged(page, budget)
            wait = outbound_site.wait_s(page.retry_after_s, next(waits))
            late = time.monotonic() + max(wait, page.retry_after_s or 0.0) > until
            if not reason.startswith("starting:") or late:
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
        return _outdated(said)
    if isinstance(status, str):
        with_ = "" if page.status == 200 else f", with status {page.status}"
        return short(f"unhealthy: it says {status!r}{with_}{why}")
    advice = _ADVICE.get(page.status, "")
    return f"unhealthy: {HEALTH} answered {page.status}{advice}"


def _outdated(said: dict[str, Any]) -> str:
    """Why it can do no work, if it is a Space kit that does not say which permits it takes."""
    kit = said.get("kit")
    if (isinstance(kit, int) and kit >= KIT) or not said.keys() >= _KIT_SAYS:
        return ""
    return f"{OUTDATED}: its Space kit takes no permits of this release: deploy it again"


_KIT_SAYS = {"running", "max_concurrency", "server"}
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

    async def probe(self) -> ProbeOutcome | None:
        """Ask once."""
        answer = await self._inner.probe()
        if answer is None:
            return None
        if (
            answer.reason.startswith(_WHO_ARE_YOU)
            and (await self._reach.shared(self._host)).bearer is None
        ):
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


def web(host: Host, reach: Reach, bearer: str | None, limit: int, results: Results) -> Web:
    """The way to an MCP server behind a URL. Raises Sick for a host that may not be called.

    `limit`: bytes of one answer.
    """
    endpoint = host.endpoint
    assert isinstance(endpoint, StreamableHttp)
    try:
        return Web(
            endpoint,
            spaces=reach.spaces,
            public_only=reach.kept_public(host),
            bearer=bearer,
            limit=limit,
            patience_s=host.limits.start_s,
            reader=McpReader(results),
            discreet=operated(host),
        )
    except addresses.AddressRefused as refused:
        raise Sick(f"refused: {refused}") from None


def problem(line: Line | None, host: Host, error: BaseException | None) -> str:
    """Say what an error means, or being late; empty if it is nothing of HTTP."""
    if not isinstance(line, Web):
        return ""
    if line.status in BUSY:
        if isinstance(error, MCPError) and not theirs(error):
            return short(f"starting: it has answered {error.message}")
        return f"starting: it has answered {line.status} for {host.limits.start_s:g} s"
    if not isinstance(error, MCPError) or theirs(error) or error.code not in _KINDS:
        return ""
    return short(_KINDS[error.code] + error.message)


_KINDS = {
    mcp_body.NOT_SENT: "",
    mcp_body.LOST: "cut: ",
    mcp_body.STATUS: "refused: it answered ",
    mcp_body.GONE: "cut: ",
    mcp_body.DOUBTED: "refused: it answered ",
}
