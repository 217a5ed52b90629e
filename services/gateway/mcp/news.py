"""The progress of a task and what its host says, as a call passes it on."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import msgspec

from contracts import wire
from contracts.said import LogLevel, LogMessage, reaches
from services.gateway.stream import frames

MOST_KEPT = 64
"""Reports that may wait to be passed on; the oldest are out of date."""
MOST_SAID = 256
"""Log messages of the host that may wait; the newest are left out."""
LEAST = 1e-9
"""What progress rises by where the host's own does not: by the protocol it has to."""

_progress = msgspec.json.Decoder(wire.ProgressFrame)


class _Place(msgspec.Struct):
    seq: int


class _Facts(msgspec.Struct):
    events: list[_Place]


_facts = msgspec.json.Decoder(_Facts)


def seq_of(frame: bytes) -> int:
    """How far the log has got with a frame of facts."""
    return _facts.decode(frames.payload(frame)).events[-1].seq


class News:
    """Takes the progress of a task, its questions, and log messages of its host, as a reader of the
    feed."""

    def __init__(self, level: LogLevel | None = None) -> None:
        """`level`: from which on log messages are wanted; None: none are."""
        self.some = asyncio.Event()
        self.asked = 0
        """Sequence of the latest fact about questions; 0: there was none yet."""
        self.level = level
        self._said: list[LogMessage] = []
        self._left_out = 0
        self._waiting: deque[wire.ProgressFrame] = deque(maxlen=MOST_KEPT)

    def offer(self, frame: bytes) -> None:
        """Note that something is asked now, or is not any more."""
        self.asked = seq_of(frame)
        self.some.set()

    def offer_if_idle(self, frame: bytes) -> None:
        """Keep it until it is passed on."""
        self._waiting.append(_progress.decode(frames.payload(frame)))
        self.some.set()

    async def wait(self, other: asyncio.Future[int], wait_s: float) -> None:
        """Wait for something new, or something else; not longer than that."""
        some = asyncio.ensure_future(self.some.wait())
        try:
            await asyncio.wait((some, other), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            some.cancel()

    def hear(self, said: LogMessage) -> None:
        """Keep a log message until it is passed on."""
        if self.level is None or not reaches(said.level, self.level):
            return
        if len(self._said) < MOST_SAID:
            self._said.append(said)
        else:
            self._left_out += 1
        self.some.set()

    def take(self) -> list[wire.ProgressFrame]:
        """What has not been passed on yet of progress."""
        found = list(self._waiting)
        self._waiting.clear()
        self.some.clear()
        return found

    def take_said(self) -> list[LogMessage]:
        """What has not been passed on yet of the log messages."""
        found, self._said = self._said, []
        if self._left_out and found:
            text = f"log messages of the host that were left out here: {self._left_out}"
            raw = msgspec.Raw(msgspec.json.encode(text))
            found.append(LogMessage(*_of(found[-1]), "warning", raw, "metamcp"))
            self._left_out = 0
        return found


def _of(said: LogMessage) -> tuple[str, str, int]:
    return said.user, said.task, said.attempt


class ProgressStep(NamedTuple):
    """Progress as a client is told it."""

    progress: float
    total: float | None
    message: str | None


class Rising:
    """Progress that always rises, whatever a host says, and of a host that says nothing."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._total: float | None = None

    def step(self, said: wire.ProgressFrame) -> ProgressStep:
        """What somebody has said: the host, or (attempt 0) we, who wait for one."""
        if not said.attempt:
            return self.sign(said.message)
        if self._last is None or said.progress > self._last:
            self._last = said.progress
        else:
            self._rise()
        self._total = said.total
        return ProgressStep(self._last, said.total, said.message or None)

    def sign(self, message: str) -> ProgressStep:
        """A sign of life."""
        self._rise()
        assert self._last is not None
        return ProgressStep(self._last, self._total, message)

    def _rise(self) -> None:
        last = self._last or 0.0
        self._last = last + LEAST * max(1.0, abs(last))
