"""Which host gets a task: hard filters, then a score. Pure, so that any route can be recomputed.

`screen` is what depends on the hosts alone and may be kept; `choose` adds slots and preference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from contracts.cached import declares
from contracts.host import Capability, HealthStatus, Host, Placement, operated
from contracts.route import Candidate, Policy
from services.outside.fits import USABLE, pinned, provides, unfit
from services.router.settings import Settings

POLICY_VERSION = 5
"""Goes up whenever the same inputs may give another route."""
RECOMPUTED = frozenset({1, 2, 3, 4, POLICY_VERSION})
"""Versions whose routes these rules give again. The first put some versions of capabilities in
another order, those that are not plain numbers: only where these decide may a route differ. The
second took a pinned name as it is, and knew no shares of users' own hosts; its logs have no hosts
with owners in their ids. The third knew no hosts that are for some users alone, and its logs have
none; nor did the fourth know tasks that ask, which go to the host that was asked about."""
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
    hidden: tuple[str, ...] = ()
    """Hosts that are not there for whoever asks: not for their roles, name or project."""
    denied: tuple[str, ...] = ()
    """Hosts that they see, but may not have this task type or tool of."""


class HostEntry(msgspec.Struct):
    """A registered host and how it does."""

    spec: Host
    seq: int
    """Sequence of its newest `mcp.registered`."""
    status: HealthStatus = HealthStatus.UNKNOWN
    reason: str = ""
    """Why, in the words of its newest `mcp.health`."""
    since: int = 0
    """Sequence of the fact since which it has been usable, or has not."""
    since_at: float = 0.0
    """Log time of that."""


class Fit(msgspec.Struct, frozen=True, gc=False):
    """A host that passed every filter but the slots, and its score so far."""

    host: str
    seq: int
    limit: int
    capability: float
    resource: float
    fitness: float
    foreign: bool = False
    """It is one of the user's own."""


class Screen(msgspec.Struct, frozen=True):
    """Outcome of the filters that depend on the hosts alone."""

    fits: tuple[Fit, ...]
    removed: dict[str, tuple[str, ...]]
    possible: bool
    """Some host could serve this once it is enabled, healthy and has a slot."""
    lifted: bool
    """Only excluded hosts are left, so they count again."""
    foreign: bool = False
    """Some of them are the user's own."""
    down: str | None = None
    """The one host that may serve it, where that is not usable now."""
    caches: tuple[str, ...] = ()
    """Those that may serve it, usable or not, and may let an earlier answer be given again."""


class Selection(msgspec.Struct, frozen=True):
    """The chosen host and why."""

    host: str
    host_seq: int
    score: float
    candidates: tuple[Candidate, ...]
    removed: dict[str, tuple[str, ...]]
    slots: dict[str, int]
    policy: Policy
    foreign: bool = False
    """The chosen host is one of the user's own."""
    no_foreign: bool = False
    """See `Route.no_foreign`."""


Taste = Callable[[str, str], float]
"""From a user and a host to a preference of 0 to 1."""


def policy(settings: Settings) -> Policy:
    """Return what stands in each route: the version of these rules and a digest of the settings."""
    text = msgspec.json.encode(settings, order="deterministic")
    return Policy(POLICY_VERSION, sha256(text).hexdigest()[:16])


def screen(demand: Demand, hosts: Iterable[HostEntry]) -> Screen:
    """Apply every filter but the slots.

    Hosts of other users, and those that are not for this one, are not even named: what is removed
    is shown to the task's user.
    """
    removed: dict[str, list[str]] = {}
    left: list[HostEntry] = []
    possible, caches = False, []
    visible = _visible(demand, hosts)
    only = _pinned(demand, visible)
    for entry in sorted(visible, key=lambda entry: entry.spec.id):
        if (name := _unable(demand, entry.spec, only)) is not None:
            removed.setdefault(name, []).append(entry.spec.id)
            possible = possible or (name == "disabled" and _able_again(demand, entry.spec, only))
            continue
        possible = True
        if declares(entry.spec, demand.need.type):
            caches.append(entry.spec.id)
        if entry.status in USABLE:
            left.append(entry)
        else:
            removed.setdefault("health", []).append(entry.spec.id)
    others = [entry for entry in left if entry.spec.id not in demand.excluded]
    lifted = not others and bool(left)
    if not lifted and len(others) < len(left):
        removed["excluded"] = [e.spec.id for e in left if e.spec.id in demand.excluded]
    fits = tuple(_fit(demand.need, entry) for entry in (left if lifted else others))
    foreign, waits = any(fit.foreign for fit in fits), possible and not left
    down = only if waits else None
    return Screen(fits, _named(removed), possible, lifted, foreign, down, tuple(caches))


