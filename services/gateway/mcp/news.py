"""The progress of a task, as a call passes it on."""

from __future__ import annotations

import asyncio

import msgspec

from contracts import wire
from services.gateway.stream import frames

_progress = msgspec.json.Decoder(wire.ProgressFrame)


class News:
    """Takes the latest progress of a task, as a reader of the feed."""

    def __init__(self) -> None:
        self.some = asyncio.Event()
        self._latest: wire.ProgressFrame | None = None

    def offer(self, frame: bytes) -> None:
        """Facts are not asked for."""

    def offer_if_idle(self, frame: bytes) -> None:
        """Keep the newest; what was not passed on yet is out of date."""
        self._latest = _progress.decode(frames.payload(frame))
        self.some.set()

    def take(self) -> list[wire.ProgressFrame]:
        """What has not been passed on yet."""
        latest, self._latest = self._latest, None
        self.some.clear()
        return [latest] if latest else []
