"""What the gateway accepts.

Pure: no clock, no randomness, no I/O. Ids and instance names come in with the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from contracts import facts, files_from, subjects
from contracts.errors import Reason, Rejected
from contracts.facts import McpPreferred, Record, TaskCancelled, TaskCreated
from contracts.ids import check_host, check_token, is_token
from contracts.nesting import MAX_DEPTH, too_deep
from contracts.result import INLINE_LIMIT, Pointer
from contracts.status import TaskView, fold
from contracts.task import Priority, TaskRequest, TaskSpec, canonical, content_digest
from contracts.wire import Accepted

AUDITOR = "auditor"
ADMIN = "admin"
SPEC_LIMIT = 4 * 1024
"""Bytes of a task's description besides its input: the router holds it while the task waits."""
AROUND = 512
"""Bytes of a task's fact besides input and capabilities, as good as a guess has to be."""
HELD = 16
"""Bytes of memory to which a byte of JSON may come, in lists of small things."""
INVALID_TYPE = "invalid"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding somebody else's bytes raises; msgspec does not wrap the last two."""
LONGEST_NAME = 80
"""Characters of a name that is no name, as far as they are said again."""
LONGEST_MESSAGE = 1000
"""Characters of an error's message."""
_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LISTS = ("counts", "export")
"""What stands in the place of a task's id where the API tells of many tasks."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPEC_FIELDS = TaskSpec.__struct_fields__
_spec_values = attrgetter(*_SPEC_FIELDS)
EMPTY = msgspec.Raw(b"{}")


class TaskBody(TaskRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as clients send it. `priority` may also be a whole number, as in the original API."""

    priority: Priority | Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = Priority.NORMAL  # type: ignore[assignment]


class Weight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a user wants tasks to go to a host: 0 (avoid) to 1 (prefer)."""

    weight: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Origin(NamedTuple):
    """Where a request comes from: the user, by which door, and the ids its fact will carry."""

    user: str
    source: str
    fact_id: str
    by: str
    asked_by: str = ""
    """As in `task.created`, and so are the roles."""
    roles: tuple[str, ...] = ()


_body: msgspec.json.Decoder[TaskBody] = msgspec.json.Decoder(TaskBody)
_weight: msgspec.json.Decoder[Weight] = msgspec.json.Decoder(Weight)


def check_depth(data: bytes, what: str, limit: int = MAX_DEPTH) -> None:
    """Refuse what readers of the log could not decode. Raises Rejected(BAD_REQUEST)."""
    if too_deep(data, limit):
        raise Rejected(Reason.BAD_REQUEST, f"{what} is nested more than {limit} deep")


def shortened(message: str) -> str:
    """What is told of an error, which may repeat what was sent: its beginning and its end."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]} … {message[3 - half :]}"


def view(task: str, records: list[Record]) -> TaskView | None:
    """Fold all facts of a task; None: there is no such task. Raises Rejected(UNAVAILABLE) for one
    that this release can't read: it is there."""
    found = fold(records)
    if found is None and records and isinstance(fact := records[0].fact, facts.Unknown):
        raise Rejected(Reason.UNAVAILABLE, f"this release can't read task {task}: {fact.why}")
    return found


def no_task(task: str) -> Rejected:
    """The answer about a task that is not there, or somebody else's."""
    return Rejected(Reason.NOT_FOUND, f"there is no task {task[:LONGEST_NAME]}")


def no_host(host: str) -> Rejected:
    """The same of a host."""
    return Rejected(Reason.NOT_FOUND, f"there is no host {host[:LONGEST_NAME]}")


def parse_task(data: bytes) -> TaskBody:
    """Read a task sent from outside. Raises Rejected(BAD_REQUEST) that names the place."""
    check_depth(data, "not a task: it")
    try:
        return _body.decode(data)
    except UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"not a task: {error}") from None


def priority_of(value: Priority | int) -> Priority:
    """Map the original specification's integers: 0 is its default, higher is more urgent.

    8 and above (of ten), and 2 (of the scale 0, 1, 2), are high; below 0 is low; the rest normal.
    """
    if isinstance(value, Priority):
        return value
    if value >= 8 or value == 2:
        return Priority.HIGH
    return Priority.LOW if value < 0 else Priority.NORMAL


