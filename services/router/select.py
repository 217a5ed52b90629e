"""Which host gets a task: hard filters, then a score. Pure, so that any route can be recomputed.

`screen` is what depends on the hosts alone and may be kept; `choose` adds slots and preference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import msgspec
from packaging.version import Version

from contracts.host import Capability, HealthStatus, Host, Placement
from contracts.route import Candidate, Policy
from contracts.task import serves
from services.router.settings import Settings

POLICY_VERSION = 2
"""Goes up whenever the same inputs may give another route."""
RECOMPUTED = frozenset({1, POLICY_VERSION})
"""Versions whose routes these rules give again. The first put some versions of capabilities in
another order, those that are not plain numbers: only where these decide may a route differ."""
LISTED = 10
"""At most so many candidates, the best, stand in a route."""
NAMED = 20
"""At most so many hosts are named for each filter."""
WEIGHTS = (0.4, 0.3, 0.2, 0.1)
"""Of capability, resource, health and preference."""
FITNESS = {
    HealthStatus.HEALTHY: 1.0,
    HealthStatus.WARNING: 0.7,
    HealthStatus.UNHEALTHY: 0.3,
    HealthStatus.UNKNOWN: 0.0,
}
_NUMBERS = re.compile(r"v?([0-9]{1,18}(?:\.[0-9]{1,18})*)")
USABLE = frozenset({HealthStatus.HEALTHY, HealthStatus.WARNING})
"""Work is sent to no other host: it waits until one of these has a slot, or for its deadline."""


class Need(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True, gc=False):
    """What a task asks of its host."""

    type: str
    required: tuple[Capability, ...] = ()
    preferred: tuple[Capability, ...] = ()
    heavy: bool = False
    host: str | None = None


class Demand(NamedTuple):
    """All that decides which hosts may serve a task; tasks with equal demands wait as one."""

    need: Need
    user: str
    excluded: tuple[str, ...] = ()
    """Hosts that looked sick in earlier attempts; used again only if there is no other."""
    fallback: bool = False
    """A heavy task may run beside the orchestrator: its Space failed and allows that."""


class HostEntry(msgspec.Struct):
    """A registered host and how it does."""

    spec: Host
    seq: int
    """Sequence of its newest `mcp.registered`."""
    status: HealthStatus = HealthStatus.UNKNOWN


class Fit(msgspec.Struct, frozen=True, gc=False):
    """A host that passed every filter but the slots, and its score so far."""

    host: str
    seq: int
    limit: int
    capability: float
    resource: float
    fitness: float


class Screen(msgspec.Struct, frozen=True):
    """Outcome of the filters that depend on the hosts alone."""

    fits: tuple[Fit, ...]
    removed: dict[str, tuple[str, ...]]
    possible: bool
    """Some host could serve this once it is healthy and has a slot."""
    lifted: bool
    """Only excluded hosts are left, so they count again."""


class Selection(msgspec.Struct, frozen=True):
    """The chosen host and why."""

    host: str
    host_seq: int
    score: float
    candidates: tuple[Candidate, ...]
    removed: dict[str, tuple[str, ...]]
    slots: dict[str, int]
    policy: Policy


Taste = Callable[[str, str], float]
"""From a user and a host to a preference of 0 to 1."""


def policy(settings: Settings) -> Policy:
    """Return what stands in each route: the version of these rules and a digest of the settings."""
    text = msgspec.json.encode(settings, order="deterministic")
    return Policy(POLICY_VERSION, sha256(text).hexdigest()[:16])


def screen(demand: Demand, hosts: Iterable[HostEntry]) -> Screen:
    """Apply every filter but the slots.

    Hosts of other users are not even named: what is removed is shown to the task's user.
    """
    removed: dict[str, list[str]] = {}
    left: list[HostEntry] = []
    possible = False
    visible = (entry for entry in hosts if entry.spec.owner in (None, demand.user))
    for entry in sorted(visible, key=lambda entry: entry.spec.id):
        if (name := _unable(demand, entry.spec)) is not None:
            removed.setdefault(name, []).append(entry.spec.id)
            continue
        possible = True
        if entry.status in USABLE:
            left.append(entry)
        else:
            removed.setdefault("health", []).append(entry.spec.id)
    others = [entry for entry in left if entry.spec.id not in demand.excluded]
    lifted = not others and bool(left)
    if not lifted and len(others) < len(left):
        removed["excluded"] = [e.spec.id for e in left if e.spec.id in demand.excluded]
    fits = tuple(_fit(demand.need, entry) for entry in (left if lifted else others))
    named = {name: tuple(ids[:NAMED]) for name, ids in removed.items()}
    return Screen(fits, named, possible, lifted)


def choose(
    found: Screen, user: str, slots: Mapping[str, int], taste: Taste, policy: Policy
) -> Selection | None:
    """Score the hosts that have a free slot and take the best; None when all are full."""
    ranked: list[tuple[float, str, Fit, float, float]] = []
    full: list[str] = []
    taken: dict[str, int] = {}
    for fit in found.fits:
        host, limit = fit.host, fit.limit
        used = slots.get(host, 0)
        if used:
            taken[host] = used
        if used >= limit:
            full.append(host)
            continue
        health = fit.fitness * (1 - used / limit)
        liked = taste(user, host)
        total = score(fit.capability, fit.resource, health, liked)
        ranked.append((-total, host, fit, health, liked))
    if not ranked:
        return None
    ranked.sort()
    best = ranked[0][2]
    return Selection(
        host=best.host,
        host_seq=best.seq,
        score=-ranked[0][0],
        candidates=tuple(
            [
                Candidate(
                    host, -minus, fit.capability, fit.resource, round(health, 6), round(liked, 6)
                )
                for minus, host, fit, health, liked in ranked[:LISTED]
            ]
        ),
        removed={**found.removed, "slots": tuple(full[:NAMED])} if full else found.removed,
        slots=taken,
        policy=policy,
    )


def select(
    demand: Demand,
    hosts: Iterable[HostEntry],
    slots: Mapping[str, int],
    taste: Taste,
    policy: Policy,
) -> Selection | None:
    """The whole decision for one task; None: nobody can take it now."""
    return choose(screen(demand, hosts), demand.user, slots, taste, policy)


def score(capability: float, resource: float, health: float, preference: float) -> float:
    """Weigh the four parts, each 0 to 1; six digits, so that every machine gets the same."""
    a, b, c, d = WEIGHTS
    return round(a * capability + b * resource + c * health + d * preference, 6)


def why_nobody(demand: Demand, hosts: Iterable[HostEntry]) -> str:
    """Say for each host the user may know of why it can't serve this; at most about 2 KiB."""
    visible = [entry.spec for entry in hosts if entry.spec.owner in (None, demand.user)]
    reasons = {host.id: _unable(demand, host) for host in visible}
    type_, pinned = demand.need.type, demand.need.host
    if not reasons:
        return "no host is registered"
    if pinned is not None:
        if pinned not in reasons:
            return f"host {pinned!r} is not registered"
        return f"host {pinned!r} can't serve task type {type_!r}: {reasons[pinned]}"
    shown = ", ".join(f"{id_}: {reasons[id_]}" for id_ in sorted(reasons)[:NAMED])
    more = f" and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return f"no host can serve task type {type_!r} ({shown}{more})"


