"""Routes for whoever audits a task: its facts as they are stored, its keys, its routes anew.

The console checks them in the browser; nothing here says that they are right but the router.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from litestar import get
from litestar.params import FromPath

from contracts import scopes
from contracts.audit import Check, RecomputeRequest, RouteRecomputed, RoutesRecomputed
from contracts.facts import McpRegistered, Record, TaskRouted, Unknown
from contracts.host import Host
from contracts.route import Candidate
from services.audit.checks import key_subjects
from services.gateway.access.identity import Principal
from services.gateway.domain import no_task
from services.gateway.http.parts import Asking, Envelope, Parts, User, Wired, ok, owner_of
from services.gateway.openapi.document import described
from services.outside import addresses

RECOMPUTE_S = 35.0
"""How long a router may take; it gives up a little before that by itself."""


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact as it is stored: its digests are over these very characters."""

    seq: int
    at: float
    """Log time, seconds since the epoch."""
    subject: str
    fact: str
    """The JSON of it."""
    unread: str = ""
    """Not empty: this release can't read it, for this reason."""


class PermitAudience(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom permits for a host are for, by its registration."""

    host_seq: int
    audience: str = ""
    """The origin that is called, or the id of a host without one."""
    space: bool = False
    """It is a Space: where that is called is up to its deployment."""
    refused: str = ""
    """Not empty: it has an address that is not called, for this reason."""


class TaskAudit(msgspec.Struct, frozen=True):
    """What an audit of a task needs of the log."""

    task: str
    user: str
    records: list[AuditRecord]
    """All facts of the task, in order."""
    keys: list[AuditRecord]
    """The `log.key` facts that its permits name."""
    audiences: list[PermitAudience]
    """One for each `host_seq` of its routes that is a registration."""


class TaskTrace(msgspec.Struct, frozen=True):
    """Where the task stands in the traces of whoever sent it; empty: it was sent without one."""

    task: str
    traceparent: str
    """As W3C has it."""
    trace_id: str
    url: str
    """Where it is shown, if the setting `trace_url` says that."""


EXAMPLES = (
    TaskAudit(
        "t1",
        "ann",
        [AuditRecord(41, 1767225600.0, "task.created.ann.t1", '{"type":"task.created","id":"f1"}')],
        [AuditRecord(7, 1767225000.0, "log.key.k1", '{"type":"log.key","id":"f0","kid":"k1"}')],
        [PermitAudience(12, "https://tools.example.com")],
    ),
    RoutesRecomputed(
        "t1",
        (RouteRecomputed(43, 1, "tools", 0.95, (Candidate("tools", 0.95, 1.0, 1.0, 0.9, 0.7),)),),
        (Check("routes recomputed", True, "tools with 0.950 from basis 41"),),
        57,
    ),
    TaskTrace(
        "t1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0af7651916cd43dd8448eb211c80319c",
        "https://traces.example.com/trace/0af7651916cd43dd8448eb211c80319c",
    ),
)


@get("/api/tasks/{task:str}/audit", opt=described(scope=scopes.RESULTS_READ, errors=(503,)))
async def get_audit(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[TaskAudit]:
    """Return what an audit of the task needs: its facts as they are stored, and the keys."""
    owner, records = await _of_task(parts, principal, user, task)
    keys = await parts.log.read_last(key_subjects(records), reach=records[-1].seq)
    routed = (r.fact.route.host_seq for r in records if isinstance(r.fact, TaskRouted))
    hosts = [await parts.log.at(seq) for seq in dict.fromkeys(routed)]
    return ok(TaskAudit(task, owner, as_stored(records), as_stored(keys), audiences(hosts)))


@get("/api/tasks/{task:str}/recompute", opt=described(scope=scopes.TASKS_READ, errors=(413, 503)))
async def recompute_routes(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[RoutesRecomputed]:
    """Have a router decide the task's routes once more from the log, and say whether they agree.

    It reads the facts of the task's user and of hosts; 413 where these are too many.
    """
    owner, _ = await _of_task(parts, principal, user, task)
    request = RecomputeRequest(owner, task)
    found = await parts.others.ask(
        "router", "recompute", request, RoutesRecomputed, within_s=RECOMPUTE_S
    )
    return ok(found)


@get("/api/tasks/{task:str}/trace", opt=described(scope=scopes.TASKS_READ, errors=(503,)))
async def get_trace(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[TaskTrace]:
    """Return the trace that the task was sent in, and where it is shown."""
    _, records = await _of_task(parts, principal, user, task)
    return ok(traced(task, records[0].trace, parts.settings.trace_url))


async def _of_task(
    parts: Parts, principal: Principal, user: str | None, task: str
) -> tuple[str, list[Record]]:
    owner = await owner_of(parts, principal, user, task)
    records = await parts.desk.facts(owner, task)
    if not records:
        raise no_task(task)
    return owner, records


def as_stored(records: Iterable[Record]) -> list[AuditRecord]:
    """Facts with the very text that the log has."""
    return [_as_stored(record) for record in records]


def _as_stored(record: Record) -> AuditRecord:
    fact = record.fact
    if isinstance(fact, Unknown):
        return AuditRecord(
            record.seq, record.at, record.subject, fact.json.decode(), fact.why or "unknown"
        )
    return AuditRecord(record.seq, record.at, record.subject, record.data.decode())


def audiences(hosts: Iterable[Record | None]) -> list[PermitAudience]:
    """Whom permits are for, by these registrations."""
    known = ((r.seq, r.fact.spec) for r in hosts if r and isinstance(r.fact, McpRegistered))
    return [_audience(seq, spec) for seq, spec in known]


def _audience(seq: int, spec: Host) -> PermitAudience:
    url = getattr(spec.endpoint, "url", "")
    if url[:5].lower() == "hf://":
        return PermitAudience(seq, space=True)
    try:
        return PermitAudience(seq, addresses.audience(spec))
    except addresses.AddressRefused as refused:
        return PermitAudience(seq, refused=str(refused))


def traced(task: str, traceparent: str, template: str) -> TaskTrace:
    """The trace, and its address by the template of the settings."""
    trace_id = traceparent.split("-")[1] if traceparent else ""
    url = template.replace("{trace_id}", trace_id) if trace_id else ""
    return TaskTrace(task, traceparent, trace_id, url)


ROUTES = (get_audit, recompute_routes, get_trace)
