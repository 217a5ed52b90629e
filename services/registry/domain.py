"""Which hosts there are and how healthy: what to append, given manifests, probes and the log.

Pure: no clock, no randomness, no I/O. Facts come out without id and writer; the actor adds both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias, assert_never

import msgspec

from contracts.facts import AnyFact, HostFact, McpHealth, McpRegistered, McpRemoved
from contracts.host import MANIFEST, SPACE, Capability, HealthStatus, Host, Tool, clamped
from contracts.wire import Breaker
from services.registry.pace import Paces

DISABLED = "disabled: a manifest, METAMCP_REGISTRY_DISABLED or a command says so"
_OFF = HealthStatus.UNKNOWN, DISABLED
RECOVERING = "recovering: it answers again; one more good probe makes it healthy"
HEARD_S = 10.0
"""An open breaker that is not heard of again for so long counts no more: its executor is gone."""
MOST_HEARD = 10_000
"""Open breakers that are remembered; the one heard of longest ago makes way."""
SPACE_S = 300.0
_JITTER = 0.2
_SOON = 0.2
_LONGEST_S = 300.0
_LONGEST_REASON = 1500


class Known(msgspec.Struct, frozen=True):
    """What the log says about one host."""

    spec: Host | None = None
    """None: removed, or never registered."""
    seq: int = 0
    """Sequence of the `mcp.registered` fact that `spec` comes from."""
    registered_k: int = 0
    removed_k: int = 0
    health_k: int = 0
    status: HealthStatus = HealthStatus.UNKNOWN
    reason: str = ""
    latency_ms: float = 0.0
    since: float = 0.0
    """Log time of the last change of health, seconds since the epoch."""
    unread: bool = False
    """Its last registration can't be read by this release: it is no host here, and its id taken."""
    paces: Paces = Paces()


State: TypeAlias = Mapping[str, Known]
NOTHING = Known()


