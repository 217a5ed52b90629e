"""Batches: tasks that are sent together, each accepted or refused by itself.

Their ids are derived from the batch's and the line's number, so the same batch sent again adds what
is missing and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.operation import MOST_TASKS, check_short, derived
from contracts.tags import MOST_TAGS
from contracts.task import TaskRequest
from contracts.wire import Accepted
from services.gateway import domain
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.actor import Desk, Submitted, Unanswered
from services.gateway.bulk import tables
from services.gateway.bulk.lines import MOST_LINE
from services.gateway.bulk.views import BatchAccepted, LineRefused
from services.gateway.stream.waits import TABLES_WAIT_S
from services.log.port import Log
from services.log.projection import Projection
from services.process.ids import new_id

CHUNK = 500
"""Tasks that are stored together."""
CHUNKS_AT_ONCE = 4
"""Of one batch."""
TRIES = 3
"""How often a task is sent that the log has not answered for."""
ALONE_AT_ONCE = 64
"""Tasks of one chunk at once that need more than the log: a project, a big input, files."""
MOST_REFUSED = 100
"""Refusals that are told one by one."""
MOST_OF_USER = 2
"""Batches that one user sends at once to one gateway."""
MOST_AT_ONCE = 8
"""Batches that one gateway takes at once."""

Line = tuple[int, bytes | None]


class NewBatch(NamedTuple):
    """What all tasks of a batch have in common."""

    id: str
    project: str | None
    tags: dict[str, str]


def named(id_: str | None, project: str | None, tags: dict[str, str]) -> NewBatch:
    """A batch with its id, one of ours if none is given. Raises Rejected(BAD_ID)."""
    what = "batch id"
    return NewBatch(check_short(check_token(id_ or new_id(), what), what), project, tags)


def request_of(batch: NewBatch, number: int, data: bytes | None) -> TaskRequest:
    """The task of one line. Pure. Raises Rejected."""
    if number > MOST_TASKS:
        text = f"a batch has at most {MOST_TASKS} tasks: send the rest as another"
        raise Rejected(Reason.TOO_LARGE, text)
    if data is None:
        text = f"a task of a batch has at most {MOST_LINE} bytes: send inputs with PUT /api/blobs"
        raise Rejected(Reason.TOO_LARGE, text)
    given = domain.parse_task(data)
    if given.id is not None or given.batch is not None:
        text = "a task of a batch has no `id` and no `batch` of its own: leave them out"
        raise Rejected(Reason.BAD_REQUEST, text)
    tags = batch.tags | given.tags
    if len(tags) > MOST_TAGS:
        text = f"with those of the batch it has {len(tags)} tags, more than {MOST_TAGS}"
        raise Rejected(Reason.BAD_REQUEST, text)
    id_, project = derived(batch.id, number), given.project or batch.project
    own = {"id": id_, "batch": batch.id, "tags": tags, "project": project}
    return msgspec.structs.replace(given, **own)


class Tally:
    """What has become of the lines so far."""

    def __init__(self, batch: str) -> None:
        self._batch = batch
        self._accepted = self._duplicates = self._count = 0
        self._refused: list[LineRefused] = []

    def accepted(self, sent: Accepted) -> None:
        """A task is on disk, now or since before."""
        self._duplicates += sent.duplicate
        self._accepted += not sent.duplicate

    def refused(self, number: int, why: Rejected) -> None:
        """A line has come to nothing. Lines come in any order; the first of them are told."""
        self._count += 1
        self._refused.append(LineRefused(number, str(why.reason), domain.shortened(why.message)))
        if len(self._refused) > 2 * MOST_REFUSED:
            self._keep_first()

    @property
    def lines(self) -> int:
        """How many there were."""
        return self._accepted + self._duplicates + self._count

    def told(self) -> BatchAccepted:
        """The answer."""
        self._keep_first()
        counts = (self._accepted, self._duplicates, self._count)
        return BatchAccepted(self._batch, *counts, refused=self._refused)

    def _keep_first(self) -> None:
        self._refused = sorted(self._refused, key=lambda one: one.line)[:MOST_REFUSED]


class Batches:
    """Takes batches for all users of one gateway."""

    def __init__(self, desk: Desk, log: Log, projection: Projection) -> None:
        self._desk, self._log, self._projection = desk, log, projection
        self._users: Counter[str] = Counter()

    async def take(
        self, who: Principal, batch: NewBatch, lines: AsyncIterator[Line]
    ) -> BatchAccepted:
        """Store the tasks of a batch as they come; those that are stored stay so, whatever follows.

        Raises OverBudget, Rejected.
        """
        tally, places = Tally(batch.id), asyncio.Semaphore(CHUNKS_AT_ONCE)
        with self._place(who):
            first, _ = await tables.batch_of(self._projection, who.user, batch.id)
            running: list[asyncio.Task[None]] = []
            try:
                async for chunk in _chunks(lines):
                    await places.acquire()
                    work = asyncio.create_task(
                        self._store(who, batch, chunk, tally, known=first is not None)
                    )
                    work.add_done_callback(lambda _: places.release())
                    running.append(work)
            finally:
                # Also of a body that breaks off, what was whole is taken.
                failed = await asyncio.gather(*running, return_exceptions=True)
            for error in failed:
                if error is not None:
                    raise error
        if not tally.lines:
            raise Rejected(Reason.BAD_REQUEST, "the batch has no task: send one on each line")
        return tally.told()

    async def _store(
        self, who: Principal, batch: NewBatch, chunk: Sequence[Line], tally: Tally, *, known: bool
    ) -> None:
        """`known`: some of it is there already, as far as the tables say."""
        small: dict[int, TaskRequest] = {}
        alone: dict[int, TaskRequest] = {}
        for number, data in chunk:
            try:
                request = request_of(batch, number, data)
            except Rejected as why:
                tally.refused(number, why)
            else:
                (small if domain.is_small(request) else alone)[number] = request
        if known:
            await self._before(who, small, tally)
        for left in reversed(range(TRIES)):
            sent = await self._desk.submit_small(who, list(small.values()), "api")
            outcomes = dict(zip(small, sent, strict=True))
            # Whether those were stored is not known: to send them again is safe.
            again = {n for n, one in outcomes.items() if left and isinstance(one, Unanswered)}
            for number, outcome in outcomes.items():
                if number not in again:
                    _count(tally, number, outcome)
            small = {number: one for number, one in small.items() if number in again}
            if not small:
                break
        places = asyncio.Semaphore(ALONE_AT_ONCE)

        async def submit(number: int, request: TaskRequest) -> None:
            async with places:
                try:
                    _count(tally, number, await self._desk.submit(who, request, "api"))
                except Rejected as why:
                    tally.refused(number, why)

        await asyncio.gather(*(submit(*one) for one in alone.items()))

    async def _before(self, who: Principal, small: dict[int, TaskRequest], tally: Tally) -> None:
        """Take out of a chunk what is in the log already: that needs no place among open tasks,
        which those that are over have left."""
        numbers = {str(request.id): number for number, request in small.items()}
        there = await tables.ends(self._projection, who.user, list(numbers))
        wanted = [subjects.created(who.user, task) for task in there]
        for record in await self._log.read_last(wanted) if wanted else ():
            number = numbers[subjects.parse(record.subject).task]
            request = small.pop(number)
            try:
                input_ = domain.plain_input(request.input)
                origin = self._desk.origin(who, "api")
                fact = domain.admit(origin, str(request.id), request, input_)
                tally.accepted(domain.sent_again(fact, record))
            except Rejected as why:
                tally.refused(number, why)

    @contextlib.contextmanager
    def _place(self, who: Principal) -> Iterator[None]:
        user = who.user
        if self._users[user] >= MOST_OF_USER or self._users.total() >= MOST_AT_ONCE:
            text = f"too many batches are being sent, {self._users[user]} of them by {user}"
            raise OverBudget(f"{text}: wait until one is done", SOON_S)
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1
            if not self._users[user]:
                del self._users[user]


async def _chunks(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    """Several lines at a time, without those that are blank."""
    chunk: list[Line] = []
    async for number, data in lines:
        if data is not None and not data.strip():
            continue
        chunk.append((number, data))
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _count(tally: Tally, number: int, outcome: Submitted | Exception) -> None:
    """Note what has become of a line. Raises what is no refusal."""
    if isinstance(outcome, Submitted):
        tally.accepted(outcome.accepted)
    elif isinstance(outcome, Rejected):
        tally.refused(number, outcome)
    else:
        raise outcome


async def batch_of(
    projection: Projection, user: str, batch: str, at: int
) -> tuple[int | None, list[str]]:
    """What the tables say of a batch, as of a sequence of the log. Raises ViewError, ViewUnfit."""
    await projection.shows(at, TABLES_WAIT_S)
    return await tables.batch_of(projection, user, batch)
