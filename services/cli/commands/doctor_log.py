"""What the doctor says of secrets that stand in the log: in hosts of releases that took them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from contracts.facts import McpRegistered, McpRemoved, Record
from contracts.subjects import REGISTERED, REMOVED
from services.bus.bus import BusError
from services.cli.commands.log import open_log
from services.cli.common import CliError, Options
from services.cli.show.hosts import Finding
from services.keys import spotting
from services.log.port import Log, LogUnavailable

MOST_HOSTS = 100
"""Hosts that are told of one by one."""
_ROTATE = "Change it where it comes from: the log keeps it for ever, and its copies do too."
_MEND = (
    "Put a new one among the secrets and describe the host anew, with {secret:NAME} in its place"
    " (docs/manifest.md#secrets)."
)


class Standing(msgspec.Struct):
    """Secrets of one host."""

    seqs: list[int] = []
    places: dict[str, str] = {}
    """What gives each away."""
    still: bool = False
    """The host is described so now."""


async def logged(options: Options) -> list[Finding]:
    """One finding for each host whose secrets stand in the log of this data folder; none where it
    can't be read, of which others tell."""
    try:
        async with open_log(options) as log:
            return found(await spotted(records(log)))
    except (CliError, BusError, LogUnavailable, OSError):
        return []


async def records(log: Log) -> AsyncIterator[Record]:
    """All that was said about which hosts there are."""
    async for batch in log.scan((REGISTERED, REMOVED), 0, await log.head()):
        for record in batch.records:
            yield record


async def spotted(facts: AsyncIterator[Record]) -> dict[str, Standing]:
    """The hosts among these facts that have had secrets in them."""
    hosts: dict[str, Standing] = {}
    async for record in facts:
        fact = record.fact
        if isinstance(fact, McpRemoved) and fact.host in hosts:
            hosts[fact.host].still = False
        if not isinstance(fact, McpRegistered):
            continue
        secrets = spotting.spotted(fact.spec.endpoint)
        if not secrets:
            if fact.host in hosts:
                hosts[fact.host].still = False
            continue
        stands = hosts.setdefault(fact.host, Standing())
        stands.seqs.append(record.seq)
        stands.places |= {one.where: one.why for one in secrets}
        stands.still = True
    return hosts


def found(hosts: dict[str, Standing]) -> list[Finding]:
    """What is said of them: the operator's to mend first."""
    ordered = sorted(hosts.items(), key=lambda one: (not one[1].still, one[0]))
    told = [_finding(host, stands) for host, stands in ordered[:MOST_HOSTS]]
    if (more := len(ordered) - MOST_HOSTS) > 0:
        told.append(Finding("secrets in the log", "off", f"and of {more} hosts more", _ROTATE))
    return told


def _finding(host: str, stands: Standing) -> Finding:
    places = ", ".join(f"endpoint.{where} ({why})" for where, why in stands.places.items())
    detail = f"the log has a secret of it, at {_listed(stands.seqs)}: {places[:400]}"
    hint = f"{_ROTATE} {_MEND}" if stands.still else _ROTATE
    return Finding(f"secrets of {host}", "failed" if stands.still else "off", detail, hint)


def _listed(seqs: Iterable[int]) -> str:
    first, *others = list(seqs)
    if not others:
        return f"seq {first}"
    return f"seq {first} to {others[-1]} ({1 + len(others)} facts)"
