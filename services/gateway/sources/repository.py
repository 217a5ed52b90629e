"""Files of a repository on their way into a task: resolved once to a commit, fetched, repacked,
stored. A task that is sent again takes what its first sending has taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import IO, BinaryIO, Protocol, cast

import msgspec

from contracts import files_from
from contracts.errors import Reason, Rejected
from contracts.facts import Record, TaskCreated
from contracts.files_from import AskedFiles, FilesFrom, FilesTaken
from contracts.result import INLINE_LIMIT, Pointer
from contracts.task import TaskRequest
from services.gateway import domain
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.http.linking import refusing
from services.gateway.sources.repack import ArchiveLimits, Repacked, repack
from services.github import names
from services.github.service import GitHubService
from services.packed.apart import GoOn, apart
from services.packed.writer import MEDIA_TYPE
from services.process import telemetry

AT_ONCE = 4
"""Repositories that are fetched at once, at one gateway; more wait."""
EACH = 2
"""Of one user, with those that wait."""
TAKE_S = 600.0
"""How long one may take, waiting included."""
_PART = 256 * 1024

log = telemetry.get_logger()

GitHubOf = Callable[[str], Awaitable[GitHubService]]
"""GitHub in a user's name. Raises Rejected if no account is linked."""
LimitsOf = Callable[[], ArchiveLimits]


class TaskShelf(Protocol):
    """Where tasks and blobs are: the desk."""

    async def facts(self, user: str, task: str) -> list[Record]:
        """All facts of a task."""

    async def upload(
        self, user: str, data: AsyncIterator[bytes], media_type: str, *, operator: bool = False
    ) -> Pointer:
        """Store a blob."""


class RepositoryFiles:
    """Takes files of repositories for all users of one gateway."""

    def __init__(self, github: GitHubOf, limits: LimitsOf) -> None:
        self._github = github
        self._limits = limits
        self._places = asyncio.Semaphore(AT_ONCE)
        self._of_user: Counter[str] = Counter()

    async def into(
        self,
        shelf: TaskShelf,
        user: str,
        task: str,
        request: TaskRequest,
        *,
        operator: bool = False,
    ) -> TaskRequest | None:
        """The request with the files it asks for; None: it asks for none.

        Raises Rejected, StoreError, LogUnavailable.
        """
        if request.input_pointer is not None or not files_from.mentioned(request.input):
            return None
        input_ = domain.canonical_input(request.input)
        asked = files_from.read(input_)
        if asked is None:
            return None
        # What is wrong with the rest is said before anybody is asked.
        domain.admit(domain.Origin(user, "", "", ""), task, request, b"{}")
        known = None if request.id is None else await _known(shelf, user, task)
        if known is not None and files_from.as_asked(known) == files_from.as_asked(input_):
            return _with(request, known)
        if known is not None:
            raise domain.other_content(task)
        done = await self._take(shelf, user, asked, operator=operator)
        if len(done) > INLINE_LIMIT:
            text = f"`input` beside input.files_from may have at most {INLINE_LIMIT} bytes"
            raise Rejected(Reason.TOO_LARGE, text)
        return _with(request, done)

    async def _take(
        self, shelf: TaskShelf, user: str, asked: AskedFiles, *, operator: bool
    ) -> bytes:
        try:
            with self._place(user):
                async with asyncio.timeout(TAKE_S), self._places:
                    pointer, what = await self._fetched(shelf, user, asked.wanted, operator)
        except TimeoutError:
            text = f"{asked.wanted.repo} was not there after {TAKE_S:g} s: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        log.info("files_taken", user=user, repo=what.repo, commit=what.commit, files=what.files)
        return asked.taken(pointer, what)

    async def _fetched(
        self, shelf: TaskShelf, user: str, wanted: FilesFrom, operator: bool
    ) -> tuple[Pointer, FilesTaken]:
        with refusing():
            paths = _paths(wanted)
            github = await self._github(user)
            owner, _, name = wanted.repo.partition("/")
            commit = await github.resolve(owner, name, wanted.revision)
            with tempfile.TemporaryFile(prefix="metamcp-") as tarball:
                async for part in github.archive(owner, name, commit):
                    tarball.write(part)
                tarball.seek(0)
                with tempfile.TemporaryFile(prefix="metamcp-") as made:

                    def work(go_on: GoOn) -> Repacked:
                        source, target = cast(BinaryIO, tarball), cast(IO[bytes], made)
                        return repack(source, target, paths, self._limits(), go_on)

                    found = await apart(work)
                    made.seek(0)
                    stored = _parts(cast(IO[bytes], made))
                    pointer = await shelf.upload(user, stored, MEDIA_TYPE, operator=operator)
        what = FilesTaken(
            repo=wanted.repo,
            revision=wanted.revision,
            paths=wanted.paths,
            commit=commit,
            files=found.files,
            size=found.size,
            left_out=found.left_out,
        )
        return pointer, what

    @contextlib.contextmanager
    def _place(self, user: str) -> Iterator[None]:
        if self._of_user[user] >= EACH:
            text = f"{user} has {EACH} repositories fetched already, the most there may be at once"
            raise OverBudget(f"{text}: wait until one is there", SOON_S)
        self._of_user[user] += 1
        try:
            yield
        finally:
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]


async def _known(shelf: TaskShelf, user: str, task: str) -> bytes | None:
    """The input of a task that is there already."""
    for record in await shelf.facts(user, task):
        if isinstance(record.fact, TaskCreated):
            return bytes(record.fact.spec.input)
    return None


def _with(request: TaskRequest, input_: bytes) -> TaskRequest:
    return msgspec.structs.replace(request, input=msgspec.Raw(input_))


def _paths(wanted: FilesFrom) -> list[str]:
    """The paths, checked, without what is said twice. Raises GitHubRefused."""
    for path in wanted.paths:
        names.check_path(path, folder=True)
    return sorted({path.rstrip("/") for path in wanted.paths})


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    while part := file.read(_PART):
        yield part
