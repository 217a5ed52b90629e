"""What is known about a task's result, and how the log's facts change it.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, Record, ResultDeleted, ResultStored
from contracts.result import Inline, Pointer, sha256_hex

Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result's description; the bytes stand in the log (inline) or where `uri` says."""

    task: str
    user: str
    kind: str
    """inline or pointer."""
    media_type: str
    size: int
    """Bytes."""
    sha256: str
    uri: str
    """Empty for inline results."""
    created: float
    """Log time of `job.done`, seconds since the epoch."""
    seq: int
    """Sequence of `job.done`."""
    host: str
    attempt: int
    deleted: str = ""
    """Not empty: the bytes are gone, for this reason."""


class Blob(StrEnum):
    """What a look at the object store says about a pointer."""

    THERE = "there"
    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    FOREIGN = "foreign"
    """Outside the object store: not looked up."""


class GetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.get` and `cmd.results.verify`: one task of one user."""

    user: str
    task: str


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.list`: a user's results, newest first, below the sequence `cursor`."""

    user: str
    limit: Limit = 50
    cursor: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Answer of `cmd.results.list`; `cursor` asks for the next page, None: there is none."""

    results: tuple[Kept, ...]
    cursor: int | None


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of `cmd.results.get`: the description, and an inline result's value."""

    result: Kept
    value: msgspec.Raw = msgspec.Raw()
    """Left out for pointers, and when the bytes are gone."""


class Verified(msgspec.Struct, frozen=True):
    """Answer of `cmd.results.verify`: all bytes were read, and they are those that were stored."""

    result: Kept
    bytes_read: int


def begin(record: Record, fact: JobDone) -> Kept | None:
    """The description of what a task left behind; None if it left nothing."""
    match fact.result:
        case None:
            return None
        case Inline():
            kind, uri = "inline", ""
        case Pointer():
            kind, uri = "pointer", fact.result.uri
    return Kept(
        task=fact.task,
        user=fact.user,
        kind=kind,
        media_type=fact.result.media_type,
        size=fact.result.size,
        sha256=fact.result.sha256,
        uri=uri,
        created=record.at,
        seq=record.seq,
        host=fact.host,
        attempt=fact.attempt,
    )


def moved(fact: ResultStored) -> tuple[str, str, int, str, str]:
    """What changes when the bytes have moved: kind, media type, size, digest and uri."""
    pointer = fact.pointer
    return ("pointer", pointer.media_type, pointer.size, pointer.sha256, pointer.uri)


def why_deleted(fact: ResultDeleted) -> str:
    """The reason shown; never empty, since an empty one means that the bytes are there."""
    return fact.reason or "deleted"


def judge(pointer: Pointer, found: Pointer | None) -> Blob:
    """Compare what a fact says with what the store has (None: nothing)."""
    if found is None:
        return Blob.MISSING
    return Blob.THERE if found.size == pointer.size else Blob.WRONG_SIZE


def checked(result: Inline) -> bytes:
    """The value's bytes. Raises Rejected(DIGEST_MISMATCH) if they are not what they should be."""
    data = bytes(result.value)
    if sha256_hex(data) != result.sha256 or len(data) != result.size:
        raise Rejected(
            Reason.DIGEST_MISMATCH, "the stored result is not the one that its digest names"
        )
    return data
