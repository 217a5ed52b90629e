"""Ids: which strings may stand in a subject, and how an id is derived from a position.

User, task, host and key ids are single NATS subject tokens; they are checked at every border.
"""

from __future__ import annotations

import re
import uuid

from contracts.errors import Reason, Rejected

MAX_TOKEN = 64
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INTAKE_NAMESPACE = uuid.UUID("6b0b5b52-6f3f-5a86-9d51-6d6574616d63")


def is_token(text: object) -> bool:
    """Tell whether `text` is a string of 1 to 64 characters from A-Z a-z 0-9 _ and -."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def check_token(text: object, what: str) -> str:
    """Return `text`, or raise `Rejected(BAD_ID)` that names `what` and the rule."""
    if isinstance(text, str) and _TOKEN.fullmatch(text):
        return text
    shown = repr(text)[:80]
    raise Rejected(
        Reason.BAD_ID,
        f"{what} {shown} is not allowed: use 1 to 64 of the characters A-Z a-z 0-9 _ -",
    )


def intake_task_id(epoch: str, sequence: int) -> str:
    """Name the task of an outside message that brought no id (UUIDv5).

    The same message in the same intake stream (`epoch` is its creation time) always gets the
    same id, so a crash between append and acknowledgement doubles nothing.
    """
    return str(uuid.uuid5(_INTAKE_NAMESPACE, f"{epoch}/{sequence}"))