def is_small(request: TaskRequest) -> bool:
    """Whether nobody but the log is needed: the fact will hold the input in any case.

    Canonical JSON is at most four times as long as what was sent: `1e15` is.
    """
    alone = request.input_pointer is None and request.project is None
    small = len(request.input) <= INLINE_LIMIT // 4
    return alone and small and not files_from.mentioned(request.input)


def rough_size(request: TaskRequest) -> int:
    """About what the task will count among the bytes of open tasks."""
    tags = sum(len(key) + len(value) for key, value in request.tags.items())
    return weight(request, min(len(request.input), INLINE_LIMIT) + AROUND + tags)


def weight(spec: TaskSpec, size: int) -> int:
    """What an open task counts, whose fact has `size` bytes: the router holds what it wants."""
    if not spec.required_capabilities and not spec.preferred_capabilities:
        return size
    wanted = msgspec.json.encode((spec.required_capabilities, spec.preferred_capabilities))
    return size + HELD * len(wanted)


def canonical_input(raw: msgspec.Raw) -> bytes:
    """Return the task's input in canonical form. Raises Rejected unless it is a JSON object."""
    if bytes(raw) == b"{}":
        return b"{}"
    check_depth(bytes(raw), "`input`")
    try:
        value = msgspec.json.decode(raw)
    except UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"`input` can't be read: {error}") from None
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise Rejected(Reason.BAD_REQUEST, f"`input` must be a JSON object, not {kind}")
    return canonical(value)


def plain_input(raw: msgspec.Raw) -> bytes:
    """The same of an input for which no files were fetched. Raises Rejected if it asks for some."""
    input_ = canonical_input(raw)
    files_from.check_none(input_)
    return input_


def check_pointer(user: str, pointer: Pointer, raw: msgspec.Raw) -> None:
    """Refuse a pointer that is not to a blob of this user, or that stands beside an input."""
    own = f"nats://{subjects.BLOBS_BUCKET}/{user}/{pointer.sha256}"
    if not _SHA256.fullmatch(pointer.sha256) or pointer.uri != own:
        raise Rejected(
            Reason.BAD_REQUEST,
            "`input_pointer` must be exactly what PUT /api/blobs answered to this user",
        )
    if bytes(raw).strip() != b"{}":
        raise Rejected(Reason.BAD_REQUEST, "give either `input` or `input_pointer`, not both")


def admit(origin: Origin, task: str, request: TaskRequest, input_: bytes | Pointer) -> TaskCreated:
    """Return the fact that creates the task, its input being canonical JSON or a stored blob.

    Raises Rejected for ids that can't stand in a subject and for sizes over the limits.
    """
    if check_token(task, "task id") in LISTS:
        raise Rejected(Reason.BAD_ID, f"no task can be called {task}: choose another id")
    if request.host is not None:
        check_host(request.host)
    for value, what in ((request.again, "`again`"), (request.batch, "`batch`")):
        if value is not None:
            check_token(value, what)
    if isinstance(input_, bytes) and len(input_) > INLINE_LIMIT:
        raise Rejected(
            Reason.TOO_LARGE,
            f"`input` has {len(input_)} bytes; above {INLINE_LIMIT} send it with PUT /api/blobs"
            " and name it as `input_pointer`",
        )
    fields: dict[str, Any] = dict(zip(_SPEC_FIELDS, _spec_values(request), strict=True))
    fields["priority"] = priority_of(request.priority)
    fields["input"] = msgspec.Raw(input_) if isinstance(input_, bytes) else EMPTY
    fields["input_pointer"] = input_ if isinstance(input_, Pointer) else None
    spec = TaskSpec(**fields)
    _check_size(spec)
    return _created(origin, task, spec, project=request.project or "")


def _check_size(spec: TaskSpec) -> None:
    if not spec.required_capabilities and not spec.preferred_capabilities:
        return
    held = msgspec.structs.replace(spec, input=EMPTY, tags={})
    size = len(msgspec.json.encode(held))
    if size > SPEC_LIMIT:
        raise Rejected(
            Reason.TOO_LARGE,
            f"the task without its input has {size} bytes, more than {SPEC_LIMIT}:"
            " name fewer capabilities",
        )


def invalid_task(origin: Origin, task: str, data: bytes, reason: str) -> TaskCreated:
    """Return the fact for what could not be understood; the router rejects it with `reason`."""
    found = _peek(data).get("type")
    named = isinstance(found, str) and _TYPE.fullmatch(found)
    spec = TaskSpec(type=found if named else INVALID_TYPE)  # type: ignore[arg-type]
    return _created(origin, task, spec, invalid=reason[:2000])


