"""What one client follows: which facts belong to it, and under which keys they are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from contracts import scopes, wire
from contracts.operation import derived_from
from services.gateway import visibility
from services.gateway.access.identity import Principal
from services.gateway.stream.frames import FeedEntry, Shows

Key = tuple[str, ...]
TaskKey = tuple[str, str]
"""Whose task, and which."""
EVERYTHING: Key = ("all",)
PUBLIC: Key = ("host",)


class FeedReader(Protocol):
    """The feed's view of a connection."""

    def offer(self, frame: bytes) -> None:
        """Take a frame without waiting."""

    def offer_if_idle(self, frame: bytes) -> None:
        """Take a frame if nothing waits."""


class Subscription:
    """What one client follows under one name, and how far it has got."""

    __slots__ = (
        *("batch", "cursor", "keys", "name", "reader", "shows", "strangers", "task", "to"),
        *("types", "user"),
    )

    def __init__(
        self, reader: FeedReader, request: wire.Subscribe, user: str, *, whole: bool = False
    ) -> None:
        """`whole`: it gets facts as they are stored, and not as users see them."""
        self.shows = Shows(whole=whole)
        self.reader = reader
        self.name = request.sub
        self.user = user
        self.to: wire.FollowTo = request.to
        self.task, self.batch = request.task or "", request.batch or ""
        self.strangers: set[str] = set()
        """Tasks whose ids are like those of the batch, and that are none of it."""
        self.types = frozenset(request.types)
        self.keys = _keys(self)
        self.cursor = 0

    def begin(self, after: int, strangers: Iterable[str] = ()) -> None:
        """Follow what comes behind this sequence."""
        self.cursor = after
        self.strangers.update(strangers)

    @classmethod
    def of(cls, reader: FeedReader, request: wire.Subscribe, who: Principal) -> Subscription:
        """What somebody follows, shown as far as they and their token may see it."""
        made = cls(reader, request, who.user)
        made.shown_to(who)
        return made

    def shown_to(self, who: Principal) -> None:
        """Show from now on what this token lets see."""
        whole = visibility.sees_all_of_hosts(who.powers)
        self.shows = Shows(whole=whole, results=who.may(scopes.RESULTS_READ))

    def selected(self, items: list[FeedEntry]) -> list[FeedEntry]:
        """Those of the facts under its keys that belong to it, in order."""
        if self.to != "batch" and not self.types:
            return items
        return [item for item in items if self.wants(item)]

    def wants(self, item: FeedEntry) -> bool:
        """Whether this fact belongs to the subscription."""
        return _within(self, item.audience) and (not self.types or item.type in self.types)


def keys_of(audience: visibility.Audience) -> tuple[Key, ...]:
    """Return the keys under which a fact's readers are found."""
    user = audience.user
    if audience.kind == "task" and user is not None:
        return of_task(user, audience.task)
    if audience.kind == "operation" and user is not None:
        return (("operations", user), EVERYTHING)
    if audience.kind == "host":
        return (PUBLIC if user is None else ("host", user), EVERYTHING)
    return (EVERYTHING,)


def of_task(user: str, task: str) -> tuple[Key, ...]:
    """The keys of whoever follows this task, or more than it."""
    own: tuple[Key, ...] = (("user", user), ("task", user, task), EVERYTHING)
    batch = derived_from(task)
    return (*own, ("batch", user, batch)) if batch else own


def _keys(subscription: Subscription) -> tuple[Key, ...]:
    match subscription.to:
        case "tasks":
            return (("user", subscription.user),)
        case "task":
            return (("task", subscription.user, subscription.task),)
        case "batch":
            return (("batch", subscription.user, subscription.batch),)
        case "operations":
            return (("operations", subscription.user),)
        case "hosts":
            return (PUBLIC, ("host", subscription.user))
        case "all":
            return (EVERYTHING,)


def _within(subscription: Subscription, whose: visibility.Audience) -> bool:
    match subscription.to:
        case "tasks":
            return whose.kind == "task" and whose.user == subscription.user
        case "task":
            mine = whose.kind == "task" and whose.user == subscription.user
            return mine and whose.task == subscription.task
        case "batch":
            mine = whose.kind == "task" and whose.user == subscription.user
            return mine and _in_batch(subscription, whose)
        case "operations":
            return whose.kind == "operation" and whose.user == subscription.user
        case "hosts":
            return whose.kind == "host" and whose.user in (None, subscription.user)
        case "all":
            return True


def _in_batch(subscription: Subscription, whose: visibility.Audience) -> bool:
    """Whether a task is of the batch that is followed. Its id says so, unless a client has chosen
    it: then the fact that creates it says otherwise, before any other."""
    if derived_from(whose.task) != subscription.batch:
        return False
    if whose.batch is not None and whose.batch != subscription.batch:
        subscription.strangers.add(whose.task)
    return whose.task not in subscription.strangers
