"""The registry's view of the log: one row per host that ever was, and the same in memory.

Rows are derived from the state, so a rebuilt file equals the old one.
"""

from __future__ import annotations

import msgspec

from contracts.facts import McpHealth, McpRegistered, McpRemoved, Record
from contracts.host import HealthStatus, Host
from services.log.projection import Change, Projection
from services.registry import domain
from services.registry.domain import Known

VERSION = 1
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS hosts (
        host TEXT PRIMARY KEY, spec BLOB, seq INTEGER, registered_k INTEGER, removed_k INTEGER,
        health_k INTEGER, status TEXT, reason TEXT, latency_ms REAL, since REAL)""",
)
_COLUMNS = "host, spec, seq, registered_k, removed_k, health_k, status, reason, latency_ms, since"
_WRITE = f"REPLACE INTO hosts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_READ = f"SELECT {_COLUMNS} FROM hosts ORDER BY host"


class View:
    """The hosts as of the sequence applied last."""

    def __init__(self) -> None:
        self.hosts: dict[str, Known] = domain.initial()

    async def restore(self, projection: Projection) -> None:
        """Take over what the file holds."""
        self.hosts = {row[0]: _known(row) for row in await projection.query(_READ)}

    def fold(self, records: list[Record]) -> None:
        """Take the facts up."""
        for record in records:
            match record.fact:
                case McpRegistered() | McpRemoved() | McpHealth() as fact:
                    before = self.hosts.get(fact.host, domain.NOTHING)
                    self.hosts[fact.host] = domain.evolve(before, record.seq, record.at, fact)
                case _:
                    continue

    def apply(self, records: list[Record]) -> list[Change]:
        """Return the rows of the hosts these facts are about, as they are now."""
        hosts = (McpRegistered, McpRemoved, McpHealth)
        touched = {r.fact.host: None for r in records if isinstance(r.fact, hosts)}
        return [Change(_WRITE, [_row(name, self.hosts[name]) for name in touched])]

    def reset(self) -> None:
        """Forget everything: the log is another one."""
        self.hosts = domain.initial()


def _row(name: str, known: Known) -> tuple[object, ...]:
    spec = None if known.spec is None else msgspec.json.encode(known.spec)
    counters = (known.seq, known.registered_k, known.removed_k, known.health_k)
    return (name, spec, *counters, known.status, known.reason, known.latency_ms, known.since)


def _known(row: tuple[object, ...]) -> Known:
    _, spec, *rest = row
    decoded = None if spec is None else msgspec.json.decode(_bytes(spec), type=Host)
    fields = msgspec.convert(rest, tuple[int, int, int, int, HealthStatus, str, float, float])
    return Known(decoded, *fields)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
