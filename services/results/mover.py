"""Moves big results to their users' Hugging Face Datasets: one commit for many, each content once.

What is to move stands in the tables, so a crash loses nothing; what has arrived is not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections import OrderedDict
from pathlib import Path

import msgspec
import structlog
from prometheus_client import Counter

from contracts import subjects
from contracts.account import Account, Provider
from contracts.errors import Reason, Rejected
from contracts.facts import ResultStored
from contracts.result import Pointer, sha256_hex
from services.huggingface.datasets import Datasets
from services.huggingface.hub import HubBusy, HubDenied, HubError, HubMissing
from services.keys.accounts import Accounts
from services.keys.vault import VaultError
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.log.projection import Projection
from services.process.backoff import delay
from services.process.ids import new_id
from services.results import domain
from services.results import projection as view
from services.results.dataset_task import described
from services.results.domain import InDataset, Move
from services.results.settings import Settings
from services.results.sources import InStore, written
from services.store.blobs import StoreError

USERS_AT_ONCE = 4
MOST_USERS = 1000
"""Users whose results are looked at in one round, and whose trouble is remembered."""
MOST_LOST = 10_000
"""Results whose bytes are gone, and that are not looked for again by this process."""
LINGER_S = 0.5
"""Results that come within so long share a commit."""
LOOK_S = 30.0
"""Users without an account, and what a crash left, are looked at so often."""
FIRST_S, LONGEST_S = 1.0, 60.0
DENIED_S = 3600.0
REACHED_S = 10.0
MOVED = Counter("metamcp_results_moved", "Results that were moved to a Dataset.")
MOVED_BYTES = Counter("metamcp_results_moved_bytes", "Bytes of them.")
MOVE_ERRORS = Counter("metamcp_results_move_errors", "Moves that have to be tried again.", ["kind"])

log = structlog.get_logger()


class _Trouble(msgspec.Struct):
    """Why a user's results do not move now."""

    until: float
    times: int
    """In a row."""
    token: str
    """Digest of the token that was refused; another one is tried at once."""


