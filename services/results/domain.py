"""What is known about a task's result, what moves and what goes, and how facts change it.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal, NamedTuple, TypeVar

import msgspec

from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, JobFailed, Record, ResultDeleted, ResultStored
from contracts.result import Inline, Kept, Pointer, sha256_hex
from contracts.subjects import BLOBS_BUCKET

OURS = f"nats://{BLOBS_BUCKET}/"
DATASETS = "hf://datasets/"
DAY_S = 86_400.0
_DATASET = re.compile(r"hf://datasets/([^/@]+/[^/@]+)@([0-9a-f]{40})/(.+)")

R = TypeVar("R", bound=msgspec.Struct)
Place = Literal["inline", "object_store", "dataset"]


class Blob(StrEnum):
    """What a look at the object store says about a pointer."""

    THERE = "there"
    MISSING = "missing"
    WRONG_SIZE = "wrong_size"
    FOREIGN = "foreign"
    """Outside the object store: not looked up."""


class Move(NamedTuple):
    """A result that is to go to its user's Dataset."""

    user: str
    task: str
    seq: int
    created: float
    pointer: Pointer
    host: str
    attempt: int


class InDataset(NamedTuple):
    """A place in a Dataset."""

    repo: str
    revision: str
    path: str

    @property
    def uri(self) -> str:
        """As it stands in a pointer."""
        return f"{DATASETS}{self.repo}@{self.revision}/{self.path}"


def decoded(payload: bytes, type_: type[R]) -> R:
    """The request in a command. Raises Rejected(BAD_REQUEST)."""
    try:
        return msgspec.json.decode(payload, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {type_.__name__}: {error}") from None


def begin(record: Record, fact: JobDone | JobFailed) -> Kept | None:
    """The description of what a task left behind, or a failed attempt; None if it left nothing."""
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
        kind=kind,  # type: ignore[arg-type]
        media_type=fact.result.media_type,
        size=fact.result.size,
        sha256=fact.result.sha256,
        uri=uri,
        created=record.at,
        seq=record.seq,
        host=fact.host,
        attempt=fact.attempt,
    )


def place_of(uri: str) -> Place:
    """Where a uri leads; an empty one to the log itself."""
    if not uri:
        return "inline"
    return "dataset" if uri.startswith(DATASETS) else "object_store"


def moved(fact: ResultStored) -> tuple[str, str, int, str, str, Place]:
    """What changes when the bytes have moved: kind, media type, size, digest, uri and place."""
    pointer = fact.pointer
    where = place_of(pointer.uri)
    return ("pointer", pointer.media_type, pointer.size, pointer.sha256, pointer.uri, where)


def why_deleted(fact: ResultDeleted) -> str:
    """The reason shown; never empty, since an empty one means that the bytes are there."""
    return fact.reason or "deleted"


def moves(fact: JobDone, prefers: set[str]) -> bool:
    """Whether this result is to go to a Dataset, if its user has one: a big one, of a host that
    prefers pointers."""
    pointer = fact.result
    ours = isinstance(pointer, Pointer) and pointer.uri.startswith(OURS)
    return ours and fact.host in prefers


def in_dataset(uri: str) -> InDataset | None:
    """Read a place in a Dataset; None for any other uri."""
    found = _DATASET.fullmatch(uri)
    return None if found is None else InDataset(found[1], found[2], found[3])


def path_of(pointer: Pointer) -> str:
    """Where a result lies in the Dataset: its digest, so the same bytes are one file."""
    suffix = ".json" if pointer.media_type == "application/json" else ".bin"
    return f"results/{pointer.sha256[:2]}/{pointer.sha256}{suffix}"


def task_path(task: str) -> str:
    """Where the task is described in the Dataset."""
    return f"tasks/{task}.json"


def batch(waiting: Iterable[Move], most: int, most_bytes: int) -> Iterator[Move]:
    """The first of what waits, up to a number and a size; at least one."""
    size = 0
    for count, move in enumerate(waiting):
        size += move.pointer.size
        if count and (count >= most or size > most_bytes):
            return
        yield move


def by_repo(every: Iterable[Kept]) -> dict[str, list[str]]:
    """The paths of results in Datasets, by the repository they lie in."""
    paths: dict[str, list[str]] = {}
    for kept in every:
        if (place := in_dataset(kept.uri)) is not None:
            paths.setdefault(place.repo, []).append(place.path)
    return paths


def expires(kept: Kept, days: float) -> float:
    """When policy deletes the bytes; 0: never, or they are in the log itself."""
    return 0.0 if not days or kept.kind == "inline" or kept.deleted else kept.created + days * DAY_S


def erasable_before(kept: Kept) -> float:
    """Bytes of a deleted result go at once if they were stored last before this time: later ones
    may be another task's, whose outcome is not in the log yet."""
    return kept.created


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
