"""Results and blobs: small values inline, big ones as verified pointers."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

INLINE_LIMIT = 64 * 1024
"""Bytes of JSON that still travel inside a fact; anything bigger is a pointer."""


class Pointer(msgspec.Struct, frozen=True, tag_field="kind", tag="pointer", omit_defaults=True):
    """Where a blob lies and how to prove it is the right one."""

    uri: str
    """`nats://<bucket>/<user>/<sha256>` for the object store;
    `hf://datasets/<owner>/<name>@<revision>/<path>` for a Hugging Face Dataset."""
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

    @property
    def intact(self) -> bool:
        """Whether the value is what digest and size say."""
        return sha256_hex(self.value) == self.sha256 and len(bytes(self.value)) == self.size


Result: TypeAlias = Inline | Pointer


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result's description; the bytes stand in the log (inline) or where `uri` says."""

    task: str
    user: str
    kind: Literal["inline", "pointer"]
    media_type: str
    size: int
    """Bytes."""
    sha256: str
    uri: str
    """Empty for inline results."""
    created: float
    """Log time of the fact that names it, seconds since the epoch."""
    seq: int
    """Sequence of that fact: `job.done`, or the `job.failed` of an answer that is an error."""
    host: str
    attempt: int
    deleted: str = ""
    """Not empty: the bytes are gone, for this reason."""
    expires: float = 0.0
    """When the bytes will be deleted by policy, seconds since the epoch; 0: never."""


class ResultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.get` and `cmd.results.verify`: one task of one user."""

    user: str
    task: str
    after: int = 0
    """Sequence of a fact that the answer must know of: the asker saw that there is a result."""


class ResultFound(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of `cmd.results.get`: the description, and an inline result's value."""

    result: Kept
    value: msgspec.Raw = msgspec.Raw()
    """Left out for pointers, and when the bytes are gone."""


class ResultVerified(msgspec.Struct, frozen=True):
    """Answer of `cmd.results.verify`: all bytes were read, and they are those that were stored."""

    result: Kept
    bytes_read: int


class ResultListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.list`: a user's results, newest first."""

    user: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    cursor: int | None = None
    """Below this sequence: the `cursor` of the page before."""
    kind: Literal["inline", "object_store", "dataset"] | None = None
    """Where the bytes are: in the log, in the object store, or in a Hugging Face Dataset."""
    host: str | None = None
    since: float | None = None
    """Created at this time or later, seconds since the epoch."""
    until: float | None = None
    """Created before this time."""
    deleted: bool | None = None
    """Only those whose bytes are gone, or only those that are there."""


class ResultPage(msgspec.Struct, frozen=True):
    """Answer of `cmd.results.list`; `cursor` asks for the next page, None: there is none."""

    results: tuple[Kept, ...]
    cursor: int | None
    total: int
    """How many results match the filters, on all pages."""
    size: int
    """Bytes of all of them."""


READ_BYTES = 512 * 1024
"""Most bytes of one answer to `cmd.results.read`; the answer is the bytes alone."""


class ResultRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.read`: a part of a result, from a copy whose digest was verified.

    Shorter than asked for at the end only.
    """

    user: str
    task: str
    offset: Annotated[int, msgspec.Meta(ge=0)]
    length: Annotated[int, msgspec.Meta(ge=1, le=READ_BYTES)] = READ_BYTES
    after: int = 0
    """As in ResultRequest."""


class DatasetTasksRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.tasks`: tasks as the user's Hugging Face Dataset has them, newest id first."""

    user: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    status: str | None = None
    """Only tasks that ended so."""


class DatasetTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """`tasks/<id>.json` of the Dataset; the names are those of the original specification."""

    task_id: str
    user_id: str
    type: str
    priority: str
    is_heavy: bool
    status: str
    created_at: str
    """ISO 8601, log time."""
    completed_at: str
    result_id: str
    """Path of the result in the same Dataset."""
    sha256: str
    size: int
    media_type: str
    host: str
    attempt: int
    required_capabilities: list[Any] = []
    input: Any = None
    """Left out when it lies in the object store."""
    input_sha256: str = ""


class DatasetTasks(msgspec.Struct, frozen=True):
    """Answer of `cmd.results.tasks`."""

    dataset: str
    """`owner/name`."""
    tasks: tuple[DatasetTask, ...]


class ResultDelete(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.delete`: remove the bytes; the answer is the result's description."""

    user: str
    task: str
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "deleted by its owner"
    after: int = 0
    """As in ResultRequest."""


class BlobDrop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.results.drop`: remove a user's bytes from the object store, unless it is a result."""

    user: str
    sha256: str


class BlobDropped(msgspec.Struct, frozen=True):
    """Answer to a `BlobDrop`: they are gone."""

    sha256: str
    size: int


def sha256_hex(data: bytes | msgspec.Raw) -> str:
    """Return the lower-case hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def inline(data: bytes, media_type: str = "application/json") -> Inline:
    """Wrap JSON bytes as an inline result; the caller has checked `INLINE_LIMIT`."""
    return Inline(msgspec.Raw(data), sha256_hex(data), len(data), media_type)
