"""From a host's answer to the result: inline when small and flat, else in the object store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from contracts.errors import Rejected
from contracts.facts import FailureKind
from contracts.nesting import too_deep
from contracts.result import INLINE_LIMIT, Pointer, Result, inline
from services.executor.attempt.call import HostError, Spooled
from services.executor.attempt.workspace import BlobReader
from services.process import telemetry

MEDIA_TYPE = "application/json"
RETRY_S = 0.5
PART_BYTES = 256 * 1024

Data: TypeAlias = bytes | AsyncIterator[bytes]

log = telemetry.get_logger()


class BlobStore(BlobReader, Protocol):
    """The part of the object store that an executor uses."""

    async def put(self, user: str, data: Data, media_type: str = ...) -> Pointer:
        """Store bytes; a stream needs little memory."""

    async def read(self, what: Pointer | str) -> bytes:
        """Return a whole blob, verified."""


async def keep(
    value: dict[str, Any] | Spooled, user: str, blobs: BlobStore | None, limit: int
) -> Result:
    """Return the result to record; a file is used up by this. Raises HostError(TOO_LARGE).

    While the object store is away it tries again, until it is cancelled.
    """
    if isinstance(value, Spooled):
        try:
            return await _store(value.size, lambda: _parts(value.path), user, blobs, limit)
        finally:
            value.remove()
    data = msgspec.json.encode(value)
    if len(data) <= min(INLINE_LIMIT, limit) and not too_deep(data):
        return inline(data)
    return await _store(len(data), lambda: data, user, blobs, limit)


async def _store(
    size: int, data: Callable[[], Data], user: str, blobs: BlobStore | None, limit: int
) -> Pointer:
    if size > limit:
        message = f"the result has {size} bytes, more than the host's limit of {limit}"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    if blobs is None:
        message = f"the result ({size} bytes) does not fit a fact; there is no object store"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    while True:
        try:
            return await blobs.put(user, data(), MEDIA_TYPE)
        except Rejected as error:
            raise HostError(FailureKind.TOO_LARGE, error.message, called=True) from error
        except Exception as error:
            log.warning("result_not_stored_yet", user=user, error=repr(error))
            await asyncio.sleep(RETRY_S)


async def _parts(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := await asyncio.to_thread(file.read, PART_BYTES):
            yield part
