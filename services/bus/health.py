"""How a service says that it is there and how far it has read; the gateway's health asks all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from contracts import subjects
from contracts.health import ServiceHealth
from services.bus import metrics
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.process.run import Process

VERB = "health"


class _Shown(NamedTuple):
    position: Callable[[], int]
    whole: bool
    active: Callable[[], bool] | None


_shown: WeakKeyDictionary[Process, _Shown] = WeakKeyDictionary()


def show(
    process: Process,
    position: Callable[[], int],
    *,
    whole: bool = False,
    active: Callable[[], bool] | None = None,
) -> None:
    """Show how far the service has read the log, in its health and among its metrics.

    `whole`: it reads every fact. `active`: whether it decides, where only one of a kind does.
    The functions must not raise.
    """
    text = "Last sequence of the log that was applied."
    metrics.gauge("metamcp_position", text, process, position)
    _shown[process] = _Shown(position, whole, active)


async def answer(bus: Bus, process: Process) -> None:
    """Answer `cmd.<service>.health` for as long as the process runs."""

    async def told(_: bytes) -> bytes:
        return msgspec.json.encode(_of(process))

    await answer_all(bus, subjects.command(process.service, VERB), told)


def _of(process: Process) -> ServiceHealth:
    troubles = process.troubles.all()
    if (shown := _shown.get(process)) is None:
        return ServiceHealth(process.instance, troubles=troubles)
    active = None if shown.active is None else shown.active()
    return ServiceHealth(process.instance, shown.position(), shown.whole, active, troubles)
