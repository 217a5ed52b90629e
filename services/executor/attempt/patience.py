"""Asks the log or the object store again while it is away; the attempt's limit ends that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.executor.attempt.course import Course
from services.log.port import LogUnavailable
from services.process import backoff, telemetry
from services.store.blobs import StoreError, StoreRefused

RETRY_S = (0.1, 2.0)

T = TypeVar("T")

log = telemetry.get_logger()


async def patiently(course: Course, what: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` gets, sooner or later; `what` says in the attempt's course what it lacks.

    Raises StoreRefused, because asking again would not help, and whatever else `ask` does.
    """
    course.lacks = what
    failures = 0
    while True:
        try:
            found = await ask()
        except StoreRefused as error:
            log.warning("asked_in_vain", what=what, error=str(error))
            course.lacks = f"{what}: the store refuses it"
            raise
        except (StoreError, LogUnavailable) as error:
            course.lacks = f"{what}: the store or the log does not answer"
            log.warning("asked_in_vain", what=what, error=str(error))
            failures += 1
            await asyncio.sleep(backoff.delay(failures, *RETRY_S, random.random()))
        else:
            course.lacks = ""
            return found
