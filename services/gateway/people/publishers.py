"""Notes which outside publishers come, change and go, as the list in the data folder says.

Whoever has the folder in hand changes the list and asks no gateway. What changes while none runs is
not noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from contracts.publisher import DEFAULT_PUBLISHER, LIST_FILE, Publisher
from services.gateway.people.trail import Trail

LOOK_S = 1.0


def changes(
    before: Sequence[Publisher], now: Sequence[Publisher]
) -> Iterator[tuple[str, Publisher]]:
    """What has become of each publisher, as kinds of events."""
    earlier, later = ({one.name: one for one in listed} for listed in (before, now))
    for name, one in earlier.items():
        if name not in later or later[name].user != one.user:
            yield "publisher.removed", one
    for name, one in later.items():
        was = earlier.get(name)
        if was is None or was.user != one.user:
            yield "publisher.added", one
        elif was.made != one.made:
            yield "publisher.rotated", one


async def follow(data: Path, trail: Trail) -> None:
    """Look for ever; a list that can't be read is none until it can."""
    known = listed(data)
    while True:
        await asyncio.sleep(LOOK_S)
        now = listed(data)
        if now is None:
            continue
        for kind, one in changes(now if known is None else known, now):
            trail.note(kind, user=one.user, subject=one.name, method="command line")
        known = now


def listed(data: Path) -> tuple[Publisher, ...] | None:
    """Who may publish, as the list in the data folder says; None: it can't be read."""
    try:
        return msgspec.json.decode((data / LIST_FILE).read_bytes(), type=tuple[Publisher, ...])
    except FileNotFoundError:
        return (DEFAULT_PUBLISHER,)
    except (OSError, msgspec.DecodeError):
        return None
