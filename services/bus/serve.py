"""The answering half of request/reply: one task per request, refusals told apart from failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request

from contracts.errors import Reason, Rejected
from services.bus.errors import RequestFailed
from services.process import telemetry, tracing

Handler = Callable[[bytes], Awaitable[bytes]]
Spawn = Callable[[Awaitable[None]], None]

MAX_IN_FLIGHT = 64
"""Requests of one verb that are handled at once; more wait in the connection."""

log = telemetry.get_logger()


def endpoint(subject: str, handler: Handler, spawn: Spawn) -> Callable[[Request], Awaitable[None]]:
    """Wrap `handler` for nats.micro; `spawn` owns the tasks in which requests run."""
    slots = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def answer(request: Request) -> None:
        try:
            with tracing.received(subject, (request.headers or {}).get("traceparent")):
                await _answer(request, subject, handler)
        finally:
            slots.release()

    async def accept(request: Request) -> None:
        # nats-py awaits each message before the next: a slow one would hold up all others.
        await slots.acquire()
        spawn(answer(request))

    return accept


def payload_of(answer: Msg) -> bytes:
    """Return an answer's payload. Raises Rejected or RequestFailed if it is an error."""
    headers = answer.headers or {}
    if (code := headers.get(ERROR_CODE_HEADER)) is None:
        return bytes(answer.data)
    message = answer.data.decode(errors="replace") or headers.get(ERROR_HEADER, "")
    try:
        reason = Reason(code)
    except ValueError:
        raise RequestFailed(code, message) from None
    raise Rejected(reason, message)


async def _answer(request: Request, subject: str, handler: Handler) -> None:
    try:
        try:
            await request.respond(await handler(request.data))
        except Rejected as refusal:
            await _refuse(request, refusal.reason, refusal.message)
        except Exception as error:
            log.exception("bus_handler_failed", subject=subject)
            await _refuse(request, Reason.INTERNAL, f"{type(error).__name__} in {subject}")
    except (nats.errors.Error, ValueError) as error:
        log.warning("bus_answer_not_sent", subject=subject, error=repr(error))


async def _refuse(request: Request, reason: Reason, message: str) -> None:
    # Headers carry ASCII only; the whole sentence is the payload.
    short = message.encode("ascii", "replace").decode()[:200]
    await request.respond_error(reason.value, short, message.encode())