def provides(offered: Iterable[Capability], wanted: Capability) -> bool:
    """Tell whether one of these has the name, at least the version, and all the parameters."""
    return any(
        have.name == wanted.name
        and version_key(wanted.version) <= version_key(have.version)
        and set(wanted.parameters) <= set(have.parameters)
        for have in offered
    )


@lru_cache(maxsize=4096)
def version_key(text: str) -> Version:
    """Return what orders versions, as Python's packages are ordered: numbers as numbers, `1.0` =
    `1.0.0`, a pre-release before its release; a leading `v` and what follows `+` don't count.

    Of what is no such version the numbers at its beginning count, and it comes before what has
    them alone.
    """
    plain = text.strip().lower().partition("+")[0]
    try:
        return Version(plain)
    except ValueError:
        numbers = _NUMBERS.match(plain)
        return Version(f"{numbers[1] if numbers else 0}.dev0")


def _unable(demand: Demand, host: Host) -> str | None:
    """Name the first filter that this host can never pass as it is registered now."""
    need = demand.need
    if not serves(host, need.type):
        return "task_type"
    if not all(provides(host.capabilities, wanted) for wanted in need.required):
        return "capability"
    if not host.enabled:
        return "disabled"
    if need.host is not None and need.host != host.id:
        return "pinned"
    if need.heavy and not _takes_heavy(host, demand.fallback):
        return "placement"
    return None


def _takes_heavy(host: Host, fallback: bool) -> bool:
    return host.placement is Placement.USER_SPACE or host.flags.accepts_heavy or fallback


def _fit(need: Need, entry: HostEntry) -> Fit:
    host = entry.spec
    asked = (*need.required, *need.preferred)
    present = sum(provides(host.capabilities, wanted) for wanted in asked)
    return Fit(
        host=host.id,
        seq=entry.seq,
        limit=host.limits.max_concurrency,
        capability=round(present / len(asked), 6) if asked else 1.0,
        resource=1.0 if _suits(host, need.heavy) else 0.5,
        fitness=FITNESS[entry.status],
    )


def _suits(host: Host, heavy: bool) -> bool:
    if heavy:
        return host.placement is Placement.USER_SPACE
    return host.placement is Placement.ORCHESTRATOR and not host.flags.requires_user_space
