"""Hosts by command, and those found among users' Spaces: who may change what, and what follows.

Pure: no clock, no randomness, no I/O. What may not be is `Rejected`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import msgspec

from contracts.errors import Reason, Rejected
from contracts.facts import HostFact
from contracts.host import COMMAND, MANIFEST, SPACE, Execute, Host, Stdio, StreamableHttp
from services.outside import addresses
from services.registry.domain import NOTHING, Known, State, removed, renewed, undiscovered
from services.registry.manifests.entries import Entry, Problem

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE
)


class Acting(NamedTuple):
    """Who gives a command."""

    user: str
    operator: bool


class Written(msgspec.Struct, frozen=True):
    """Somebody adds a host, or replaces one that is there."""

    acting: Acting
    host: Host
    replace: bool
    most: int
    """Hosts that one user may have by command."""


class Switched(msgspec.Struct, frozen=True):
    """Somebody enables or disables a host."""

    acting: Acting
    host: str
    enabled: bool


class Removal(msgspec.Struct, frozen=True):
    """Somebody takes a host away."""

    acting: Acting
    host: str


class Offered(msgspec.Struct, frozen=True):
    """The Spaces of a user are exactly these hosts; those named in `keep` stand as they are."""

    user: str
    hosts: tuple[Host, ...]
    keep: frozenset[str] = frozenset()
    why_gone: str = "its Space is gone, or no longer an MCP server"


Change: TypeAlias = Written | Switched | Removal | Offered


def check_entry(entry: Entry, acting: Acting, *, allow_private: bool) -> None:
    """Refuse what this user may not register, or nobody by command. Raises Problem, Rejected."""
    endpoint = entry.endpoint
    if isinstance(endpoint, Stdio):
        for name in endpoint.env:
            if _SECRET.search(name):
                raise Problem(
                    f"endpoint.env.{name}",
                    "it looks like a secret, and all of this stands in the log for ever: name the"
                    " variable in `env_from` instead, and give it to the executor",
                )
    if acting.operator:
        return
    if not isinstance(endpoint, StreamableHttp | Execute):
        raise Rejected(
            Reason.FORBIDDEN,
            "users register hosts with a URL; programs on this machine are for the operator",
        )
    if entry.roots or entry.path_arguments:
        raise Problem("roots", "a user's host opens no files of this machine. Leave it out.")
    if entry.owner not in (None, acting.user):
        raise Rejected(Reason.FORBIDDEN, "a host that you register is yours: leave `owner` out")
    if not allow_private and not endpoint.url.lower().startswith("hf://"):
        try:
            addresses.check_foreign(endpoint.url)
        except addresses.AddressRefused as refused:
            raise Problem("endpoint.url", str(refused)) from None


def owned(host: Host, acting: Acting) -> Host:
    """The host as this user's command registers it."""
    owner = host.owner if acting.operator else acting.user
    return msgspec.structs.replace(host, source=COMMAND, owner=owner)


def decide(state: State, change: Change) -> list[HostFact]:
    """Return the facts to append; none if it is so already. Raises Rejected."""
    match change:
        case Written():
            return _write(state, change)
        case Switched():
            return _switch(state, change)
        case Removal():
            return _remove(state, change)
        case Offered():
            return _offer(state, change)


def clashes(state: State, user: str, hosts: Iterable[Host]) -> dict[str, str]:
    """Why a Space of this user can't be registered, by host id."""
    found = ((host.id, state.get(host.id, NOTHING)) for host in hosts)
    return {
        id_: f"another host has the id {id_}: rename the Space"
        for id_, known in found
        if known.unread or (known.spec is not None and not _found_by(known.spec, user))
    }


def _write(state: State, change: Written) -> list[HostFact]:
    host, acting = change.host, change.acting
    known = state.get(host.id, NOTHING)
    if known.spec is None:
        if change.replace:
            raise Rejected(Reason.NOT_FOUND, f"there is no host {host.id}")
        if known.unread:
            raise Rejected(
                Reason.CONFLICT, f"a newer release has registered {host.id}: choose another id"
            )
        _check_room(state, change)
        return renewed(known, host)
    if not _may_change(known.spec, acting):
        if change.replace and not _may_see(known.spec, acting):
            raise Rejected(Reason.NOT_FOUND, f"there is no host {host.id}")
        raise Rejected(Reason.CONFLICT, f"the id {host.id} is taken: choose another one")
    _check_source(known.spec, "change it there")
    before = msgspec.structs.replace(undiscovered(known.spec), enabled=host.enabled, switched=None)
    if before == host:
        return []
    if not change.replace:
        raise Rejected(
            Reason.CONFLICT, f"host {host.id} is there with other content: update it instead"
        )
    return renewed(known, host)


def _check_room(state: State, change: Written) -> None:
    if change.acting.operator:
        return
    mine = sum(
        known.spec is not None
        and known.spec.owner == change.acting.user
        and known.spec.source == COMMAND
        for known in state.values()
    )
    if mine >= change.most:
        raise Rejected(
            Reason.RATE_LIMITED, f"you have {mine} hosts, and that is the most: remove one first"
        )


def _switch(state: State, change: Switched) -> list[HostFact]:
    known = _changeable(state, change.host, change.acting)
    assert known.spec is not None
    if known.spec.enabled == change.enabled:
        return []
    wanted = msgspec.structs.replace(known.spec, enabled=change.enabled, switched=change.enabled)
    return renewed(known, wanted)


def _remove(state: State, change: Removal) -> list[HostFact]:
    known = _changeable(state, change.host, change.acting)
    assert known.spec is not None
    _check_source(known.spec, f"take it out there, or `metamcp hosts disable {change.host}`")
    if known.spec.source == SPACE:
        raise Rejected(
            Reason.CONFLICT,
            f"host {change.host} is a Space, and would be found again: delete the Space, or"
            f" `metamcp hosts disable {change.host}`",
        )
    return [removed(change.host, known, "removed by command")]


def _offer(state: State, change: Offered) -> list[HostFact]:
    offered = {host.id: host for host in change.hosts}
    barred = clashes(state, change.user, change.hosts)
    facts: list[HostFact] = []
    for name, host in offered.items():
        if name not in barred and name not in change.keep:
            facts += renewed(state.get(name, NOTHING), host)
    for name, known in state.items():
        mine = known.spec is not None and _found_by(known.spec, change.user)
        if mine and name not in offered and name not in change.keep:
            facts.append(removed(name, known, change.why_gone))
    return facts


def _changeable(state: State, host: str, acting: Acting) -> Known:
    known = state.get(host, NOTHING)
    if known.spec is None or not _may_see(known.spec, acting):
        raise Rejected(Reason.NOT_FOUND, f"there is no host {host[:64]}")
    if not _may_change(known.spec, acting):
        raise Rejected(Reason.FORBIDDEN, f"host {host} is for everybody: only the operator may")
    return known


def _check_source(spec: Host, advice: str) -> None:
    if spec.source == MANIFEST:
        raise Rejected(Reason.CONFLICT, f"host {spec.id} stands in a manifest: {advice}")


def _may_see(spec: Host, acting: Acting) -> bool:
    return acting.operator or spec.owner in (None, acting.user)


def _may_change(spec: Host, acting: Acting) -> bool:
    return acting.operator or spec.owner == acting.user


def _found_by(spec: Host, user: str) -> bool:
    return spec.source == SPACE and spec.owner == user
