"""What hosts list besides tools: asked when somebody wants to know, and kept for a while.

All hosts are asked side by side, and none holds up the others: who is silent is left out, and its
answer is there for the next who asks.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from mcp_types import Prompt, Resource, ResourceTemplate
from pydantic import BaseModel, ValidationError

from contracts.errors import Rejected
from services.gateway.mcp.catalogue import USABLE
from services.gateway.peers.reads import HostReads, HostRefused, shared
from services.gateway.rows import HostView
from services.process import telemetry

LIST_S = 5.0
"""How long a list waits for a host …"""
FETCH_S = 30.0
"""… and how long the host may take for the next who asks."""
KEPT_S = 60.0
"""How long a list is given again."""
FAILED_S = 10.0
"""How long a host is left alone that has not answered."""
MOST_PAGES = 50
MOST_OF_HOST = 4 * 1024 * 1024
"""Bytes of one list of one host; what comes after is left out."""
MOST_KEPT_BYTES = 64 * 1024 * 1024
"""Bytes of all lists that are kept, at one gateway."""
MOST_KEPT = 4000

log = telemetry.get_logger()


class ListKind(NamedTuple):
    """One list of the protocol."""

    method: str
    field: str
    """Of its result."""
    feature: str
    """Of hosts that have it."""
    model: type[BaseModel]


PROMPTS = ListKind("prompts/list", "prompts", "prompts", Prompt)
RESOURCES = ListKind("resources/list", "resources", "resources", Resource)
TEMPLATES = ListKind("resources/templates/list", "resourceTemplates", "resources", ResourceTemplate)
Key = tuple[str, int, str, str]
"""Host, its registration, whose list it is (empty: everybody's), and the method."""


class _Kept(NamedTuple):
    items: list[Any]
    size: int
    until: float


class HostLists:
    """The lists of hosts."""

    def __init__(self, reads: HostReads, clock: Callable[[], float] = time.monotonic) -> None:
        self._reads = reads
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._asking: dict[Key, asyncio.Task[None]] = {}
        """Whose answers count."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def of(
        self, hosts: Sequence[HostView], user: str, kind: ListKind
    ) -> list[tuple[HostView, list[Any]]]:
        """What these hosts list for a user, as models; a host that does not say is left out."""
        keys = {host.id: _key(host, user, kind) for host in hosts}
        waiting = [
            self._ask(host, user, kind, key)
            for host, key in zip(hosts, keys.values(), strict=True)
            if not self._fresh(key) and host.health.status in USABLE
        ]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=LIST_S)
            if late:
                names = sorted(task.get_name() for task in late)
                log.warning("host_lists_left_out", method=kind.method, hosts=names)
        found = ((host, self._kept.get(keys[host.id])) for host in hosts)
        return [(host, kept.items) for host, kept in found if kept is not None]

    def forget(self, host: str) -> None:
        """What this host lists is not what it was."""
        for key in [key for key in self._kept if key[0] == host]:
            self._drop(key)
        # Those under way may have been answered before.
        self._asking = {key: task for key, task in self._asking.items() if key[0] != host}

    def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks:
            task.cancel()

    def _fresh(self, key: Key) -> bool:
        kept = self._kept.get(key)
        if kept is None:
            return False
        if kept.until > self._clock():
            return True
        self._drop(key)
        return False

    def _ask(self, host: HostView, user: str, kind: ListKind, key: Key) -> asyncio.Task[None]:
        """The question to a host, which others may wait for as well."""
        if (task := self._asking.get(key)) is None:
            task = asyncio.create_task(self._learn(host, user, kind, key), name=host.id)
            self._asking[key] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    async def _learn(self, host: HostView, user: str, kind: ListKind, key: Key) -> None:
        items: list[Any] = []
        size, kept_s = 0, FAILED_S
        try:
            async with asyncio.timeout(FETCH_S):
                items, size = await self._fetched(host, user, kind, whose=key[2])
            kept_s = KEPT_S
        except TimeoutError:
            log.warning("host_list_failed", host=host.id, method=kind.method, error="timeout")
        except (HostRefused, Rejected) as error:
            log.warning("host_list_failed", host=host.id, method=kind.method, error=error.message)
        except Exception:
            log.exception("host_list_failed", host=host.id, method=kind.method)
        finally:
            if self._asking.get(key) is asyncio.current_task():
                del self._asking[key]
                self._keep(key, _Kept(items, size, self._clock() + kept_s))

    async def _fetched(
        self, host: HostView, user: str, kind: ListKind, *, whose: str
    ) -> tuple[list[Any], int]:
        """All pages of a list, and their size. Raises HostRefused, Rejected."""
        items: list[Any] = []
        size, params = 0, dict[str, Any]()
        for _ in range(MOST_PAGES):
            page = await self._reads.ask(host, user, kind.method, params, FETCH_S, whose=whose)
            size += len(msgspec.json.encode(page))
            items += _read(host, kind, page)
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor or params.get("cursor") == cursor:
                break
            if size > MOST_OF_HOST:
                log.warning("host_list_cut", host=host.id, method=kind.method, size=size)
                break
            params = {"cursor": cursor}
        return items, size

    def _keep(self, key: Key, kept: _Kept) -> None:
        self._drop(key)
        self._kept[key] = kept
        self._bytes += kept.size
        while len(self._kept) > MOST_KEPT or self._bytes > MOST_KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._bytes -= kept.size


def _key(host: HostView, user: str, kind: ListKind) -> Key:
    return host.id, host.seq, "" if shared(host) else user, kind.method


def _read(host: HostView, kind: ListKind, page: dict[str, Any]) -> list[Any]:
    """The items of a page; what is none by the protocol is left out, and hides no others."""
    every = page.get(kind.field)
    items: list[Any] = []
    for item in every if isinstance(every, list) else ():
        try:
            items.append(kind.model.model_validate(item, by_name=False))
        except ValidationError as error:
            log.info("host_list_item_left_out", host=host.id, method=kind.method, error=str(error))
    return items
