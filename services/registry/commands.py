"""The registry's commands, from the bytes of a request to those of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from contracts.errors import Reason, Rejected
from contracts.host import COMMAND, Host
from contracts.ids import check_host, check_user
from contracts.nesting import too_deep
from contracts.wire import (
    Discovered,
    DiscoverRequest,
    HostChanged,
    HostList,
    HostListRequest,
    HostRemoval,
    HostSwitch,
    HostWrite,
    Probed,
    ProbeRequest,
)
from services.registry import changes
from services.registry.actor import Registry
from services.registry.changes import Acting, Change, Written
from services.registry.domain import Known
from services.registry.manifests import checks, entries
from services.registry.manifests.entries import Problem
from services.registry.settings import Settings

PROBE_WAIT_S = 100.0
MOST_ENTRY = 256 * 1024
"""Bytes of a host's description: it has to fit into one fact, with what discovery finds."""

R = TypeVar("R", bound=msgspec.Struct)
Discover = Callable[[str], Awaitable[Discovered]]
Locate = Callable[[Host], Awaitable[Host]]


async def nowhere(host: Host) -> Host:
    """Where there is nobody to ask: a Space's address stays one that is made of its name."""
    return host


class Commands:
    """Answers what others ask of a registry."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        discover: Discover,
        *,
        located: Locate = nowhere,
        allow_private: bool = False,
    ) -> None:
        """`discover` looks at a user's Spaces now; `located` says where a Space is served."""
        self._registry = registry
        self._settings = settings
        self._discover = discover
        self._located = located
        self._allow_private = allow_private

    async def list_hosts(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.list`."""
        request = _decode(payload or b"{}", HostListRequest)
        views = (
            _view(known.spec, known)
            for _, known in sorted(self._registry.hosts.items(), key=_operators_first)
            if known.spec is not None and _is_for(request.user, known.spec)
        )
        return msgspec.json.encode(HostList(tuple(views)))

    async def probe_now(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.probe`; refuses hosts that nobody knows or that are disabled."""
        request = _decode(payload, ProbeRequest)
        name = check_host(request.host)
        known = self._registry.hosts.get(name)
        spec = known.spec if known else None
        if spec is None or not _is_for(request.user, spec):
            raise Rejected(Reason.NOT_FOUND, f"host {name!r} is not known")
        watcher = self._registry.watchers.get(name)
        if watcher is None:
            raise Rejected(Reason.NOT_FOUND, f"host {name!r} is disabled")
        try:
            async with asyncio.timeout(PROBE_WAIT_S):
                await watcher.now()
        except TimeoutError:
            raise Rejected(
                Reason.UNAVAILABLE, f"host {name} is still busy with its probe. Ask again."
            ) from None
        known = self._registry.hosts[name]
        if known.spec is None:
            raise Rejected(Reason.NOT_FOUND, f"host {name} was removed meanwhile")
        return msgspec.json.encode(_view(known.spec, known))

    async def add(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.add`."""
        return await self._write(_decode(payload, HostWrite), replace=False)

    async def update(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.update`."""
        return await self._write(_decode(payload, HostWrite), replace=True)

    async def check(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.check`: what `add` would do, and nothing is done."""
        change = await self._written(_decode(payload, HostWrite), replace=False)
        facts = changes.decide(self._registry.hosts, change)
        return msgspec.json.encode(HostChanged(change.host.id, 0, bool(facts)))

    async def switch(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.switch`."""
        request = _decode(payload, HostSwitch)
        acting = Acting(check_user(request.user), request.operator)
        host = await self._meant(request.host, acting)
        return await self._change(host, changes.Switched(acting, host, request.enabled))

    async def remove(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.remove`."""
        request = _decode(payload, HostRemoval)
        acting = Acting(check_user(request.user), request.operator)
        host = await self._meant(request.host, acting)
        return await self._change(host, changes.Removal(acting, host))

    async def discover(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.discover`."""
        user = check_user(_decode(payload, DiscoverRequest).user)
        await self._registry.watching.wait()
        return msgspec.json.encode(await self._discover(user))

    async def _write(self, request: HostWrite, *, replace: bool) -> bytes:
        change = await self._written(request, replace=replace)
        return await self._change(change.host.id, change)

    async def _written(self, request: HostWrite, *, replace: bool) -> Written:
        acting = Acting(check_user(request.user), request.operator)
        await self._registry.watching.wait()
        given = request.host
        if replace:
            given = changes.replaceable(self._registry.hosts, given, acting)
        # In a thread: somebody's schemas are judged, which takes a while.
        host = await asyncio.to_thread(
            described,
            given,
            bytes(request.entry),
            acting,
            allow_private=self._allow_private,
            allow_noop=self._settings.allow_noop,
        )
        if replace and host.id != given:
            text = f"host {given} can't become {host.id}: leave `owner` out, or add that one"
            raise Rejected(Reason.BAD_REQUEST, text)
        host = await self._located(host)
        return Written(acting, host, replace, request.most)

    async def _meant(self, host: str, acting: Acting) -> str:
        # Before that, hosts of an old log may not have their ids.
        await self._registry.watching.wait()
        return changes.meant(self._registry.hosts, host, acting)

    async def _change(self, host: str, change: Change) -> bytes:
        seq = await self._registry.record(change)
        known = self._registry.hosts.get(host)
        return msgspec.json.encode(HostChanged(host, seq or (known.seq if known else 0), seq > 0))


def described(
    name: str, data: bytes, acting: Acting, *, allow_private: bool, allow_noop: bool
) -> Host:
    """The host that a command describes, as this user may register it. Raises Rejected."""
    if len(data) > MOST_ENTRY:
        raise Rejected(Reason.TOO_LARGE, f"a host's description has at most {MOST_ENTRY} bytes")
    if too_deep(data):
        raise Rejected(Reason.BAD_REQUEST, "the host's description is nested too deep")
    try:
        entry = entries.entry_of(msgspec.json.decode(data))
        checks.check(entry, allow_noop=allow_noop, judged=not acting.operator)
        id_, owner = changes.named(name, entry, acting)
        if owner is not None:
            checks.check_unguarded(entry)
        changes.check_entry(entry, acting, allow_private=allow_private)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"the host's description is no JSON: {error}") from None
    except Problem as problem:
        path = f"{problem.path}: " if problem.path else ""
        raise Rejected(Reason.BAD_REQUEST, f"{path}{problem.message}") from None
    return msgspec.structs.replace(entries.host_of(entry, id_, COMMAND), owner=owner)


def _decode(payload: bytes, type_: type[R]) -> R:
    try:
        return msgspec.json.decode(payload, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {type_.__name__}: {error}") from None


def _is_for(user: str | None, spec: Host) -> bool:
    """Whether this user is known to see the host; one that is for some roles, users or projects
    alone is asked for without a user, by whoever knows them."""
    return user is None or (spec.access is None and spec.owner in (None, user))


def _operators_first(one: tuple[str, Known]) -> tuple[bool, str]:
    return "/" in one[0], one[0]


def _view(spec: Host, known: Known) -> Probed:
    return Probed(spec, known.status, known.reason, known.latency_ms, known.since)
