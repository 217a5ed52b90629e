"""What tasks wait for that have no host, as the router would say it: in views, and to followers.

No fact says so: it follows from the hosts and what runs on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from contracts import wire
from contracts.errors import Rejected
from contracts.facts import TaskCreated
from contracts.permitted import asker_of, shown_to
from contracts.status import Status, TaskView, answer_to, asking, unrouted
from services.gateway import lists
from services.gateway import projection as tables
from services.gateway.actor import Desk
from services.gateway.rows import HostView
from services.gateway.stream.feed import Feed
from services.gateway.stream.subscription import TaskKey
from services.log.port import LogUnavailable
from services.log.projection import Projection
from services.outside.fits import HostState, waiting
from services.process import telemetry

TABLES_WAIT_S = 2.0
"""How long an answer waits for the tables that it is made from."""
LOOK_S = 0.25
"""A call that is over by then is nobody's concern here."""
CHANGED_S = 1.0
"""How often it is looked whether something else is waited for."""
AGAIN_S = 10.0
"""What stays so is said again: live news may be lost, and clients take silence for death."""
MOST_LOOKED = 100
"""Tasks looked up at a time; the next ones have their turn a moment later."""

log = telemetry.get_logger()


class _Watched(msgspec.Struct):
    """A followed task without a host: how it was created, or what it asks."""

    created: TaskCreated | None
    asks: str = ""
    """What it waits for, where that is an answer."""
    said: str = ""
    told: int = 0
    """How often; progress has to rise."""
    again: float = 0.0


class WaitTeller:
    """One per process: `run` tells followers, `seen` completes a view."""

    def __init__(self, desk: Desk, projection: Projection, feed: Feed) -> None:
        self._desk = desk
        self._projection = projection
        self._feed = feed
        self._watched: dict[TaskKey, _Watched] = {}
        self._looked = 0.0

    async def seen(self, view: TaskView) -> TaskView:
        """The task with what it waits for, if it has no host now."""
        if view.status not in (Status.PENDING, Status.QUEUED):
            return view
        try:
            created = unrouted(await self._desk.facts(view.user, view.id))
        except LogUnavailable:
            return view
        if created is None:
            return view
        try:
            (text,) = await self._texts([created])
        except Rejected:
            return view
        return msgspec.structs.replace(view, waiting=text)

    async def run(self) -> None:
        """Tell whoever follows a task what it waits for, for ever."""
        while True:
            if not self._watched:
                await self._feed.unseen.wait()
            await asyncio.sleep(LOOK_S)
            try:
                await self._look(time.monotonic())
            except (LogUnavailable, Rejected) as error:
                log.info("waits_not_read", error=str(error))

    async def _look(self, now: float) -> None:
        found = self._feed.take_unseen(MOST_LOOKED)
        for user, task in found:
            self._watched.pop((user, task), None)
            records = await self._desk.facts(user, task)
            if (asked := asking(records)) is not None:
                self._watched[user, task] = _Watched(None, answer_to(asked))
            elif (created := unrouted(records)) is not None:
                self._watched[user, task] = _Watched(created)
        gone = [key for key in self._watched if not self._feed.follows(*key)]
        for key in gone:
            del self._watched[key]
        if self._watched and (found or now >= self._looked + CHANGED_S):
            self._looked = now
            watched = list(self._watched.items())
            made = [one.created for _, one in watched if one.created is not None]
            texts = iter(await self._texts(made) if made else ())
            for key, one in watched:
                self._tell(key, one, one.asks or next(texts), now)

    def _tell(self, key: TaskKey, one: _Watched, text: str, now: float) -> None:
        if not text or (text == one.said and now < one.again):
            one.said = text
            return
        one.said, one.told, one.again = text, one.told + 1, now + AGAIN_S
        self._feed.tell(*key, wire.waiting_frame(key[1], one.told, text))

    async def _texts(self, asked: Sequence[TaskCreated]) -> list[str]:
        """What each of these waits for."""
        await self._projection.shows(self._feed.position, TABLES_WAIT_S)
        users = dict.fromkeys(fact.user for fact in asked)
        hosts = {
            user: await tables.list_hosts(self._projection, user, every=False) for user in users
        }
        used = await lists.in_flight(self._projection)
        return [waiting(f.spec, f.user, _standing(f, hosts[f.user]), used) for f in asked]


def _standing(fact: TaskCreated, hosts: Sequence[HostView]) -> list[HostState]:
    """The hosts as they are there for whoever asked for the task."""
    who = asker_of(fact)
    shown = (shown_to(host, who) for host in hosts)
    return [
        HostState(one, one.health.status, one.health.reason) for one in shown if one is not None
    ]
