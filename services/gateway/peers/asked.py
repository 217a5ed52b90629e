"""What the gateway asks the other services, by NATS request and reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from contracts.errors import Reason, Rejected
from contracts.subjects import command
from services.bus.bus import Bus
from services.bus.errors import BusError, BusTimeout, NoResponders
from services.process import telemetry, tracing

ASK_S = 10.0

A = TypeVar("A")

log = telemetry.get_logger()

Request = Callable[[str, bytes, float], Awaitable[bytes]]
"""Subject, payload and seconds to the answer's bytes."""


def over(bus: Bus) -> Request:
    """Requests over this connection, in the trace of whoever asks."""

    async def request(subject: str, payload: bytes, within_s: float) -> bytes:
        with tracing.begin(subject, tracing.current(), tracing.CLIENT) as span:
            headers = {"traceparent": span.traceparent} if span.traceparent else None
            return await bus.request(subject, payload, timeout=within_s, headers=headers)

    return request


class Others:
    """The commands of the other services."""

    def __init__(self, request: Request) -> None:
        self.request = request

    async def ask(
        self,
        service: str,
        verb: str,
        request: msgspec.Struct,
        answer: type[A],
        *,
        within_s: float = ASK_S,
    ) -> A:
        """Have a command carried out. Raises Rejected: what the service says, or UNAVAILABLE."""
        data = await self.raw(service, verb, request, within_s=within_s)
        return msgspec.json.decode(data, type=answer)

    async def raw(
        self, service: str, verb: str, request: msgspec.Struct, *, within_s: float = ASK_S
    ) -> bytes:
        """Like `ask`, for an answer that is no JSON."""
        payload = msgspec.json.encode(request)
        try:
            return await self.request(command(service, verb), payload, within_s)
        except NoResponders:
            text = f"the {service} service is not running: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        except BusTimeout:
            text = f"the {service} service has not answered within {within_s:g} s: ask again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        except BusError as error:
            log.warning("service_not_asked", service=service, error=str(error))
            text = f"the {service} service can't be asked now: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
