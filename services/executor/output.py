"""From a host's answer to the result: inline when small and flat, else in the object store."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from contracts.errors import Rejected
from contracts.facts import FailureKind
from contracts.nesting import too_deep
from contracts.result import INLINE_LIMIT, Pointer, Result, inline
from services import telemetry
from services.executor.hosts.base import HostError, Spooled
from services.executor.workspace import BlobReader

MEDIA_TYPE = "application/json"
RETRY_S = 0.5

log = telemetry.get_logger()


class BlobStore(BlobReader, Protocol):
    """The part of the object store that an executor uses."""

    async def put(self, user: str, data: bytes, media_type: str = ...) -> Pointer:
        """Store bytes."""

    async def read(self, what: Pointer | str) -> bytes:
        """Return a whole blob, verified."""


async def keep(
    value: dict[str, Any] | Spooled, user: str, blobs: BlobStore | None, limit: int
) -> Result:
    """Return the result to record. Raises HostError(TOO_LARGE).

    While the object store is away it tries again, until it is cancelled.
    """
    data = msgspec.json.encode(value)
    if len(data) > limit:
        message = f"the result has {len(data)} bytes, more than the host's limit of {limit}"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    if len(data) <= INLINE_LIMIT and not too_deep(data):
        return inline(data)
    if blobs is None:
        message = f"the result ({len(data)} bytes) does not fit a fact; there is no object store"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    while True:
        try:
            return await blobs.put(user, data, MEDIA_TYPE)
        except Rejected as error:
            raise HostError(FailureKind.TOO_LARGE, error.message, called=True) from error
        except Exception as error:
            log.warning("result_not_stored_yet", user=user, error=repr(error))
            await asyncio.sleep(RETRY_S)