def _created(
    origin: Origin, task: str, spec: TaskSpec, invalid: str = "", project: str = ""
) -> TaskCreated:
    return TaskCreated(
        id=origin.fact_id,
        by=origin.by,
        user=origin.user,
        task=task,
        spec=spec,
        source=origin.source,
        invalid=invalid,
        asked_by=origin.asked_by,
        roles=origin.roles,
        project=project,
    )


def id_in(data: bytes) -> str | None:
    """Return the task id in a message that is no valid task, if there is a usable one."""
    found = _peek(data).get("id")
    return found if is_token(found) else None


def _peek(data: bytes) -> Mapping[str, Any]:
    # Whether deep nesting can be decoded depends on the caller's stack: the id found must not.
    if too_deep(data):
        return {}
    try:
        value = msgspec.json.decode(data)
    except UNREADABLE:
        return {}
    return value if isinstance(value, dict) else {}


def sent_again(fact: TaskCreated, known: Record) -> Accepted:
    """Answer a task whose id is taken: the original's answer if the content is the same.

    Raises Rejected(CONFLICT) if it is not.
    """
    first = known.fact
    if (
        isinstance(first, TaskCreated)
        and first.invalid == fact.invalid
        and first.project == fact.project
        and content_digest(as_asked(first.spec)) == content_digest(as_asked(fact.spec))
    ):
        return Accepted(fact.task, known.seq, duplicate=True)
    raise other_content(fact.task)


def other_content(task: str) -> Rejected:
    """The answer about an id that another task has."""
    text = f"task {task} exists with other content: choose another id"
    return Rejected(Reason.CONFLICT, text)


def as_asked(spec: TaskSpec) -> TaskSpec:
    """The task without what the gateway has found of a repository, which may have gone on."""
    if not files_from.mentioned(spec.input):
        return spec
    asked = files_from.as_asked(bytes(spec.input))
    return msgspec.structs.replace(spec, input=msgspec.Raw(asked))


def cancel(origin: Origin, view: TaskView | None, task: str) -> TaskCancelled:
    """Return the fact that asks to cancel. Raises Rejected if there is nothing left to cancel."""
    if view is None:
        raise no_task(task)
    if view.over:
        raise Rejected(Reason.ALREADY_OVER, f"task {task} is over: {view.status}")
    return TaskCancelled(id=origin.fact_id, by=origin.by, user=origin.user, task=task)


def parse_weight(data: bytes) -> float:
    """Read a preference sent from outside. Raises Rejected(BAD_REQUEST) that shows the form."""
    try:
        return _weight.decode(data).weight
    except UNREADABLE as error:
        raise Rejected(
            Reason.BAD_REQUEST, f'not a preference like {{"weight": 0.5}}, 0 to 1: {error}'
        ) from None


def said(last: Record | None) -> McpPreferred | None:
    """What the user has said; what can't be read says nothing, and its number is taken."""
    match last.fact if last else None:
        case McpPreferred() as fact:
            return fact
        case facts.Unknown(id=id_, subject=subject):
            what = subjects.parse(subject)
            return McpPreferred(id=id_, by="", user=what.user, host=what.host, k=what.number)
        case _:
            return None


def prefer(
    origin: Origin, host: str, last: McpPreferred | None, weight: float | None, *, usable: bool
) -> McpPreferred | None:
    """Return the fact that makes `weight` hold; None if it holds already.

    `last` is what this user said about the host before. What was said can be taken back (`weight`
    None) even if the host has gone. Raises Rejected(NOT_FOUND) for a host that is not `usable`.
    """
    said = last.weight if last else None
    taken_back = weight is None and said is not None
    if not usable and not taken_back:
        raise no_host(host)
    if weight == said:
        return None
    return McpPreferred(
        id=origin.fact_id,
        by=origin.by,
        user=origin.user,
        host=host,
        k=last.k + 1 if last else 1,
        weight=weight,
    )


def without_result(data: bytes) -> bytes:
    """A fact for a token that is not for results: without them, and where they lie."""
    try:
        fact = msgspec.json.decode(data)
    except UNREADABLE:
        return data
    kept = {name: value for name, value in fact.items() if name not in ("result", "pointer")}
    return data if len(kept) == len(fact) else msgspec.json.encode(kept)
