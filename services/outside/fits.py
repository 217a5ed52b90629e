"""Which hosts can serve a task as they are registered, and how to say why one can't now. Pure.

What it takes to decide between them is the router's; everybody else may only tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from packaging.version import Version

from contracts.host import Capability, HealthStatus, Host, Placement
from contracts.ids import host_id
from contracts.task import TaskSpec, serves

USABLE = frozenset({HealthStatus.HEALTHY, HealthStatus.WARNING})
"""Work is sent to no other host: it waits until one of these has a slot, or for its deadline."""
_NAMED = 3
"""At most so many hosts are named in one sentence."""
_NUMBERS = re.compile(r"v?([0-9]{1,18}(?:\.[0-9]{1,18})*)")


class HostState(NamedTuple):
    """A host that whoever asks may know of, and how it does."""

    host: Host
    status: HealthStatus
    reason: str = ""
    """Why, in the words of `mcp.health`."""


def pinned(named: str | None, user: str, there: Collection[str]) -> str | None:
    """The id of the host that a task names, of those that are `there`: a bare name is that of the
    operator's host, and where there is none, of the user's own."""
    if named is None or "/" in named or named in there:
        return named
    return host_id(user, named)


def unfit(
    host: Host,
    type_: str,
    required: Iterable[Capability],
    only: str | None,
    *,
    heavy: bool,
    fallback: bool = False,
) -> str | None:
    """Name the first thing by which this host can never serve it as it is registered now.

    `only`: the one host it may go to; `fallback`: its Space failed, others may have it.
    """
    if not serves(host, type_):
        return "task_type"
    if not all(provides(host.capabilities, wanted) for wanted in required):
        return "capability"
    if not host.enabled:
        return "disabled"
    if only is not None and only != host.id:
        return "pinned"
    if heavy and not _takes_heavy(host, fallback):
        return "placement"
    return None


def down(host: str, status: HealthStatus, reason: str) -> str:
    """Say of a host that is not usable what is known of it."""
    said = "is not known to answer yet" if status is HealthStatus.UNKNOWN else f"is {status}"
    return f"host {host} {said}" + (f": {reason}" if reason else "")


def waiting(spec: TaskSpec, user: str, hosts: Iterable[HostState], used: Mapping[str, int]) -> str:
    """Say what a task that has no host waits for; empty: for its turn only.

    `hosts` are those its asker may use; `used`: calls in flight by host.
    """
    known = list(hosts)
    only = pinned(spec.host, user, {one.host.id for one in known})
    type_, needs = spec.type, spec.required_capabilities
    reasons = {
        one.host.id: unfit(one.host, type_, needs, only, heavy=spec.is_heavy) for one in known
    }
    able = [one for one in known if reasons[one.host.id] is None]
    if not able:
        return _nobody(spec, only, reasons)
    ready = [one for one in able if one.status in USABLE]
    if not ready:
        told = [down(one.host.id, one.status, one.reason) for one in able[:_NAMED]]
        more = f"; and {len(able) - _NAMED} more" if len(able) > _NAMED else ""
        return "; ".join(told) + more
    if any(used.get(one.host.id, 0) < one.host.limits.max_concurrency for one in ready):
        return ""
    full = ", ".join(
        f"{one.host.id} ({one.host.limits.max_concurrency} at once)" for one in ready[:_NAMED]
    )
    more = f" and {len(ready) - _NAMED} more" if len(ready) > _NAMED else ""
    return f"every host for it is at its limit: {full}{more}"


def _nobody(spec: TaskSpec, only: str | None, reasons: Mapping[str, str | None]) -> str:
    if only is not None:
        why = reasons.get(only)
        if why is None:
            return f"host {spec.host} is not registered"
        return f"host {only} is disabled" if why == "disabled" else f"host {only}: {why}"
    lacking = [id_ for id_, why in reasons.items() if why == "capability"]
    if lacking:
        wanted = ", ".join(f"{one.name} {one.version}" for one in spec.required_capabilities)
        return f"no host for {spec.type} has the capabilities {wanted}"
    off = [id_ for id_, why in reasons.items() if why == "disabled"]
    return f"no host serves {spec.type}" + (f"; disabled: {', '.join(off[:_NAMED])}" * bool(off))


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


def _takes_heavy(host: Host, fallback: bool) -> bool:
    return host.placement is Placement.USER_SPACE or host.flags.accepts_heavy or fallback
