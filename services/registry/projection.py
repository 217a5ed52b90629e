"""The registry's view of the log: one row per host that ever was, and the same in memory.

Rows are derived from the state, so a rebuilt file equals the old one.
"""

from __future__ import annotations

import msgspec

from contracts import subjects
from contracts.facts import McpHealth, McpRegistered, McpRemoved, Record, Unknown
from contracts.host import HealthStatus, Host
from services.log.projection import Change, Projection
from services.registry import domain
from services.registry.domain import Known
from services.registry.pace import Paces

VERSION = 4
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS hosts (
        host TEXT PRIMARY KEY, spec BLOB, seq INTEGER, registered_k INTEGER, removed_k INTEGER,
        health_k INTEGER, status TEXT, reason TEXT, latency_ms REAL, since REAL, unread INTEGER,
        paces BLOB)""",
)
_COLUMNS = (
    "host, spec, seq, registered_k, removed_k, health_k, status, reason, latency_ms, since, unread,"
    " paces"
)
_WRITE = f"REPLACE INTO hosts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_READ = f"SELECT {_COLUMNS} FROM hosts ORDER BY host"


class _Hosts(dict[str, Known]):
    """Of a host that is not there, nothing is known: so it is while all is read anew."""

    def __missing__(self, host: str) -> Known:
        return domain.NOTHING


class View:
    """The hosts as of the sequence applied last."""

    def __init__(self) -> None:
        self.hosts: dict[str, Known] = _Hosts(domain.initial())

    async def restore(self, projection: Projection) -> None:
        """Take over what the file holds."""
        self.hosts = _Hosts({row[0]: _known(row) for row in await projection.query(_READ)})

    def fold(self, records: list[Record]) -> None:
        """Take the facts up."""
        for record in records:
            match record.fact:
                case McpRegistered() | McpRemoved() | McpHealth() as fact:
                    before = self.hosts.get(fact.host, domain.NOTHING)
                    self.hosts[fact.host] = domain.evolve(before, record.seq, record.at, fact)
                case Unknown() if host := host_of(record):
                    before = self.hosts.get(host, domain.NOTHING)
                    self.hosts[host] = _pass_over(before, record)
                case _:
                    continue

    def apply(self, records: list[Record]) -> list[Change]:
        """Return the rows of the hosts these facts are about, as they are now."""
        touched = {host: None for record in records if (host := host_of(record))}
        return [Change(_WRITE, [_row(name, self.hosts[name]) for name in touched])]

    def reset(self) -> None:
        """Forget everything: the log is another one."""
        self.hosts = _Hosts(domain.initial())


def host_of(record: Record) -> str:
    """The host that a record is about; empty if that is not told."""
    if isinstance(record.fact, McpRegistered | McpRemoved | McpHealth):
        return record.fact.host
    return subjects.parse(record.subject).host


def _pass_over(known: Known, record: Record) -> Known:
    """Take a record that can't be read for what its subject says: the next number is taken, and a
    host registered so is none of this registry's.

    What was known of its health is not known any more: who follows the log has forgotten the host
    with it, so the next probe's finding has to be said again.
    """
    what = subjects.parse(record.subject)
    replace = msgspec.structs.replace
    new = replace(known, status=HealthStatus.UNKNOWN, reason="")
    match what.type:
        case "mcp.registered":
            return replace(new, spec=None, seq=record.seq, registered_k=what.number, unread=True)
        case "mcp.removed":
            return replace(new, spec=None, removed_k=what.number, unread=False)
        case "mcp.health":
            return replace(new, health_k=what.number)
        case _:
            return known


def _row(name: str, known: Known) -> tuple[object, ...]:
    spec = None if known.spec is None else msgspec.json.encode(known.spec)
    counters = (known.seq, known.registered_k, known.removed_k, known.health_k)
    health = (known.status, known.reason, known.latency_ms, known.since)
    return (name, spec, *counters, *health, known.unread, msgspec.json.encode(known.paces))


def _known(row: tuple[object, ...]) -> Known:
    _, spec, *rest = row
    decoded = None if spec is None else msgspec.json.decode(_bytes(spec), type=Host)
    *rest, unread, paces = rest
    fields = msgspec.convert(rest, tuple[int, int, int, int, HealthStatus, str, float, float])
    told = msgspec.json.decode(_bytes(paces), type=Paces)
    return Known(decoded, *fields, unread=bool(unread), paces=told)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"bytes, not {type(value).__name__}")
    return value
