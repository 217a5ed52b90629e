"""Hosts that the operator's settings name: they get no work and no probe, whoever registers them.

Pure: facts in, facts out.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts.facts import HostFact, McpHealth, McpRegistered
from contracts.host import MANIFEST, HealthStatus, Host
from services.registry.domain import DISABLED, NOTHING, Known, State


class Barred(msgspec.Struct, frozen=True):
    """The settings name these hosts."""

    hosts: frozenset[str]


def switched_off(state: State, hosts: frozenset[str]) -> list[HostFact]:
    """The facts that disable what is enabled of these hosts."""
    facts: list[HostFact] = []
    for name in sorted(hosts):
        known = state.get(name, NOTHING)
        if known.spec is not None and known.spec.enabled:
            facts += _off(known, known.spec, known.registered_k + 1)
    return facts


def kept_off(state: State, facts: Iterable[HostFact], hosts: frozenset[str]) -> list[HostFact]:
    """The same facts; a registration of one of these hosts says that it is disabled."""
    after: list[HostFact] = []
    for fact in facts:
        if isinstance(fact, McpRegistered) and fact.host in hosts and fact.spec.enabled:
            after += _off(state.get(fact.host, NOTHING), fact.spec, fact.k)
        else:
            after.append(fact)
    return after


def _off(known: Known, spec: Host, k: int) -> list[HostFact]:
    # What a manifest says is said again at each start; of others, a command has the word.
    switched = None if spec.source == MANIFEST else False
    spec = msgspec.structs.replace(spec, enabled=False, switched=switched)
    facts: list[HostFact] = []
    if spec != known.spec:
        facts.append(McpRegistered(id="", by="", host=spec.id, k=k, spec=spec))
    if known.reason != DISABLED:
        health, status = known.health_k + 1, HealthStatus.UNKNOWN
        facts.append(
            McpHealth(id="", by="", host=spec.id, k=health, status=status, reason=DISABLED)
        )
    return facts
