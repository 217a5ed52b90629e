"""From a host's answer to the result: inline when small and flat, else in the object store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from contracts.facts import FailureKind
from contracts.nesting import too_deep
from contracts.result import INLINE_LIMIT, Pointer, Result, inline
from services.executor.attempt.call import HostError, Spooled
from services.executor.attempt.course import Course
from services.executor.attempt.patience import patiently
from services.executor.attempt.workspace import BlobReader

MEDIA_TYPE = "application/json"
PART_BYTES = 256 * 1024

Data: TypeAlias = bytes | AsyncIterator[bytes]


class BlobStore(BlobReader, Protocol):
    """The part of the object store that an executor uses."""

    async def put(self, user: str, data: Data, media_type: str = ...) -> Pointer:
        """Store bytes; a stream needs little memory."""

    async def read(self, what: Pointer | str) -> bytes:
        """Return a whole blob, verified."""


async def keep(
    value: dict[str, Any] | Spooled,
    user: str,
    blobs: BlobStore | None,
    limit: int,
    course: Course,
) -> Result:
    """Return the result to record; a file is used up by this.

    While the object store is away it tries again, until it is cancelled. Raises
    HostError(TOO_LARGE), Rejected(TOO_LARGE), StoreRefused.
    """
    if isinstance(value, Spooled):
        path = value.path
        try:
            store = _fit(value.size, blobs, limit)
            return await _store(
                course, value.size, lambda: store.put(user, _parts(path), MEDIA_TYPE)
            )
        finally:
            value.remove()
    data = msgspec.json.encode(value)
    if len(data) <= min(INLINE_LIMIT, limit) and not too_deep(data):
        return inline(data)
    store = _fit(len(data), blobs, limit)
    return await _store(course, len(data), lambda: store.put(user, data, MEDIA_TYPE))


def _fit(size: int, blobs: BlobStore | None, limit: int) -> BlobStore:
    if size > limit:
        message = f"the result has {size} bytes, more than the host's limit of {limit}"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    if blobs is None:
        message = f"the result ({size} bytes) does not fit a fact; there is no object store"
        raise HostError(FailureKind.TOO_LARGE, message, called=True)
    return blobs


async def _store(course: Course, size: int, put: Callable[[], Awaitable[Pointer]]) -> Pointer:
    return await patiently(course, f"the result ({size} bytes) could not be stored", put)


async def _parts(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := await asyncio.to_thread(file.read, PART_BYTES):
            yield part