class Discovery(msgspec.Struct, frozen=True):
    """What a host says about itself."""

    tools: tuple[Tool, ...]
    server: str = ""
    protocol: str = ""
    instructions: str = ""
    features: tuple[str, ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """The manifests name exactly these hosts."""

    hosts: tuple[Host, ...]


class Held(msgspec.Struct, frozen=True):
    """A host that is not to be probed now: its Space sleeps, is being built, …"""

    status: HealthStatus
    reason: str


class Staged(msgspec.Struct, frozen=True):
    """A host was not probed, because it is held."""

    host: str
    seq: int
    held: Held


class ProbeEnded(msgspec.Struct, frozen=True):
    """A probe of `host` as it stood at sequence `seq` ended.

    Calls that fail are a probe that failed, see `failing`.
    """

    host: str
    seq: int
    reason: str = ""
    """Empty: it answered. Else `<kind>: <what happened and what to do>`."""
    latency_ms: float = 0.0
    discovery: Discovery | None = None
    flapping: str = ""
    """Not empty: it answers, but half of its last calls failed, or not everybody's can work."""
    said: str = ""
    """Why its program did not start, in its own words."""

    @property
    def ok(self) -> bool:
        """Whether the host answered as it should."""
        return not self.reason


Command: TypeAlias = Listed | ProbeEnded | Staged


class Heard(msgspec.Struct, frozen=True):
    """Calls that fail, as their executor has told."""

    host_seq: int
    """The registration whose calls fail."""
    reason: str
    at: float
    """When it was told last, in monotonic seconds."""
    open: bool = True
    """The circuit breaker is open; else only half of the last calls failed."""
    calls: int = 0
    faults: int = 0
    deaths: int = 0


Open: TypeAlias = Mapping[tuple[str, str], Heard]
"""Open breakers, and hosts that flap, by host and executor."""


def initial() -> dict[str, Known]:
    """No host is known."""
    return {}


def decide(state: State, command: Command) -> list[HostFact]:
    """Return the facts to append.

    Listing the same hosts again, or finding a healthy host healthy again, appends nothing.
    """
    match command:
        case Listed():
            return _reconcile(state, command.hosts)
        case ProbeEnded():
            return _observe(state, command)
        case Staged():
            return _stage(state, command)
        case _:
            assert_never(command)


def evolve(known: Known, seq: int, at: float, fact: AnyFact) -> Known:
    """Apply one fact of one host. Total: facts that say nothing about hosts change nothing."""
    replace = msgspec.structs.replace
    match fact:
        case McpRegistered():
            spec = clamped(fact.spec)
            known = replace(known, paces=known.paces.registered(spec, at))
            return replace(known, spec=spec, seq=seq, registered_k=fact.k, unread=False)
        case McpRemoved():
            # A host of the same name that comes later starts without this one's reputation.
            counters = known.seq, known.registered_k, fact.k, known.health_k
            return Known(None, *counters, since=at, paces=known.paces)
        case McpHealth():
            paces = known.paces.health(known.spec, at)
            known = replace(known, status=fact.status, reason=fact.reason, paces=paces)
            return replace(known, health_k=fact.k, latency_ms=fact.latency_ms, since=at)
        case _:
            return known


def judge(before: HealthStatus, ok: bool) -> HealthStatus:
    """The status after one more probe.

    Down in two steps (healthy, warning, unhealthy), and up from unhealthy in two as well, so that a
    flapping host is never called healthy on its first good answer. A host nobody knows yet has no
    good name to lose: it becomes healthy or unhealthy at once.
    """
    if before is HealthStatus.UNHEALTHY:
        return HealthStatus.WARNING if ok else HealthStatus.UNHEALTHY
    if ok:
        return HealthStatus.HEALTHY
    return HealthStatus.WARNING if before is HealthStatus.HEALTHY else HealthStatus.UNHEALTHY


def hear(before: Open, told: Breaker, now: float) -> Open:
    """The open breakers after an executor has told about one of its own."""
    after = {key: heard for key, heard in before.items() if now - heard.at <= HEARD_S}
    after.pop((told.host, told.instance), None)
    if told.open or told.recent_faults or told.deaths:
        after[told.host, told.instance] = Heard(
            told.host_seq,
            told.reason[:_LONGEST_REASON],
            now,
            told.open,
            told.recent_calls,
            told.recent_faults,
            told.deaths,
        )
    if len(after) > MOST_HEARD:
        del after[next(iter(after))]
    return after


def failing(open_: Open, host: str, known: Known, now: float) -> str:
    """Why a host does not work whatever its probes say, as a reason; empty: nobody says so.

    That is so while any executor has an open breaker for the host as it is registered now.
    """
    reasons = {who: heard.reason for who, heard in _heard(open_, host, known, now) if heard.open}
    if not reasons:
        return ""
    executor = min(reasons)
    return f"calls: {reasons[executor]} ({executor})"


def flapping(open_: Open, host: str, known: Known, now: float) -> str:
    """Why a host is not well although it answers, as a reason: half of its last calls failed, or
    its sessions die."""
    heard = [told for _, told in _heard(open_, host, known, now)]
    faults, calls = sum(told.faults for told in heard), sum(told.calls for told in heard)
    if deaths := sum(told.deaths for told in heard):
        return f"calls: its process died or fell silent {deaths} times lately, in calls"
    return f"calls: {faults} of the last {calls} calls failed" if faults else ""


def _heard(open_: Open, host: str, known: Known, now: float) -> list[tuple[str, Heard]]:
    if known.spec is None:
        return []
    return [
        (executor, heard)
        for (name, executor), heard in open_.items()
        if name == host and heard.host_seq == known.seq and now - heard.at <= HEARD_S
    ]


def interval_s(spec: Host, status: HealthStatus) -> float:
    """Seconds between two probes. A Space that is well is asked less often: each request keeps it
    awake."""
    own = spec.probe.interval_s
    return max(own, SPACE_S) if spec.source == SPACE and status is HealthStatus.HEALTHY else own


def first_probe_s(host: str, interval_s: float, status: HealthStatus) -> float:
    """Seconds until the first probe of a host after a start of the registry.

    What was well is looked at within its interval, at a time of its own, so that hundreds of hosts
    are no herd; everything else at once.
    """
    return interval_s * share(host) if status is HealthStatus.HEALTHY else 0.0


def next_probe_s(
    host: str, interval_s: float, status: HealthStatus, failures: int, n: int
) -> float:
    """Seconds until probe `n` of this host: its interval, sooner in doubt, later while it is down.

    `failures` counts failed probes in a row. Jitter of a tenth either way comes from a hash, so
    that many hosts never fall into step.
    """
    if status is HealthStatus.WARNING:
        delay = interval_s * _SOON
    elif failures > 1:
        delay = max(interval_s, min(_LONGEST_S, interval_s * 2.0 ** min(failures - 2, 10)))
    else:
        delay = interval_s
    return delay * (1 + _JITTER * (share(f"{host}.{n}") - 0.5))


def share(text: str) -> float:
    """A number from 0 to 1, always the same for this text: spreads what would come at once."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def discovered(host: Host, found: Discovery) -> Host:
    """The host with what discovery found: every tool is also a capability with its parameters.

    A capability that the manifest declares under a tool's name stands.
    """
    own = {capability_of(tool) for tool in found.tools}
    declared = tuple(capability for capability in host.capabilities if capability not in own)
    names = {capability.name for capability in declared}
    more = (capability_of(tool) for tool in found.tools if tool.name not in names)
    return msgspec.structs.replace(
        host,
        capabilities=(*declared, *more),
        **msgspec.structs.asdict(found),
    )


def undiscovered(host: Host) -> Host:
    """The host as the manifest described it: without tools and the capabilities they stand for."""
    own = {capability_of(tool) for tool in host.tools}
    declared = tuple(one for one in host.capabilities if one not in own)
    return discovered(msgspec.structs.replace(host, capabilities=declared), Discovery(()))


def capability_of(tool: Tool) -> Capability:
    """A tool as a capability: its name, and the names of its arguments as parameters."""
    properties = tool.input_schema.get("properties")
    names = sorted(properties) if isinstance(properties, dict) else ()
    return Capability(tool.name, parameters=tuple(names))


def started_alike(one: Host, other: Host) -> bool:
    """Whether a session to one of them serves the other just as well."""
    return one.endpoint == other.endpoint


def probed_alike(one: Host, other: Host) -> bool:
    """Whether what probes one of them can go on with the other."""
    same_start = one.limits.start_s == other.limits.start_s
    return started_alike(one, other) and one.probe == other.probe and same_start


def _reconcile(state: State, hosts: Iterable[Host]) -> list[HostFact]:
    listed = {host.id: host for host in hosts}
    facts: list[HostFact] = []
    for name, host in listed.items():
        facts += renewed(state.get(name, NOTHING), host)
    for name, known in state.items():
        if name not in listed and known.spec is not None and known.spec.source == MANIFEST:
            facts.append(removed(name, known, "no manifest names it any more"))
    return facts


def renewed(known: Known, host: Host) -> list[HostFact]:
    """The facts that bring what is known in line with this description; none if it is so."""
    wanted = _as_registered(host, known.spec)
    facts: list[HostFact] = [] if wanted == known.spec else [registered(known, wanted)]
    return facts if wanted.enabled else facts + _health(known, wanted.id, *_OFF)


def _as_registered(host: Host, before: Host | None) -> Host:
    """The host with what a command has said of it, and what an earlier discovery found of it."""
    if before is None:
        return host
    same = (host.source, host.owner) == (before.source, before.owner)
    if same and before.switched is not None and host.switched is None:
        host = msgspec.structs.replace(host, switched=before.switched, enabled=before.switched)
    if not before.tools or not started_alike(host, before):
        return host
    found = Discovery(before.tools, before.server, before.protocol, "", before.features)
    return discovered(host, found)


def _observe(state: State, probed: ProbeEnded) -> list[HostFact]:
    known = state.get(probed.host, NOTHING)
    if known.spec is None or not known.spec.enabled or known.seq != probed.seq:
        return []  # It has changed since the probe began; the next one will tell.
    facts: list[HostFact] = []
    if probed.discovery is not None:
        bare = undiscovered(known.spec)
        if (spec := discovered(bare, probed.discovery)) != known.spec:
            facts.append(registered(known, spec))
    status = judge(known.status, probed.ok)
    reason = RECOVERING if probed.ok and status is HealthStatus.WARNING else probed.reason
    if probed.flapping and status is HealthStatus.HEALTHY:
        status, reason = HealthStatus.WARNING, probed.flapping
    said = "" if probed.ok else probed.said
    return facts + _health(known, probed.host, status, reason, probed.latency_ms, said)


def _stage(state: State, staged: Staged) -> list[HostFact]:
    known = state.get(staged.host, NOTHING)
    if known.spec is None or not known.spec.enabled or known.seq != staged.seq:
        return []
    return _health(known, staged.host, staged.held.status, staged.held.reason)


def _health(
    known: Known,
    host: str,
    status: HealthStatus,
    reason: str,
    latency_ms: float = 0.0,
    said: str = "",
) -> list[HostFact]:
    """The fact of a change; none if neither the status nor the kind of reason has changed."""
    if status is known.status and _kind(reason) == _kind(known.reason):
        return []
    now = McpHealth(id="", by="", host=host, k=known.health_k + 1, status=status, reason=reason)
    return [msgspec.structs.replace(now, latency_ms=round(latency_ms, 3), said=said)]


def registered(known: Known, spec: Host, was: str = "") -> McpRegistered:
    """The fact that says how the host is; `was` is its id in an earlier release."""
    return McpRegistered(id="", by="", host=spec.id, k=known.registered_k + 1, spec=spec, was=was)


def removed(name: str, known: Known, reason: str) -> McpRemoved:
    """The fact that takes a host away."""
    return McpRemoved(id="", by="", host=name, k=known.removed_k + 1, reason=reason)


def _kind(reason: str) -> str:
    return reason.partition(":")[0]
