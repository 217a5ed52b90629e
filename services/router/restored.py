"""What a router knew of a log that was put back from an older backup, until the operator decides.

It is kept in a file beside the views: they are built anew from the log as it is now, which does not
know what had ended since. What is open again is worked out from both, as often as it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec

from contracts import subjects
from contracts.facts import Failure, JobDone, Outcome
from contracts.restored import AfterRestore, KnownBefore, Restored, RestoredTask
from services.log.port import AlreadyRecorded, Append, Log, LogUnavailable
from services.process import telemetry
from services.process.files import private_folder, write_private
from services.process.ids import new_id
from services.process.troubles import ProcessTroubles
from services.router.state import OpenTask, Phase, State

FOLDER = "restored"
KIND = "restored"
LISTED = 1000
"""Tasks that an answer names."""
AT_ONCE = 256
"""Tasks that are ended at once."""
MOST_PASTS = 8
"""Restored logs that one decision may be about."""
HINT = "See `metamcp restored`; then `metamcp restored go-on` or `metamcp restored end`."
UNKNOWN = Failure(
    "outcome_unknown",
    "the log was put back from a backup that does not have how the task went on: whether the work"
    " was done is not known",
)

Fold = Callable[[int], Awaitable[None]]
"""Returns once the state has folded the log through a sequence."""

log = telemetry.get_logger()


class Before(msgspec.Struct, frozen=True):
    """What was known of the log as it was."""

    seq: int
    """Through which it was known …"""
    at: float
    """… and log time there: whatever is newer belongs to the log as it is now."""
    claimed: dict[str, int]
    """Tasks that were open, and how many attempts of each had been claimed."""


class KeptPasts(msgspec.Struct, frozen=True):
    """The file: a decision is about all of it."""

    pasts: tuple[Before, ...]
    decision: AfterRestore | None = None


def claimed(task: OpenTask) -> int:
    """How many attempts of the task were claimed, or ended without."""
    return task.attempt - (task.phase is Phase.ROUTED)


def before(state: State) -> Before:
    """What this state knows of its log."""
    open_ = {key: claimed(task) for key, task in state.tasks.items()}
    return Before(state.seq, state.at, open_)


def again(state: State, past: Before) -> Iterator[tuple[str, KnownBefore]]:
    """Name the open tasks of which `past` knew more. Pure."""
    for key, task in state.tasks.items():
        if task.seq > past.seq or task.at > past.at:
            continue
        if (attempts := past.claimed.get(key)) is None:
            yield key, KnownBefore.ENDED
        elif attempts > claimed(task):
            yield key, KnownBefore.BEGUN


class OpenAgain:
    """The decision that stands, in a file of this router."""

    def __init__(self, path: Path, troubles: ProcessTroubles) -> None:
        """Raises OSError and DecodeError: without what it says the router must not go on."""
        self._path = path
        self._troubles = troubles
        self._kept: KeptPasts | None = None
        if path.exists():
            self._kept = msgspec.json.decode(path.read_bytes(), type=KeptPasts)

    def remember(self, state: State) -> None:
        """The log turned out to be another one than that of this state. Raises OSError."""
        if not state.seq:
            return
        pasts = self._kept.pasts if self._kept is not None else ()
        self._write(KeptPasts((*pasts, before(state))[-MOST_PASTS:]))
        log.warning("log_restored", known_through=state.seq, open=len(state.tasks))

    def look(self, state: State) -> dict[str, KnownBefore]:
        """What is open again; once there is nothing any more, nothing is remembered either."""
        found: dict[str, KnownBefore] = {}
        for past in self._kept.pasts if self._kept is not None else ():
            found |= dict(again(state, past))
        if self._kept is not None and not found:
            self._forget()
        if found and self._waits:
            ended = sum(known is KnownBefore.ENDED for known in found.values())
            text = (
                f"the log is older than what was known: {ended:,} tasks that had ended are open"
                f" again, {len(found) - ended:,} others had got further; it stands by"
            )
            self._troubles.tell(KIND, text, HINT)
        else:
            self._troubles.over(KIND)
        return found

    def waits(self, state: State) -> bool:
        """Whether the operator has to decide before this router does."""
        return bool(self.look(state)) and self._waits

    def to_end(self, state: State) -> list[OpenTask]:
        """The tasks that the operator wants ended."""
        if self._kept is None or self._kept.decision is not AfterRestore.END:
            return []
        return [state.tasks[key] for key in self.look(state)]

    async def end(self, log_: Log, state: State, by: str, folded: Fold) -> bool:
        """End what is to be ended; False if the log does not answer. Job heads guard it, as there
        is no term yet."""
        try:
            while tasks := self.to_end(state)[:AT_ONCE]:
                stored = await log_.append_all([unknown(task, new_id(), by) for task in tasks])
                await folded(max(_seq(one) for one in stored))
        except LogUnavailable as error:
            log.warning("restored_tasks_not_ended_yet", error=str(error))
            return False
        return True

    def decide(self, decision: AfterRestore) -> None:
        """Take the operator's word. Raises OSError."""
        if self._kept is None:
            return
        log.warning("restored_log_decided", decision=decision)
        if decision is AfterRestore.GO_ON:
            self._forget()
        else:
            self._write(KeptPasts(self._kept.pasts, decision))

    def answer(self, state: State) -> Restored:
        """Show what there is, the oldest first."""
        found = self.look(state)
        tasks = [(state.tasks[key], known) for key, known in found.items()]
        tasks.sort(key=lambda one: one[0].seq)
        ended = sum(known is KnownBefore.ENDED for known in found.values())
        shown = tuple(
            RestoredTask(task.user, task.task, task.need.type, task.seq, task.at, known)
            for task, known in tasks[:LISTED]
        )
        return Restored(bool(found) and self._waits, ended, len(found) - ended, shown)

    @property
    def _waits(self) -> bool:
        return self._kept is not None and self._kept.decision is None

    def _write(self, kept: KeptPasts) -> None:
        private_folder(self._path.parent)
        write_private(self._path, msgspec.json.encode(kept))
        self._kept = kept

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self._kept = None
        self._troubles.over(KIND)


def unknown(task: OpenTask, id_: str, by: str) -> Append:
    """The end of a task that the operator does not want run again."""
    end = JobDone(
        id=id_,
        by=by,
        user=task.user,
        task=task.task,
        outcome=Outcome.FAILED,
        attempt=task.attempt,
        host=task.host,
        input_sha256=task.digest,
        error=UNKNOWN,
    )
    return Append(end, subjects.job_head(task.user, task.task, task.head), task.trace)


def _seq(stored: int | AlreadyRecorded) -> int:
    """Sequence of the fact, or of what has moved its guard on."""
    if isinstance(stored, int):
        return stored
    return stored.record.seq if stored.record else 0
