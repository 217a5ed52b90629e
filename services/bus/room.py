"""How much all streams hold and may hold, and how that is shared out among them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.bus.bus import Bus

SHARE_OF_BLOBS = 2
"""The object store gets one part in so many of the whole; the log needs the rest."""
SHARE_OF_INTAKE = 16
SHARE_OF_VALUES = 64
"""The same of each bucket of values."""
SHARE_OF_ACCESS = 32
"""The same of the stream that notes who came in."""


class Room(NamedTuple):
    """Bytes of all streams together."""

    used: int
    limit: int | None
    """None: the server does not say."""


class _Limits(msgspec.Struct):
    max_storage: int = -1


class _Info(msgspec.Struct):
    storage: int = 0
    limits: _Limits = msgspec.field(default_factory=_Limits)


async def room(bus: Bus) -> Room:
    """Ask the server, which knows of a limit where the account has one. Raises BusError."""
    found = msgspec.json.decode(await bus.request(f"{bus.api}.INFO"), type=_Info)
    limit = found.limits.max_storage
    return Room(found.storage, limit if limit > 0 else None)


def share(limit: int | None, parts: int, most: int) -> int:
    """Bytes that a stream may have: one part in so many of the whole, not more than `most`."""
    return most if limit is None else min(most, limit // parts)