def choose(
    found: Screen,
    user: str,
    slots: Mapping[str, int],
    taste: Taste,
    policy: Policy,
    *,
    no_foreign: bool = False,
) -> Selection | None:
    """Score the hosts that have a free slot and take the best; None when all are full.

    `no_foreign`: the user's own hosts have their share of the executors' slots already.
    """
    ranked: list[tuple[float, str, Fit, float, float]] = []
    removed: dict[str, list[str]] = {}
    taken: dict[str, int] = {}
    for fit in found.fits:
        host, limit = fit.host, fit.limit
        used = slots.get(host, 0)
        if used:
            taken[host] = used
        if used >= limit or (fit.foreign and no_foreign):
            removed.setdefault("slots" if used >= limit else "share", []).append(host)
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
        removed={**found.removed, **_named(removed)} if removed else found.removed,
        slots=taken,
        policy=policy,
        foreign=best.foreign,
        no_foreign=no_foreign,
    )


def select(
    demand: Demand,
    hosts: Iterable[HostEntry],
    slots: Mapping[str, int],
    taste: Taste,
    policy: Policy,
    *,
    no_foreign: bool = False,
) -> Selection | None:
    """The whole decision for one task; None: nobody can take it now."""
    found = screen(demand, hosts)
    return choose(found, demand.user, slots, taste, policy, no_foreign=no_foreign)


def score(capability: float, resource: float, health: float, preference: float) -> float:
    """Weigh the four parts, each 0 to 1; six digits, so that every machine gets the same."""
    a, b, c, d = WEIGHTS
    return round(a * capability + b * resource + c * health + d * preference, 6)


def why_nobody(demand: Demand, hosts: Iterable[HostEntry]) -> str:
    """Say for each host the user may know of why it can't serve this; at most about 2 KiB."""
    visible = _visible(demand, hosts)
    type_, only = demand.need.type, _pinned(demand, visible)
    reasons = {entry.spec.id: _unable(demand, entry.spec, only) for entry in visible}
    if not reasons:
        return "no host is registered"
    if only is not None:
        if only not in reasons:
            return f"host {demand.need.host!r} is not registered"
        return f"host {only!r} can't serve task type {type_!r}: {reasons[only]}"
    shown = ", ".join(f"{id_}: {reasons[id_]}" for id_ in sorted(reasons)[:NAMED])
    more = f" and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return f"no host can serve task type {type_!r} ({shown}{more})"


def _visible(demand: Demand, hosts: Iterable[HostEntry]) -> list[HostEntry]:
    """The hosts that the task's user may know of."""
    found = [entry for entry in hosts if entry.spec.owner in (None, demand.user)]
    if demand.hidden:
        return [entry for entry in found if entry.spec.id not in demand.hidden]
    return found


def _pinned(demand: Demand, visible: Iterable[HostEntry]) -> str | None:
    return pinned(demand.need.host, demand.user, {entry.spec.id for entry in visible})


def _unable(demand: Demand, host: Host, only: str | None) -> str | None:
    """Name the first filter that this host can never pass as it is registered now."""
    need, fallback = demand.need, demand.fallback
    why = unfit(host, need.type, need.required, only, heavy=need.heavy, fallback=fallback)
    return "not_permitted" if why is None and host.id in demand.denied else why


def _able_again(demand: Demand, host: Host, only: str | None) -> bool:
    """Whether a disabled host could serve this: it may be enabled again at any moment."""
    return _unable(demand, msgspec.structs.replace(host, enabled=True), only) is None


def _named(removed: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(ids[:NAMED]) for name, ids in removed.items()}


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
        foreign=not operated(host),
    )


def _suits(host: Host, heavy: bool) -> bool:
    if heavy:
        return host.placement is Placement.USER_SPACE
    return host.placement is Placement.ORCHESTRATOR and not host.flags.requires_user_space