class Mover:
    """`run` it; `wake` it when there may be something to move."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        store: InStore,
        datasets: Datasets,
        accounts: Accounts,
        settings: Settings,
        by: str,
        folder: Path,
    ) -> None:
        """`folder`: where results lie while they are on their way; emptied at the start."""
        self._log = log_
        self._projection = projection
        self._store = store
        self._datasets = datasets
        self._accounts = accounts
        self._settings = settings
        self._by = by
        self._folder = folder
        self._some = asyncio.Event()
        self._places = asyncio.Semaphore(USERS_AT_ONCE)
        self._trouble: OrderedDict[str, _Trouble] = OrderedDict()
        self._made: set[str] = set()
        self._lost: set[tuple[str, str]] = set()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def wake(self) -> None:
        """Look soon."""
        self._some.set()

    async def run(self) -> None:
        """Move what is to move, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._some.wait()
            await asyncio.sleep(LINGER_S)
            self._some.clear()
            try:
                users = await view.waiting_users(self._projection, MOST_USERS)
            except Rejected as error:
                log.warning("moves_not_read", error=error.message)
                continue
            await asyncio.gather(*(self._user(user) for user in users))

    def _rest_s(self) -> float:
        now = time.monotonic()
        rests = (trouble.until - now for trouble in self._trouble.values())
        return max(0.0, min([LOOK_S, *rests]))

    async def _user(self, user: str) -> None:
        """Move what one user has, until nothing is left or something is in the way."""
        async with self._places:
            token = ""
            try:
                opened = await self._accounts.open(user, Provider.HUGGINGFACE)
                if opened is None:
                    return
                account, token = opened
                if self._resting(user, token):
                    return
                while await self._part(user, account, token):
                    self._trouble.pop(user, None)
            except HubDenied as error:
                self._rest(user, token, DENIED_S, error)
            except (HubError, StoreError, VaultError, LogUnavailable, Rejected) as error:
                self._rest(user, token, None, error)

    async def _part(self, user: str, account: Account, token: str) -> bool:
        """Move some of what one user has; False if there is nothing."""
        most = self._settings.commit_results + len(self._lost)
        rows = await view.waiting(self._projection, user, account.linked_at, most)
        rows = [move for move in rows if (move.user, move.task) not in self._lost]
        moves = list(domain.batch(rows, self._settings.commit_results, self._settings.commit_bytes))
        if not moves:
            return False
        repo = f"{account.name}/{self._settings.dataset}"
        if repo not in self._made:
            await self._datasets.ensure(token, repo)
            if len(self._made) >= MOST_USERS:
                self._made.clear()
            self._made.add(repo)
        folder = self._folder / user
        folder.mkdir(exist_ok=True, mode=0o700)
        try:
            files, there = await self._gathered(moves, folder)
            if there:
                message = f"{len(there)} results"
                revision = await self._datasets.commit(token, repo, files, message)
                await self._record(there, repo, revision)
        except HubMissing:
            # Its owner has removed the Dataset, or renamed it: the next try makes it anew.
            self._made.discard(repo)
            raise
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return True

    async def _gathered(
        self, moves: list[Move], folder: Path
    ) -> tuple[dict[str, Path | bytes], list[Move]]:
        files: dict[str, Path | bytes] = {}
        there: list[Move] = []
        for move in moves:
            path = domain.path_of(move.pointer)
            if path not in files:
                try:
                    parts = self._store.parts(move.pointer)
                    files[path] = await written(parts, folder / move.pointer.sha256)
                except Rejected as gone:
                    if gone.reason not in (Reason.NOT_FOUND, Reason.DIGEST_MISMATCH):
                        raise
                    if len(self._lost) >= MOST_LOST:
                        self._lost.clear()
                    self._lost.add((move.user, move.task))
                    log.warning("result_not_moved", task=move.task, error=gone.message)
                    continue
            created = await self._log.last(subjects.created(move.user, move.task))
            text = msgspec.json.encode(described(move, created))
            files[domain.task_path(move.task)] = msgspec.json.format(text) + b"\n"
            there.append(move)
        return files, there

    async def _record(self, moves: list[Move], repo: str, revision: str) -> None:
        last = 0
        for move in moves:
            was = move.pointer
            uri = InDataset(repo, revision, domain.path_of(was)).uri
            pointer = Pointer(uri, was.sha256, was.size, was.media_type)
            fact = ResultStored(
                id=new_id(), by=self._by, user=move.user, task=move.task, pointer=pointer
            )
            try:
                last = await self._log.append(fact)
            except AlreadyRecorded as known:
                last = known.record.seq if known.record else last
            MOVED.inc()
            MOVED_BYTES.inc(was.size)
        log.info("results_moved", dataset=repo, count=len(moves), revision=revision)
        await self._projection.reached(last, REACHED_S)

    def _resting(self, user: str, token: str) -> bool:
        trouble = self._trouble.get(user)
        if trouble is None or trouble.token != sha256_hex(token.encode()):
            return False
        return time.monotonic() < trouble.until

    def _rest(self, user: str, token: str, pause_s: float | None, error: Exception) -> None:
        before = self._trouble.pop(user, None)
        times = before.times + 1 if before else 1
        own = delay(times, FIRST_S, LONGEST_S, random.random())
        asked = error.retry_after_s if isinstance(error, HubBusy) else None
        wait = pause_s if pause_s is not None else max(own, asked or 0.0)
        until = time.monotonic() + wait
        self._trouble[user] = _Trouble(until, times, sha256_hex(token.encode()))
        if len(self._trouble) > MOST_USERS:
            self._trouble.popitem(last=False)
        MOVE_ERRORS.labels(type(error).__name__).inc()
        log.warning("results_not_moved_yet", user=user, again_s=round(wait, 1), error=str(error))
