"""The host that does no work: it measures what the executor itself costs. Never on by default."""

from __future__ import annotations

import asyncio
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Noop
from services.executor.attempt.call import Answer, Call, HostError, Opening


class NoopSession:
    """Answers in this process, after the endpoint's delay, with the attempt it was asked for."""

    def __init__(self, opening: Opening) -> None:
        """Raises HostError(UNREACHABLE) unless the operator allows this kind."""
        if not opening.allow_noop:
            raise HostError(
                FailureKind.UNREACHABLE,
                "hosts of the kind `noop` are for benchmarks: set METAMCP_EXECUTOR_ALLOW_NOOP=true",
            )
        endpoint = opening.host.endpoint
        self._delay_s = endpoint.delay_ms / 1000 if isinstance(endpoint, Noop) else 0.0

    async def open(self) -> None:
        """Nothing to start."""

    async def call(self, call: Call) -> dict[str, Any]:
        """See `HostSession.call`."""
        await call.begin()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        call.called = True
        attempt = {"task": call.plan.task, "attempt": call.plan.attempt}
        return Answer([], attempt).wire()

    async def close(self) -> None:
        """Nothing to end."""
