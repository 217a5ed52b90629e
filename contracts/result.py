"""Results and blobs: small values inline, big ones as verified pointers."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import msgspec

INLINE_LIMIT = 64 * 1024
"""Bytes of JSON that still travel inside a fact; anything bigger is a pointer."""


class Pointer(msgspec.Struct, frozen=True, tag_field="kind", tag="pointer", omit_defaults=True):
    """Where a blob lies and how to prove it is the right one."""

    uri: str
    """`nats://<bucket>/<user>/<sha256>` for the object store."""
    sha256: str
    """Lower-case hex digest of the bytes; checked on every read."""
    size: int
    """Bytes."""
    media_type: str = "application/json"


class Inline(msgspec.Struct, frozen=True, tag_field="kind", tag="inline", omit_defaults=True):
    """A result small enough to stand in the fact itself."""

    value: msgspec.Raw
    """JSON, at most 64 KiB."""
    sha256: str
    """Digest of the bytes of `value`."""
    size: int
    media_type: str = "application/json"


Result: TypeAlias = Inline | Pointer


def sha256_hex(data: bytes | msgspec.Raw) -> str:
    """Return the lower-case hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def inline(data: bytes, media_type: str = "application/json") -> Inline:
    """Wrap JSON bytes as an inline result; the caller has checked `INLINE_LIMIT`."""
    return Inline(msgspec.Raw(data), sha256_hex(data), len(data), media_type)
