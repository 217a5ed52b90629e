"""Names on NATS that are not subjects of the log: users, inboxes, the intake, the API's prefix."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

JS_API = "$JS.API"
REPLAYS = 4
"""Instances of one service that may be reading the whole log at the same time."""


class Credentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """User name and password of one NATS user."""

    user: str
    password: str
    api: str = JS_API
    """Prefix of the JetStream API's subjects for this user."""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=…)"


def inbox_prefix(user: str) -> str:
    """The only subjects under which this user of ours may receive answers."""
    return f"_INBOX_{user}"


def replay_consumers(user: str) -> tuple[str, ...]:
    """Names of the consumers by which this user of ours may read the whole log, one by each of its
    instances that begins far behind at the same time."""
    return tuple(f"replay_{user}_{n}" for n in range(REPLAYS))


def submit_subject(user: str, publisher: str) -> str:
    """Where requests of an outside publisher on `metamcp.tasks.submit` reach the gateway."""
    return f"submit.{user}.{publisher}"


def intake_subject(user: str, publisher: str) -> str:
    """Where an outside publisher's plain `task.created` is captured."""
    return f"intake.{user}.created.{publisher}"


class Sender(NamedTuple):
    """Whose a message from outside is, and which publisher has sent it."""

    user: str
    publisher: str


def sender(subject: str) -> Sender:
    """Read one of the two subjects above; before release 0.5 a publisher was called as its user."""
    tokens = subject.split(".")
    named = 3 if tokens[0] == "submit" else 4
    return Sender(tokens[1], tokens[-1] if len(tokens) == named else tokens[1])


def intake_error_subject(user: str) -> str:
    """Where the gateway tells a publisher what it could not accept; it sees `intake.error`."""
    return f"live.intake.error.{user}"
