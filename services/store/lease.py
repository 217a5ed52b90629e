"""Leases in NATS KV: one holder at a time, for as long as it keeps renewing.

The server's clock alone ends a lease. A holder that was paused may still believe in one that is
over: what it writes must be guarded by the log, never by the lease.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.subjects import LEASES_BUCKET
from services.bus.bus import Bus
from services.store.stream import ALWAYS, StoreError, Stream

_OPERATION = "KV-Operation"


class Lease(msgspec.Struct, frozen=True):
    """A lease as its holder knows it; `revision` changes with every renewal."""

    name: str
    holder: str
    ttl: int
    """Seconds after which it is free if it isn't renewed."""
    revision: int


class LeaseLost(StoreError):
    """The lease has expired or belongs to somebody else."""


class Leases:
    """The leases of one deployment."""

    def __init__(self, bus: Bus) -> None:
        self._stream = Stream(bus, f"KV_{LEASES_BUCKET}")

    async def acquire(self, name: str, holder: str, ttl: int) -> Lease | None:
        """Take a free lease for `ttl` whole seconds (at least 1); None if another holds it.

        `holder` must be unlike that of every other process and of every earlier start of this
        one. Raises StoreError.
        """
        if ttl < 1:
            raise ValueError("a lease lasts at least one second")
        current, revision = await self._read(name)
        if current not in (None, holder):
            return None
        return await self._write(Lease(name, holder, ttl, revision))

    async def renew(self, lease: Lease) -> Lease:
        """Start the lease's time anew. Raises LeaseLost, or StoreError if that is not known."""
        renewed = await self._write(lease)
        if renewed is None:
            raise LeaseLost(f"The lease {lease.name} of {lease.holder} is over.")
        return renewed

    async def release(self, lease: Lease) -> None:
        """Give the lease up at once; nothing happens if it is over already."""
        subject = _subject(lease.name)
        headers = {_OPERATION: "DEL"}
        await self._stream.publish(subject, b"", expected=lease.revision, headers=headers)

    async def holder(self, name: str) -> str | None:
        """Who holds the lease now."""
        return (await self._read(name))[0]

    async def _write(self, lease: Lease) -> Lease | None:
        revision = await self._stream.publish(
            _subject(lease.name),
            lease.holder.encode(),
            expected=lease.revision,
            headers={"Nats-TTL": f"{lease.ttl}s"},
        )
        if revision is None:
            # Written before by ourselves, and only the acknowledgement was lost?
            holder, found = await self._read(lease.name)
            if holder != lease.holder or found <= lease.revision:
                return None
            revision = found
        return msgspec.structs.replace(lease, revision=revision)

    async def _read(self, name: str) -> tuple[str | None, int]:
        found = await self._stream.last(_subject(name))
        if found is None:
            return None, 0
        # A release leaves a marker, whose sequence the next holder has to name.
        free = _OPERATION in found.headers or "Nats-Marker-Reason" in found.headers
        return (None if free else found.data.decode()), found.seq


def bucket_config() -> dict[str, Any]:
    """The stream behind the leases; created by the operator."""
    return {
        "name": f"KV_{LEASES_BUCKET}",
        "subjects": [f"$KV.{LEASES_BUCKET}.>"],
        **ALWAYS,
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
    }


def _subject(name: str) -> str:
    return f"$KV.{LEASES_BUCKET}.{name}"
