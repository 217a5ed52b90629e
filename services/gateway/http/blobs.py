"""Routes under `/api/blobs`: what users have in the object store, and how it goes."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from litestar import delete, get
from litestar.params import FromPath, QueryParameter

from contracts import scopes, subjects
from contracts.errors import Reason, Rejected
from contracts.facts import TaskCreated
from contracts.ids import check_token
from contracts.result import BlobDrop, BlobDropped, Pointer
from services.gateway.access.identity import Principal
from services.gateway.domain import ADMIN
from services.gateway.http.parts import Asking, Cursor, Envelope, Limit, Page, Parts, Wired, ok
from services.gateway.openapi.document import described
from services.store.blobs import BlobMissing

DROP_S = 30.0
AT_ONCE = 256
"""Open tasks that are read together."""
MOST_INPUTS = 256
"""Inputs of open tasks in the object store that are looked through for a blob."""
Owner = Annotated[str | None, QueryParameter(description="Another user; for the role admin.")]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class OwnBlob(msgspec.Struct, frozen=True):
    """Bytes of one's own in the object store: an upload, a big input, or a result."""

    sha256: str
    size: int
    stored_at: float
    """When they were stored last, seconds since the epoch."""


EXAMPLES = (
    OwnBlob("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 70_000, 1.8e9),
    BlobDropped("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 70_000),
)


@get("/api/blobs", opt=described(scope=scopes.TASKS_READ, errors=(404, 503)))
async def list_blobs(
    parts: Wired,
    principal: Asking,
    limit: Limit = 50,
    cursor: Cursor = None,
    user: Owner = None,
) -> Page[OwnBlob]:
    """List what one has in the object store, what was stored longest ago first."""
    owner = _whose(principal, user)
    found = await parts.desk.usage.page(owner, cursor or 0, limit + 1)
    more = found[limit - 1].seq if len(found) > limit else None
    rows = [OwnBlob(blob.sha256, blob.size, blob.at) for blob in found[:limit]]
    return Page(True, rows, next_cursor=more)


@delete(
    "/api/blobs/{sha256:str}",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, errors=(404, 409, 503)),
)
async def delete_blob(
    sha256: FromPath[str], parts: Wired, principal: Asking, user: Owner = None
) -> Envelope[BlobDropped]:
    """Delete bytes of one's own. 409 while an open task needs them, or if they are a result."""
    if not _SHA256.fullmatch(sha256):
        # It may not even be asked for: only a SHA-256 names one.
        raise Rejected(Reason.NOT_FOUND, f"there is no blob {sha256[:80]}")
    owner = _whose(principal, user)
    if task := await _needing(parts, owner, sha256):
        text = f"task {task}, which is not over, needs blob {sha256}: wait for its end or cancel it"
        raise Rejected(Reason.CONFLICT, text)
    request = BlobDrop(owner, sha256)
    gone = await parts.others.ask("results", "drop", request, BlobDropped, within_s=DROP_S)
    return ok(gone, "deleted")


def _whose(principal: Principal, user: str | None) -> str:
    """Whose blobs are meant: one's own, or for operators anybody's. Raises Rejected."""
    if user is None or user == principal.user:
        return principal.user
    if ADMIN not in principal.roles:
        raise Rejected(Reason.NOT_FOUND, "there is no such blob")
    principal.needs(scopes.ADMIN)
    return check_token(user, "user")


async def _needing(parts: Parts, user: str, sha256: str) -> str:
    """An open task that names these bytes, in its description or in an input that lies apart."""
    tasks = list(parts.desk.admission.use.open_tasks(user))
    named, apart = sha256.encode(), dict[str, Pointer]()
    for start in range(0, len(tasks), AT_ONCE):
        wanted = [subjects.created(user, task) for task in tasks[start : start + AT_ONCE]]
        for record in await parts.log.read_last(wanted, reach=parts.feed.position):
            fact = record.fact
            if isinstance(fact, TaskCreated):
                if named in record.data:
                    return fact.task
                if fact.spec.input_pointer is not None:
                    apart[fact.task] = fact.spec.input_pointer
    if len(apart) > MOST_INPUTS:
        text = f"{len(apart)} open tasks have inputs that may name blob {sha256}: wait for some"
        raise Rejected(Reason.CONFLICT, text)
    for task, pointer in apart.items():
        if await _names(parts, pointer, named):
            return task
    return ""


async def _names(parts: Parts, pointer: Pointer, named: bytes) -> bool:
    """Whether an input names these bytes; one that is gone names nothing."""
    tail = b""
    try:
        async for part in parts.desk.download(pointer):
            if named in tail + part:
                return True
            tail = part[-len(named) :]
    except BlobMissing:
        return False
    return False


ROUTES: tuple[Any, ...] = (list_blobs, delete_blob)
