"""HTTP APIs that an OpenAPI document describes: each call of a tool is one request.

What a call needs stands with its tool in the log: the document is not read here.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

import aiohttp

from contracts.facts import FailureKind
from contracts.host import OpenApi
from services.executor.attempt.call import Answer, Call, HostError, Opening, Spooled
from services.executor.attempt.spool import Sink
from services.executor.hosts import openapi_answer, steps
from services.executor.hosts.bulk import in_thread
from services.executor.hosts.web import HostBusy, pause, site_of
from services.outside import site
from services.outside.openapi.operation import ApiOperation, BadArguments, of_tool
from services.outside.openapi.request import ApiRequest, built, forms
from services.outside.openapi.schema import plain
from services.outside.site import BUSY
from services.process import telemetry

ERROR_BYTES = 64 * 1024
"""Of an answer that is an error."""
ERROR_TEXT = 2000
"""Characters of it that are kept."""
_UNKNOWN = frozenset({502, 504})
"""Of a proxy on the way: the call may have been carried out."""

log = telemetry.get_logger()


class OpenApiSession:
    """The connections to one API, for one set of credentials."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be an `OpenApi`. Raises HostError(UNREACHABLE)."""
        host, endpoint = opening.host, opening.host.endpoint
        assert isinstance(endpoint, OpenApi)
        self._site = site_of(opening, endpoint)
        self._host = host
        self._endpoint = endpoint
        self._fixed = frozenset(name.lower() for name in endpoint.headers)
        """Headers that no argument changes."""
        self._spool = opening.spool
        secrets = [one for one in (opening.bearer, *endpoint.secrets.values()) if one]
        self._admitted = bool(secrets)
        self._hidden = [form for one in secrets for form in forms(one)]
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Nothing to start: a connection is made when a call needs one."""

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`.

        While the API says that it is busy, it is asked again for the host's start budget.
        """
        return await steps.run(call, self._call_tool, self._spool)

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed.set()
        await self._site.close()

    async def _call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        before = call.called
        request = self._request(self._operation(call, tool), arguments, before)
        until = time.monotonic() + self._host.limits.start_s
        waits = site.pauses()
        while True:
            if self._closed.is_set():
                raise self._error(FailureKind.UNREACHABLE, "the session was closed", called=before)
            await call.begin()
            try:
                answer = await self._once(request)
            except site.NOT_SENT as error:
                call.called = before
                why = site.why(error)
                raise self._error(FailureKind.UNREACHABLE, why, called=before) from None
            except HostBusy as busy:
                # Whoever refuses a request has not carried it out.
                call.called = before
                wait = site.wait_s(busy.wait_s, next(waits))
                if time.monotonic() + max(wait, busy.wait_s or 0.0) > until:
                    raise self._error(FailureKind.UNREACHABLE, busy, called=before) from None
                log.info("openapi_again", host=self._host.id, task=call.plan.task, why=str(busy))
                await pause(wait, self._closed)
            else:
                call.called = True
                return answer

    def _operation(self, call: Call, tool: str) -> ApiOperation:
        # Those of the plan: in a worker the session's host has the tools of its first call only.
        found = of_tool(call.plan.host.tools, tool)
        if found is None:
            why = f"its document has no operation {tool}, or was not read yet"
            raise self._error(FailureKind.UNREACHABLE, why, called=call.called)
        return found

    def _request(
        self, operation: ApiOperation, arguments: dict[str, Any], called: bool | None
    ) -> ApiRequest:
        try:
            request = built(operation, arguments, self._endpoint.secrets)
        except BadArguments as wrong:
            raise HostError(FailureKind.BAD_INPUT, str(wrong), called=called) from None
        sent = {k: v for k, v in request.headers.items() if k.lower() not in self._fixed}
        return request._replace(headers=sent)

    async def _once(self, request: ApiRequest) -> Answer:
        """Make the request. Raises HostError, HostBusy, and NOT_SENT if it has not left."""
        try:
            response = await self._site.send(*request)
            try:
                return await self._answer(request, response)
            finally:
                # An answer that was not read to its end takes the connection with it.
                response.close()
        except site.NOT_SENT:
            raise
        except aiohttp.ClientResponseError as error:
            message = f"the answer is not HTTP: {site.plain(error.message)}"
            raise self._error(FailureKind.PROTOCOL, message, called=True) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            message = f"the connection was lost: {site.why(error)}"
            raise self._error(FailureKind.CUT, message, called=None) from error

    async def _answer(self, request: ApiRequest, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        if 300 <= status < 400 and status != HTTPStatus.NOT_MODIFIED:
            where = self._site.whither(response)
            message = f"redirects the call to {where}, which is not followed: correct its URL"
            raise self._error(FailureKind.PROTOCOL, message, called=True)
        media = site.media_type(response)
        if status < 400:
            return await self._good(response, media)
        text = (await site.beginning(response, ERROR_BYTES)).decode("utf-8", "replace")
        said = f"{status} {_phrase(status)}: {plain(self._hide(text), ERROR_TEXT)}".rstrip(": ")
        if status in BUSY:
            raise HostBusy(said, site.retry_after_s(response))
        if status in _UNKNOWN:
            raise self._error(FailureKind.CUT, said, called=None)
        if status == HTTPStatus.UNAUTHORIZED and not self._admitted:
            said += " (no secret is named for it: see endpoint.secrets and bearer_from)"
        return Answer([{"type": "text", "text": said}], is_error=True)

    async def _good(self, response: aiohttp.ClientResponse, media: str) -> Answer:
        sink = Sink(self._spool, self._host.limits.max_output_bytes)
        try:
            async for part in response.content.iter_any():
                sink.write(part)
            whole = sink.finish()
        finally:
            sink.close()
        if isinstance(whole, bytes):
            return openapi_answer.small(whole, media)
        answer, _ = await in_thread(lambda: openapi_answer.big(whole, media, self._spool))
        return answer

    def _error(self, kind: FailureKind, why: object, *, called: bool | None) -> HostError:
        return HostError(kind, self._hide(f"host {self._host.id}: {why}"), called=called)

    def _hide(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "error"
