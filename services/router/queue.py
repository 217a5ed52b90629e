"""Who is next: priority with ageing, then turns between users, then age.

Pure. Tasks with the same demand wait as one group: what can't be placed now is put aside in one
step, so the cost of a round does not grow with the queue, nor more than linearly with the groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from math import inf, nextafter
from typing import NamedTuple

import msgspec

from services.router.select import Demand

CLASSES = 3
"""High, normal, low."""


class Waiting(msgspec.Struct, frozen=True, order=True, gc=False):
    """A queued task; these sort by age."""

    seq: int
    at: float
    key: str


class Next(msgspec.Struct, frozen=True, gc=False):
    """The task whose turn it is."""

    key: str
    user: str
    demand: Demand


class QueuePlace(NamedTuple):
    """Where a task of the queue stands, and what keeps it."""

    key: str
    user: str
    demand: Demand
    parked: tuple[str, ...] | None
    """What its demand waits for; None: for nothing but its turn."""
    held: bool
    """Its user is passed over."""


class _Lane:
    """Tasks of one user, demand and priority: among them only age counts."""

    def __init__(self, user: str, rank: int, group: _Group) -> None:
        self.user = user
        self.rank = rank
        self.group = group
        self.items: list[Waiting] = []
        self.count = 0
        self.entry: _Entry | None = None
        self.rises = inf
        """When its place is looked at again, because a task in it may be of a higher class then."""


# (round, had a turn in the one before)
_Turn = tuple[int, bool]
# (turn, sequence of the lane's oldest task, a number that keeps lanes from being compared, lane)
_Entry = tuple[_Turn, int, int, _Lane]


class _Group:
    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.lanes: dict[tuple[str, int], _Lane] = {}
        self.parked: tuple[str, ...] | None = None
        """Hosts any of which ends the pause; None: it is not parked."""
        self.aside: dict[_Lane, None] = {}
        """Lanes that were met while it was parked."""


class Queue:
    """Waiting tasks in the order in which they are served. Times are log time."""

    def __init__(self, age_s: float) -> None:
        self._age_s = age_s
        self._groups: dict[Demand, _Group] = {}
        self._parked: dict[str, dict[Demand, None]] = {}
        """Host to the demands that wait for it."""
        self._heaps: tuple[list[_Entry], ...] = tuple([] for _ in range(CLASSES))
        self._where: dict[str, _Lane] = {}
        self._turns: dict[str, _Turn] = {}
        self._lanes: dict[str, int] = {}
        """How many lanes each user has."""
        self._lane_count = 0
        self._round = 0
        self._held: dict[str, dict[_Lane, None]] = {}
        self._risers: list[tuple[float, int, _Lane]] = []
        self._number = 0

    def __len__(self) -> int:
        """Count the waiting tasks."""
        return len(self._where)

    def __contains__(self, key: object) -> bool:
        """Tell whether the task waits here."""
        return key in self._where

    def enter(self, item: Waiting, user: str, rank: int, demand: Demand, now: float) -> None:
        """Add a task; `rank` is 0 for high priority to 2 for low."""
        group = self._groups.get(demand)
        if group is None:
            group = self._groups[demand] = _Group(demand)
        lane = group.lanes.get((user, rank))
        if lane is None:
            lane = group.lanes[user, rank] = _Lane(user, rank, group)
            if not self._lanes.get(user):
                # Who comes, or comes back, goes ahead of those who had a turn in this round.
                self._turns[user] = (self._round + 1, False)
            self._lanes[user] = self._lanes.get(user, 0) + 1
            self._lane_count += 1
        heappush(lane.items, item)
        lane.count += 1
        self._where[item.key] = lane
        if lane.entry is None or item.seq < lane.entry[1]:
            self._place(lane, now)

    def leave(self, key: str) -> None:
        """Take a task out, if it is here."""
        lane = self._where.pop(key, None)
        if lane is None:
            return
        lane.count -= 1
        if not lane.count:
            self._drop(lane)
        elif lane.items[0].key == key:
            heappop(lane.items)
        elif len(lane.items) > 2 * lane.count + 16:
            # One for each key: a task that left and came back stands here twice.
            found = {item.key: item for item in lane.items if self._where.get(item.key) is lane}
            lane.items = list(found.values())
            heapify(lane.items)

    def best(self, now: float) -> Next | None:
        """Return the task whose turn it is, of those neither parked nor held; it stays here."""
        self._rise(now)
        for heap in self._heaps:
            if heap and (lane := self._top(heap, now)) is not None:
                return Next(lane.items[0].key, lane.user, lane.group.demand)
        return None

    def served(self, user: str) -> None:
        """The user has a turn (say so before its task leaves); the next is in the round after."""
        self._round = max(self._round, self._turns[user][0])
        self._turns[user] = (self._round + 1, True)

    def park(self, demand: Demand, hosts: tuple[str, ...]) -> None:
        """Pass over all tasks with this demand until one of these hosts is woken, or whatever else
        is named here."""
        if (group := self._groups.get(demand)) is not None:
            self._unpark(group)
            group.parked = hosts
            for host in hosts:
                self._parked.setdefault(host, {})[demand] = None

    def wake(self, host: str, now: float) -> None:
        """Look again at tasks that wait for this host."""
        for demand in list(self._parked.get(host, ())):
            self._resume(self._groups[demand], now)

    def wake_each(self, names: Iterable[str], now: float) -> None:
        """Look again at tasks that wait for any of these."""
        for name in names:
            self.wake(name, now)

    def wake_all(self, now: float) -> None:
        """Look again at tasks that wait for any host, or for none."""
        for group in self._groups.values():
            self._resume(group, now)

    def hold(self, user: str) -> None:
        """Pass over all tasks of this user."""
        self._held.setdefault(user, {})

    def held(self) -> Iterator[str]:
        """The users who are passed over and have tasks here."""
        return iter(self._held)

    def release(self, user: str, now: float) -> None:
        """Look at this user's tasks again."""
        self._replace(self._held.pop(user, {}), now)

    def release_all(self, now: float) -> None:
        """Look at the tasks of every user again."""
        for user in list(self._held):
            self.release(user, now)

    def demands(self) -> list[Demand]:
        """Return every demand somebody waits with."""
        return list(self._groups)

    def keys(self, demand: Demand) -> Iterator[str]:
        """Return the tasks with this demand, in no order."""
        group = self._groups.get(demand)
        for lane in group.lanes.values() if group else ():
            yield from {item.key for item in lane.items if self._where.get(item.key) is lane}

    def lanes(self) -> Iterator[tuple[QueuePlace, int]]:
        """What waits for the same, of each user: one of the tasks, and how many there are."""
        for group in self._groups.values():
            for lane in group.lanes.values():
                yield self._place_of(lane.items[0], lane), lane.count

    def order(self, now: float) -> Iterator[QueuePlace]:
        """Every task as it would be served if there were room for all, without serving any.

        The queue may not change meanwhile. The first k of n tasks cost about k log k, and one
        look at each lane.
        """
        turns = dict(self._turns)
        round_, number = self._round, 0
        line: list[tuple[int, _Turn, int, int, Waiting, _Lane, Iterator[Waiting]]] = []
        for group in self._groups.values():
            for lane in group.lanes.values():
                each = self._by_age(lane)
                first, number = next(each), number + 1
                rank = self._rank(first, lane, now)
                line.append((rank, turns[lane.user], first.seq, number, first, lane, each))
        heapify(line)
        while line:
            rank, turn, _, number, item, lane, each = heappop(line)
            if turn != turns[lane.user]:
                heappush(line, (rank, turns[lane.user], item.seq, number, item, lane, each))
                continue
            yield self._place_of(item, lane)
            round_ = max(round_, turn[0])
            turns[lane.user] = (round_ + 1, True)
            if (after := next(each, None)) is not None:
                rank, turn = self._rank(after, lane, now), turns[lane.user]
                heappush(line, (rank, turn, after.seq, number, after, lane, each))

    def _place_of(self, item: Waiting, lane: _Lane) -> QueuePlace:
        held = lane.user in self._held
        return QueuePlace(item.key, lane.user, lane.group.demand, lane.group.parked, held)

    def _rank(self, item: Waiting, lane: _Lane, now: float) -> int:
        """The class of a task that is the oldest of its lane."""
        return max(0, lane.rank - max(0, int((now - item.at) / self._age_s)))

    def _by_age(self, lane: _Lane) -> Iterator[Waiting]:
        """A lane's tasks, the oldest first, without sorting all of them: its items are a heap."""
        items, seen = lane.items, ""
        near = [(items[0], 0)]
        while near:
            item, at = heappop(near)
            for below in (2 * at + 1, 2 * at + 2):
                if below < len(items):
                    heappush(near, (items[below], below))
            # A task that left and came back stands there twice, one behind the other.
            if self._where.get(item.key) is lane and item.key != seen:
                seen = item.key
                yield item

    def keys_of(self, user: str) -> list[str]:
        """Return the tasks of a user, in no order."""
        return [key for key, lane in self._where.items() if lane.user == user]

    def _drop(self, lane: _Lane) -> None:
        group = lane.group
        lane.items.clear()
        lane.entry = None
        group.aside.pop(lane, None)
        del group.lanes[lane.user, lane.rank]
        self._lane_count -= 1
        self._lanes[lane.user] -= 1
        if not self._lanes[lane.user]:
            del self._lanes[lane.user]
            del self._turns[lane.user]
            self._held.pop(lane.user, None)
        if not group.lanes:
            del self._groups[group.demand]
            self._unpark(group)

    def _resume(self, group: _Group, now: float) -> None:
        self._unpark(group)
        self._replace(group.aside, now)

    def _unpark(self, group: _Group) -> None:
        hosts, group.parked = group.parked or (), None
        for host in hosts:
            waiting = self._parked[host]
            del waiting[group.demand]
            if not waiting:
                del self._parked[host]

    def _replace(self, aside: dict[_Lane, None], now: float) -> None:
        for lane in aside:
            if lane.count and lane.entry is None:
                self._place(lane, now)
        aside.clear()

    def _place(self, lane: _Lane, now: float) -> None:
        """Enter the lane into the heap of its oldest task's class."""
        while self._where.get(lane.items[0].key) is not lane:
            heappop(lane.items)
        head = lane.items[0]
        steps = max(0, int((now - head.at) / self._age_s))
        rank = self._rank(head, lane, now)
        self._number += 1
        lane.entry = (self._turns[lane.user], head.seq, self._number, lane)
        heap = self._heaps[rank]
        heappush(heap, lane.entry)
        if len(heap) > self._room():
            heap[:] = [entry for entry in heap if entry[3].entry is entry]
            heapify(heap)
        # A sum that is rounded down must not come due again at this very moment, for ever.
        due = max(head.at + (steps + 1) * self._age_s, nextafter(now, inf))
        if rank and due < lane.rises:
            lane.rises = due
            heappush(self._risers, (due, self._number, lane))
            if len(self._risers) > self._room():
                self._risers = [
                    one for one in self._risers if one[2].count and one[0] == one[2].rises
                ]
                heapify(self._risers)

    def _top(self, heap: list[_Entry], now: float) -> _Lane | None:
        """Return the lane that is first in this class, tidying up on the way."""
        while heap:
            entry = heap[0]
            lane = entry[3]
            if lane.entry is not entry:
                heappop(heap)
            elif (aside := self._aside(lane)) is not None:
                heappop(heap)
                lane.entry = None
                aside[lane] = None
            elif self._outdated(entry):
                heappop(heap)
                self._place(lane, now)
            else:
                return lane
        return None

    def _aside(self, lane: _Lane) -> dict[_Lane, None] | None:
        """Where the lane waits while it is passed over; None: it is not."""
        group = lane.group
        return self._held.get(lane.user) if group.parked is None else group.aside

    def _outdated(self, entry: _Entry) -> bool:
        """The user has had a turn since, or the lane's oldest task has left."""
        turn, seq, _, lane = entry
        head = lane.items[0]
        return (
            turn != self._turns[lane.user]
            or seq != head.seq
            or self._where.get(head.key) is not lane
        )

    def _room(self) -> int:
        """Entries a heap may hold before those that no lane stands by any more are taken out."""
        return 64 + 4 * self._lane_count

    def _rise(self, now: float) -> None:
        while self._risers and self._risers[0][0] <= now:
            due, _, lane = heappop(self._risers)
            if due == lane.rises:
                lane.rises = inf
                if lane.entry is not None:
                    self._place(lane, now)
