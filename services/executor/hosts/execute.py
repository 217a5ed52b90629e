"""Hosts that answer `POST /execute`: a user's own Space, or an Oracle host of the specification.

The permit's `jti` is the key of a call: a host with `replay = "always"` answers a repeated one with
its first answer. An answer that names it is no other call's; without that no connection is kept.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp

from contracts.facts import FailureKind
from contracts.host import Execute, operated
from contracts.wire import PERMIT_ECHO, permit_id
from services.executor.attempt.call import Call, HostError, Opening, Spooled
from services.executor.attempt.spool import Sink
from services.executor.hosts import execute_wire
from services.executor.hosts.bulk import in_thread
from services.executor.hosts.execute_wire import HostRefusal
from services.executor.hosts.web import HostBusy, pause, site_of
from services.outside import site
from services.outside.site import BUSY
from services.process import telemetry

PATH = "/execute"
REFUSAL_BYTES = 64 * 1024
AGAIN_FIRST_S, AGAIN_LAST_S = 0.2, 5.0

log = telemetry.get_logger()


class _NotSent(Exception):
    """The request has not left."""


class _Lost(Exception):
    """The request may have arrived, and its answer did not come."""


class ExecuteSession:
    """The connections to one host, for one credential."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be an `Execute`. Raises HostError(UNREACHABLE)."""
        host, endpoint = opening.host, opening.host.endpoint
        assert isinstance(endpoint, Execute)
        self._site = site_of(opening, endpoint)
        self._host = host
        self._spool = opening.spool
        self._bearer = opening.bearer
        self._closed = asyncio.Event()
        self._echoes = False
        """Its last answer has named its permit."""

    async def open(self) -> None:
        """Nothing to start: a connection is made when a call needs one."""

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`.

        While the host says that it is busy or starting, it is asked again for its start budget.
        """
        try:
            return await self._call(call)
        except HostError as error:
            # A host may repeat what it was sent.
            said = self._hidden(error.message)
            raise HostError(error.kind, said, called=error.called, answer=error.answer) from None

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed.set()
        await self._site.close()

    async def _call(self, call: Call) -> dict[str, Any] | Spooled:
        body = execute_wire.body(call.plan, datetime.now(UTC))
        until = time.monotonic() + self._host.limits.start_s
        waits = site.pauses()
        agains = site.pauses(AGAIN_FIRST_S, AGAIN_LAST_S)
        lost = False
        while True:
            self._check_open(call)
            await call.begin()
            try:
                return await self._once(call, body)
            except HostBusy as busy:
                wait = site.wait_s(busy.wait_s, next(waits))
                if not lost and time.monotonic() + wait > until:
                    raise self._unreachable(call, busy) from None
                problem: Exception = busy
            except _NotSent as problem_:
                if not lost:
                    raise self._unreachable(call, problem_) from None
                wait, problem = next(agains), problem_
            except _Lost as problem_:
                if self._host.replay != "always" or self._closed.is_set():
                    raise self._error(FailureKind.CUT, problem_, called=None) from None
                lost = True
                wait, problem = next(agains), problem_
            # A host that has refused the request knows nothing of it; one that may have it does.
            call.called = None if lost else False
            said = self._hidden(str(problem))
            log.info("execute_again", host=self._host.id, task=call.plan.task, why=said)
            await pause(wait, self._closed)

    def _check_open(self, call: Call) -> None:
        if self._closed.is_set():
            cut = call.called is None
            kind = FailureKind.CUT if cut else FailureKind.UNREACHABLE
            raise self._error(kind, "the session was closed", called=None if cut else False)

    async def _once(self, call: Call, body: bytes) -> dict[str, Any] | Spooled:
        alone = not self._echoes
        try:
            response = await self._site.post(PATH, body, alone=alone)
            try:
                self._check_whose(call, response, alone=alone)
                call.called = True
                if 200 <= response.status < 300:
                    return await self._result(response)
                raise await self._refusal(response)
            finally:
                # An answer that was not read to its end takes the connection with it.
                response.close()
        except site.NOT_SENT as error:
            raise _NotSent(site.why(error)) from error
        except aiohttp.ClientResponseError as error:
            message = f"the answer is not HTTP: {site.plain(error.message)}"
            raise self._error(FailureKind.PROTOCOL, message, called=True) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _Lost(f"the connection was lost: {site.why(error)}") from error

    def _check_whose(self, call: Call, response: aiohttp.ClientResponse, *, alone: bool) -> None:
        """Raises _Lost for an answer that is not known to be this call's: what a host sends after
        its answer would be the next one on the same connection.

        A refusal may be of a proxy on the way, which knows no permits: it counts where nothing else
        can have come over its connection.
        """
        named = response.headers.get(PERMIT_ECHO)
        wanted = permit_id(call.plan.task, call.plan.attempt)
        self._echoes = named == wanted
        if named == wanted or (named is None and alone):
            return
        site.part_with(response)
        if named is not None:
            raise _Lost("it has answered another call")
        said = f"its answer ({response.status}) does not say which call it is of"
        raise _Lost(f"{said}, as its last one did")

    async def _refusal(self, response: aiohttp.ClientResponse) -> Exception:
        status = response.status
        if 300 <= status < 400:
            where = self._site.whither(response)
            message = f"redirects calls to {where}, which is not followed: correct its URL"
            return self._error(FailureKind.PROTOCOL, message, called=True)
        refusal = HostRefusal.read(status, await site.beginning(response, REFUSAL_BYTES))
        if refusal.loose and operated(self._host):
            # Not in the form that is for users: a proxy's page, or a traceback.
            log.info("host_refused_call", host=self._host.id, status=status, said=str(refusal))
            refusal = HostRefusal("", "")
        if status in BUSY:
            return HostBusy(f"{status}: {refusal}", site.retry_after_s(response))
        if status == 502:
            return _Lost(f"502: {refusal}")
        kind, called = execute_wire.meaning(status, refusal.reason)
        said = f"{status}: {refusal}{execute_wire.advice(refusal)}"
        return self._error(kind, said, called=called)

    async def _result(self, response: aiohttp.ClientResponse) -> dict[str, Any] | Spooled:
        media = site.media_type(response)
        if not site.is_json(media):
            text = await site.beginning(response, site.MESSAGE_CHARS * 4)
            said = site.plain(text.decode("utf-8", "replace"))
            if operated(self._host):
                log.info("host_answered_no_json", host=self._host.id, said=said)
                said = "the operator's log has it"
            message = f"answered with {media or 'no type'} instead of JSON: {said}"
            raise self._error(FailureKind.PROTOCOL, message, called=True)
        sink = Sink(self._spool, self._host.limits.max_output_bytes)
        try:
            async for part in response.content.iter_any():
                sink.write(part)
            whole = sink.finish()
        finally:
            sink.close()
        try:
            answer: dict[str, Any] | Spooled
            if isinstance(whole, bytes):
                answer = execute_wire.small(whole)
                failure = execute_wire.failure(answer)
            else:
                failure, answer = await in_thread(lambda: execute_wire.checked(whole))
        except execute_wire.NotJson as error:
            raise self._error(FailureKind.PROTOCOL, error, called=True) from None
        if failure:
            raise self._error(FailureKind.TOOL, failure, called=True, answer=answer)
        return answer

    def _unreachable(self, call: Call, why: Exception) -> HostError:
        call.called = False
        return self._error(FailureKind.UNREACHABLE, why, called=False)

    def _error(
        self,
        kind: FailureKind,
        why: object,
        *,
        called: bool | None,
        answer: dict[str, Any] | Spooled | None = None,
    ) -> HostError:
        return HostError(kind, f"host {self._host.id}: {why}", called=called, answer=answer)

    def _hidden(self, text: str) -> str:
        return text.replace(self._bearer, "***") if self._bearer else text
