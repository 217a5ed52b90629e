"""What is told of a running attempt while it runs, at most once and at its pace: progress, and what
the host says. Nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from contracts import subjects
from contracts.message import bounded
from contracts.said import LogMessage
from contracts.wire import Progress
from services.executor.attempt.attempt import Attempt
from services.executor.attempt.said import LogLine
from services.process import telemetry

Publish = Callable[[str, bytes], Awaitable[None]]
"""Sends on a subject, at most once."""

log = telemetry.get_logger()


class LiveNews:
    """Tells whoever follows an attempt."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def progress(
        self, attempt: Attempt, progress: float, total: float | None, message: str
    ) -> None:
        """Pass progress on at its pace."""
        if not attempt.pace.lets(time.monotonic(), progress, total):
            return
        routed = attempt.routed
        report = Progress(
            routed.user, routed.task, routed.attempt, progress, total, bounded(message)
        )
        await self._send(attempt, subjects.progress(routed.user, routed.task), report)

    async def said(self, attempt: Attempt, message: LogLine) -> None:
        """Pass a log message of the host on at its pace."""
        await self._tell(attempt, attempt.said.passed(time.monotonic(), message))

    async def rest(self, attempt: Attempt) -> None:
        """Tell how many were left out since."""
        await self._tell(attempt, attempt.said.rest())

    async def _tell(self, attempt: Attempt, messages: Iterable[LogLine]) -> None:
        routed = attempt.routed
        subject = subjects.said(routed.user, routed.task)
        for level, data, logger in messages:
            raw = msgspec.Raw(data)
            said = LogMessage(routed.user, routed.task, routed.attempt, level, raw, logger)
            await self._send(attempt, subject, said)

    async def _send(self, attempt: Attempt, subject: str, news: Progress | LogMessage) -> None:
        try:
            await self._publish(subject, msgspec.json.encode(news))
        except Exception as error:
            log.debug("news_not_sent", task=attempt.routed.task, error=repr(error))
