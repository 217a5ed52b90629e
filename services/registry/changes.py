"""Hosts by command, and those found among users' Spaces: who may change what, and what follows.

Pure: no clock, no randomness, no I/O. What may not be is `Rejected`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import msgspec

from contracts.errors import Reason, Rejected
from contracts.facts import HostFact
from contracts.host import COMMAND, MANIFEST, SPACE, Host, OpenApi, Remote
from contracts.ids import OPERATOR, check_host, host_id, split_host
from services.keys import spotting
from services.outside import addresses
from services.registry.domain import NOTHING, Known, State, removed, renewed, undiscovered
from services.registry.manifests.checks import check_bounds
from services.registry.manifests.entries import Entry, Problem

RESERVED = frozenset(
    "add update enable disable remove probe check import discover log logs".split()
)
"""Words of the command line and of routes: a host of that name would be hidden by them."""
MOST_HEADERS = 16 * 1024
"""Bytes of the headers that a user's host is sent, names included."""
_INSTEAD = "write {secret:NAME} in its place, and put it where secrets lie: docs/manifest.md"


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
    if not acting.operator or entry.owner is not None:
        check_bounds(entry)
    if not acting.operator and isinstance(endpoint, Remote):
        size = sum(len(name) + len(value) for name, value in endpoint.headers.items())
        if size > MOST_HEADERS:
            raise Problem("endpoint.headers", f"expected at most {MOST_HEADERS} bytes in all")
    for found in spotting.spotted(endpoint):
        raise Problem(
            f"endpoint.{found.where}",
            f"it looks like a secret ({found.why}), and all of this stands in the log for ever:"
            f" {_INSTEAD}",
        )
    if acting.operator:
        return
    if not isinstance(endpoint, Remote):
        raise Rejected(
            Reason.FORBIDDEN,
            "users register hosts with a URL; programs on this machine are for the operator",
        )
    if entry.roots or entry.path_arguments:
        raise Problem("roots", "a user's host opens no files of this machine. Leave it out.")
    if entry.owner not in (None, acting.user):
        raise Rejected(Reason.FORBIDDEN, "a host that you register is yours: leave `owner` out")
    urls = {"url": endpoint.url}
    if isinstance(endpoint, OpenApi) and endpoint.document_url:
        urls["document_url"] = endpoint.document_url
    for field, url in urls.items():
        if not allow_private and not url.lower().startswith("hf://"):
            try:
                addresses.check_foreign(url)
            except addresses.AddressRefused as refused:
                raise Problem(f"endpoint.{field}", str(refused)) from None


def named(given: str, entry: Entry, acting: Acting) -> tuple[str, str | None]:
    """The id and the owner of a host that this user registers as `given`. Raises Rejected.

    What a user registers is `user/name`, and no name is another's to take. The operator's own
    have no owner, unless the id or the entry says whose they are.
    """
    said, name = split_host(check_host(given, "the host id"))
    if name in RESERVED:
        raise Rejected(Reason.BAD_ID, f"{name!r} is a word of the command line: choose another id")
    owner = entry.owner if acting.operator else acting.user
    if said != OPERATOR:
        if not acting.operator and said != acting.user:
            raise Rejected(
                Reason.FORBIDDEN, f"a host that you register is yours: call it {name}, not {given}"
            )
        if owner not in (None, said):
            raise Rejected(
                Reason.BAD_REQUEST, f"`owner` says {owner}, the id says {said}: leave one out"
            )
        owner = said
    return host_id(owner, name), owner


def meant(state: State, given: str, acting: Acting) -> str:
    """The id of the host that this user means to change. Raises Rejected for what is no id.

    A bare name is one's own host; where there is none, and for the operator first, the operator's.
    """
    own = host_id(acting.user, check_host(given, "the host id"))
    if "/" in given or not _there(state, own):
        return given
    return given if acting.operator and _there(state, given) else own


def replaceable(state: State, given: str, acting: Acting) -> str:
    """The id of the host that this user means to describe anew. Raises Rejected."""
    host = meant(state, given, acting)
    spec = _changeable(state, host, acting).spec
    assert spec is not None
    _check_source(spec, "change it there")
    return host


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
    """Why a Space of this user can't be registered, by host id: only another host of this user's
    can be in its way."""
    found = ((host.id, state.get(host.id, NOTHING)) for host in hosts)
    return {
        id_: f"you have another host {id_}: remove that, or rename the Space"
        for id_, known in found
        if split_host(id_)[0] != user
        or known.unread
        or (known.spec is not None and not _found_by(known.spec, user))
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
    _check_change(known.spec, acting)
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
            Reason.RATE_LIMITED,
            f"budget hosts: you have {mine} hosts, of at most {change.most}: remove one first",
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
    if known.spec is None:
        raise Rejected(Reason.NOT_FOUND, f"there is no host {host}")
    _check_change(known.spec, acting)
    return known


def _check_change(spec: Host, acting: Acting) -> None:
    """Refuse who may not change this host: one that is hidden from them is not there."""
    if not _may_see(spec, acting):
        raise Rejected(Reason.NOT_FOUND, f"there is no host {spec.id}")
    if not _may_change(spec, acting):
        raise Rejected(Reason.FORBIDDEN, f"host {spec.id} is for everybody: only the operator may")


def _check_source(spec: Host, advice: str) -> None:
    if spec.source == MANIFEST:
        raise Rejected(Reason.CONFLICT, f"host {spec.id} stands in a manifest: {advice}")


def _there(state: State, host: str) -> bool:
    return state.get(host, NOTHING).spec is not None


def _may_see(spec: Host, acting: Acting) -> bool:
    if spec.access is not None and not acting.operator:
        # Whom else it is for the registry can't tell; they can't change it either.
        return spec.owner == acting.user
    return acting.operator or spec.owner in (None, acting.user)


def _may_change(spec: Host, acting: Acting) -> bool:
    return acting.operator or spec.owner == acting.user


def _found_by(spec: Host, user: str) -> bool:
    return spec.source == SPACE and spec.owner == user
