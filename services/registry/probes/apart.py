"""Probes of users' hosts, as the registry sees them: a worker asks and says what it found."""

from __future__ import annotations

import msgspec

from contracts.host import Host
from services.outside.apart.pool import WorkerLost, WorkerPool
from services.registry.probes.base import ProbeOutcome, Reach, Sick, short

_outcome: msgspec.msgpack.Decoder[ProbeOutcome] = msgspec.msgpack.Decoder(ProbeOutcome)


class ProbeOrder(msgspec.Struct, frozen=True, array_like=True):
    """Ask a host how it is."""

    host: Host
    limit_s: float
    spaces: str
    allow_private: bool
    bearer: str | None


class ApartProber:
    """Asks one host, each time anew."""

    def __init__(self, host: Host, workers: WorkerPool, limit_s: float, reach: Reach) -> None:
        """`limit_s`: seconds for one request."""
        # What was found before is no news to whoever asks.
        self._host = msgspec.structs.replace(host, tools=(), capabilities=(), task_types={})
        self._workers = workers
        self._limit_s = limit_s
        self._reach = reach

    async def probe(self) -> ProbeOutcome:
        """Ask once. Cancelled, it calls the question off."""
        host, reach = self._host, self._reach
        try:
            secrets = await reach.credentials(host)
        except Sick as sick:
            return ProbeOutcome(str(sick))
        filled = secrets.put_into(host)
        order = ProbeOrder(filled, self._limit_s, reach.spaces, reach.allow_private, secrets.bearer)
        try:
            result = await self._workers.run(
                host.owner or "", "probe", msgspec.msgpack.encode(order), _silent
            )
        except WorkerLost as lost:
            return ProbeOutcome(f"cut: {short(str(lost))}")
        outcome = _outcome.decode(result.body)
        return msgspec.structs.replace(outcome, reason=secrets.hide(outcome.reason))

    async def close(self) -> None:
        """Nothing is held between two probes."""


async def _silent(_: bytes) -> bytes:
    return b""
