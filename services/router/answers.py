"""Results that may be given again in place of work: an index over the log, oldest first.

Pure. It is bounded, and whatever it has lost is work once more.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.result import Inline, Pointer, Result

MOST_ANSWERS = 20_000
"""Results remembered to be given again, over all hosts."""
MOST_ANSWER_BYTES = 32 * 1024 * 1024
"""Bytes of those of them that stand in the log itself."""


class PastAnswer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A result of work, and whose it is."""

    key: str
    """See `contracts.cached.question`."""
    user: str
    task: str
    seq: int
    """Sequence of its `job.done`, and log time of that."""
    at: float
    until: float
    """Log time at which it may be forgotten."""
    host: str
    result: Result
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, but for what all take."""
        return self.result.size if isinstance(self.result, Inline) else 0


class Answers:
    """By what was asked, the newest answer. Each change returns the keys that it is about."""

    def __init__(self) -> None:
        self._by_key: dict[str, PastAnswer] = {}
        self._by_task: dict[tuple[str, str], str] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[PastAnswer]:
        return iter(self._by_key.values())

    def get(self, key: str) -> PastAnswer | None:
        """What was answered."""
        return self._by_key.get(key)

    def put(self, answer: PastAnswer) -> set[str]:
        """Remember it as the newest of all; what is too old or too much goes."""
        gone = {answer.key} | self._drop(answer.key)
        self._by_key[answer.key] = answer
        self._by_task[answer.user, answer.task] = answer.key
        self._size += answer.size
        while (first := next(iter(self))) is not answer and self._goes(first, answer.at):
            gone |= self._drop(first.key)
        return gone

    def forget(self, user: str, task: str) -> set[str]:
        """The task's result is gone."""
        return self._drop(self._by_task.get((user, task), ""))

    def moved(self, user: str, task: str, pointer: Pointer) -> set[str]:
        """The bytes of the task's result lie elsewhere now."""
        key = self._by_task.get((user, task), "")
        known = self._by_key.get(key)
        if known is None or isinstance(known.result, Inline):
            return set()
        self._by_key[key] = msgspec.structs.replace(known, result=pointer)
        return {key}

    def _goes(self, first: PastAnswer, now: float) -> bool:
        full = len(self) > MOST_ANSWERS or self._size > MOST_ANSWER_BYTES
        return full or first.until < now

    def _drop(self, key: str) -> set[str]:
        known = self._by_key.pop(key, None)
        if known is None:
            return set()
        del self._by_task[known.user, known.task]
        self._size -= known.size
        return {key}
