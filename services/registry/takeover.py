"""Hosts of logs from before 0.4, whose ids had no owner: each gets an id that has one.

Pure: no clock, no randomness, no I/O. What was said and learned of the old id holds for the new
one, because its registration names the old; and the old is gone in the same moment.
"""

from __future__ import annotations

import msgspec

from contracts.facts import HostFact, McpHealth
from contracts.host import HealthStatus, Host, operated
from contracts.ids import MAX_TOKEN, OPERATOR, host_id, split_host
from services.registry.changes import RESERVED
from services.registry.domain import NOTHING, Known, State, registered, removed


class Adoption(msgspec.Struct, frozen=True):
    """A host that stands under the id of an earlier release is to get today's."""

    host: str


def adopted(state: State, host: str) -> list[HostFact]:
    """The facts that give the host its id, to be stored together; none if it has it.

    Decided again after any part of them was stored, the rest comes out.
    """
    known = state.get(host, NOTHING)
    if known.spec is None or (id_ := _id(known.spec)) == host:
        return []
    if id_ is None:
        return [removed(host, known, f"no user may be called {OPERATOR!r} any more")]
    facts: list[HostFact] = []
    new = state.get(id_, NOTHING)
    if new.unread:
        return []
    if new.spec is None:
        spec = msgspec.structs.replace(known.spec, id=id_)
        facts.append(registered(new, spec, was=host))
        if known.status is not HealthStatus.UNKNOWN or known.reason:
            facts.append(_health(new, known, id_))
    return [*facts, removed(host, known, f"its id is {id_} now")]


def _id(spec: Host) -> str | None:
    """The id that the host ought to have; None: it can have none."""
    if operated(spec):
        return spec.id
    owner, name = split_host(spec.id)
    if spec.owner is None or spec.owner == OPERATOR:
        return None
    if owner != OPERATOR:
        return spec.id
    # A name that is a verb today was a name like any other.
    return host_id(spec.owner, f"{name}-host"[:MAX_TOKEN] if name in RESERVED else name)


def _health(new: Known, known: Known, id_: str) -> McpHealth:
    return McpHealth(
        id="",
        by="",
        host=id_,
        k=new.health_k + 1,
        status=known.status,
        reason=known.reason,
        latency_ms=known.latency_ms,
    )
