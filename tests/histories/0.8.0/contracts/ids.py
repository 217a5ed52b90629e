"""Ids: which strings may stand in a subject, and how an id is derived from a position.

User, task and key ids are single NATS subject tokens, a host's id is one or two of them; they are
checked at every border.
"""

from __future__ import annotations

import re
import uuid

from contracts.errors import Reason, Rejected

MAX_TOKEN = 64
OPERATOR = "-"
"""Stands in a subject where a host's owner would: it is the operator's. No user is called so."""
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


def is_user(text: object) -> bool:
    """Tell whether `text` may be a user's id: any token but the operator's."""
    return is_token(text) and text != OPERATOR


def check_user(text: object, what: str = "user") -> str:
    """Return `text`, or raise `Rejected(BAD_ID)` that names `what` and the rule."""
    user = check_token(text, what)
    if user == OPERATOR:
        raise Rejected(Reason.BAD_ID, f"{what} '{OPERATOR}' is not allowed: it means the operator")
    return user


def host_id(owner: str | None, name: str) -> str:
    """A host's id: `name` for the operator's (`owner` is None or `-`), else `owner/name`."""
    return name if owner in (None, OPERATOR) else f"{owner}/{name}"


def split_host(host: str) -> tuple[str, str]:
    """The two subject tokens of a host's id: owner (`-` for the operator's) and name."""
    owner, slash, name = host.partition("/")
    return (owner, name) if slash else (OPERATOR, host)


def is_host(text: object) -> bool:
    """Tell whether `text` is a host's id in its one form: `name`, or `owner/name`."""
    if not isinstance(text, str):
        return False
    owner, slash, name = text.partition("/")
    return is_user(owner) and is_token(name) if slash else is_token(text)


def check_host(text: object, what: str = "host") -> str:
    """Return `text`, or raise `Rejected(BAD_ID)` that names `what` and the rule."""
    if isinstance(text, str) and is_host(text):
        return text
    raise Rejected(
        Reason.BAD_ID,
        f"{what} {repr(text)[:160]} is not allowed: use a name, or OWNER/NAME, each 1 to 64 of the"
        " characters A-Z a-z 0-9 _ -",
    )


def intake_task_id(epoch: str, sequence: int) -> str:
    """Name the task of an outside message that brought no id (UUIDv5).

    The same message in the same intake stream (`epoch` is its creation time) always gets the
    same id, so a crash between append and acknowledgement doubles nothing.
    """
    return str(uuid.uuid5(_INTAKE_NAMESPACE, f"{epoch}/{sequence}"))
