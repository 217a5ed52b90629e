"""Log messages of hosts, for whoever listens to a task; they may be lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from contracts.said import LogMessage

_said: msgspec.json.Decoder[LogMessage] = msgspec.json.Decoder(LogMessage)

Hear = Callable[[LogMessage], None]
"""Takes a message without waiting."""


class SaidFeed:
    """Who listens to which task."""

    def __init__(self) -> None:
        self._hearers: dict[tuple[str, str], list[Hear]] = {}

    @contextlib.contextmanager
    def heard(self, user: str, task: str, hear: Hear) -> Iterator[None]:
        """Pass the messages about a task on."""
        hearers = self._hearers.setdefault((user, task), [])
        hearers.append(hear)
        try:
            yield
        finally:
            hearers.remove(hear)
            if not hearers:
                del self._hearers[user, task]

    def tell(self, user: str, task: str, data: bytes) -> None:
        """Pass a message on, to whom there is."""
        if hearers := self._hearers.get((user, task)):
            said = _said.decode(data)
            for hear in hearers:
                hear(said)
