"""The registry's commands, from the bytes of a request to those of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from contracts.errors import Reason, Rejected
from contracts.host import COMMAND, Host
from contracts.ids import check_token
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
from services.registry.changes import Acting, Change
from services.registry.domain import Known
from services.registry.manifests import entries
from services.registry.manifests.entries import Problem
from services.registry.settings import Settings

PROBE_WAIT_S = 100.0
MOST_ENTRY = 256 * 1024
"""Bytes of a host's description: it has to fit into one fact, with what discovery finds."""
RESERVED = frozenset("add update enable disable remove probe import discover".split())
"""Words of the command line that would hide a host of that name."""

R = TypeVar("R", bound=msgspec.Struct)
Discover = Callable[[str], Awaitable[Discovered]]


class Commands:
    """Answers what others ask of a registry."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        discover: Discover,
        *,
        allow_private: bool = False,
    ) -> None:
        """`discover` looks at a user's Spaces now."""
        self._registry = registry
        self._settings = settings
        self._discover = discover
        self._allow_private = allow_private

    async def list_hosts(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.list`."""
        request = _decode(payload or b"{}", HostListRequest)
        views = (
            _view(known.spec, known)
            for _, known in sorted(self._registry.hosts.items())
            if known.spec is not None and request.user in (None, known.spec.owner or request.user)
        )
        return msgspec.json.encode(HostList(tuple(views)))

    async def probe_now(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.probe`; refuses hosts that nobody knows or that are disabled."""
        request = _decode(payload, ProbeRequest)
        name = request.host
        known = self._registry.hosts.get(name)
        spec = known.spec if known else None
        if spec is None or request.user not in (None, spec.owner or request.user):
            raise Rejected(Reason.NOT_FOUND, f"host {name[:64]!r} is not known")
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

    async def switch(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.switch`."""
        request = _decode(payload, HostSwitch)
        acting = Acting(request.user, request.operator)
        return await self._change(
            request.host, changes.Switched(acting, request.host, request.enabled)
        )

    async def remove(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.remove`."""
        request = _decode(payload, HostRemoval)
        acting = Acting(request.user, request.operator)
        return await self._change(request.host, changes.Removal(acting, request.host))

    async def discover(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.discover`."""
        user = check_token(_decode(payload, DiscoverRequest).user, "user")
        return msgspec.json.encode(await self._discover(user))

    async def _write(self, request: HostWrite, *, replace: bool) -> bytes:
        acting = Acting(check_token(request.user, "user"), request.operator)
        host = described(
            request.host,
            bytes(request.entry),
            acting,
            allow_private=self._allow_private,
            allow_noop=self._settings.allow_noop,
        )
        change = changes.Written(acting, host, replace, self._settings.hosts_per_user)
        return await self._change(host.id, change)

    async def _change(self, host: str, change: Change) -> bytes:
        seq = await self._registry.record(change)
        known = self._registry.hosts.get(host)
        return msgspec.json.encode(HostChanged(host, seq or (known.seq if known else 0), seq > 0))


def described(
    name: str, data: bytes, acting: Acting, *, allow_private: bool, allow_noop: bool
) -> Host:
    """The host that a command describes, as this user may register it. Raises Rejected."""
    check_token(name, "the host id")
    if name in RESERVED:
        raise Rejected(Reason.BAD_ID, f"{name!r} is a word of the command line: choose another id")
    if len(data) > MOST_ENTRY:
        raise Rejected(Reason.TOO_LARGE, f"a host's description has at most {MOST_ENTRY} bytes")
    if too_deep(data):
        raise Rejected(Reason.BAD_REQUEST, "the host's description is nested too deep")
    try:
        entry = entries.entry_of(msgspec.json.decode(data))
        entries.check(entry, allow_noop=allow_noop)
        changes.check_entry(entry, acting, allow_private=allow_private)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"the host's description is no JSON: {error}") from None
    except Problem as problem:
        path = f"{problem.path}: " if problem.path else ""
        raise Rejected(Reason.BAD_REQUEST, f"{path}{problem.message}") from None
    return changes.owned(entries.host_of(entry, name, COMMAND), acting)


def _decode(payload: bytes, type_: type[R]) -> R:
    try:
        return msgspec.json.decode(payload, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {type_.__name__}: {error}") from None


def _view(spec: Host, known: Known) -> Probed:
    return Probed(spec, known.status, known.reason, known.latency_ms, known.since)
