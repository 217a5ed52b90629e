"""What an audit asks of a result that was given again: that the router was free to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from contracts import cached
from contracts.facts import (
    JobDone,
    McpRegistered,
    Outcome,
    Record,
    ResultDeleted,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Cache, Host
from contracts.permitted import asker_of, may_run
from contracts.route import OF_ANOTHER, Earlier
from contracts.task import TaskSpec, input_sha256, tool_of

F = TypeVar("F", TaskCreated, TaskRouted, ResultDeleted)


def sources(records: Iterable[Record]) -> list[Earlier]:
    """Where the results of these tasks come from, of those that were given again."""
    ends = (record.fact for record in records)
    return [end.earlier for end in ends if isinstance(end, JobDone) and end.earlier is not None]


def told(records: Iterable[Record]) -> str:
    """From where, in words; empty: nothing was given again."""
    ends = [record.fact for record in records]
    found = [end for end in ends if isinstance(end, JobDone) and end.from_]
    return ", ".join(f"{_name(end)}, on {end.earlier.host}" for end in found if end.earlier)


def given_again(records: Sequence[Record], past: Iterable[Record]) -> Iterator[str]:
    """What is wrong; `past` has the registrations of hosts and all facts of the earlier task."""
    known = {record.seq: record for record in past}
    created = next((r.fact for r in records if isinstance(r.fact, TaskCreated)), None)
    for record in records:
        if not isinstance(end := record.fact, JobDone) or not (end.from_ or end.earlier):
            continue
        source = known.get(end.earlier.seq) if end.earlier else None
        if created is None or end.earlier is None or source is None or source.seq >= record.seq:
            yield "the log does not have the earlier result before it"
        elif not isinstance(work := source.fact, JobDone) or work.outcome is not Outcome.SUCCEEDED:
            yield f"sequence {source.seq} is no success of a task"
        else:
            yield from _same(created, end, work, known)
            yield from _allowed(created, record, source, known)


def _same(
    created: TaskCreated, end: JobDone, work: JobDone, known: Mapping[int, Record]
) -> Iterator[str]:
    """Whether it is the same question and the same answer."""
    if end.outcome is not Outcome.SUCCEEDED or end.attempt or work.from_:
        yield "only the result of work is given again, and as a success without an attempt"
    if end.from_ != (work.task if work.user == end.user else OF_ANOTHER):
        yield f"it names {end.from_}, the earlier result is that of {work.task}"
    if not input_sha256(created.spec) == end.input_sha256 == work.input_sha256:
        yield "the earlier task had another input"
    asked = [fact.spec for _, fact in _of(known, TaskCreated, work)]
    if [_asks(spec) for spec in asked] != [_asks(created.spec)]:
        yield "the earlier task asked for something else"
    ours, theirs = end.result, work.result
    if ours is None or theirs is None or (ours.sha256, ours.size) != (theirs.sha256, theirs.size):
        yield "the result is not that of the earlier task"


def _allowed(
    created: TaskCreated, record: Record, source: Record, known: Mapping[int, Record]
) -> Iterator[str]:
    """Whether the host said that it may be given, to this user and at this time."""
    end, work = record.fact, source.fact
    assert isinstance(end, JobDone), "the caller has looked"
    assert isinstance(work, JobDone), "the caller has looked"
    assert end.earlier is not None, "the caller has looked"
    earlier, spec = end.earlier, created.spec
    host, then = _host(known, earlier.host_seq), _ran_on(known, work)
    if host is None or host.id != earlier.host or work.host != host.id:
        yield f"sequence {earlier.host_seq} does not register {work.host}, which did the work"
        return
    if then is None or cached.version(then) != cached.version(host):
        yield f"{host.id} was another version when it did the work"
    cache = cached.cache_for(host, spec.type, tool_of(spec))
    if cache is None:
        yield f"{host.id} does not let such a result be given again"
        return
    if spec.approve:
        yield "the task had to be allowed by a person"
    if spec.fresh or not host.enabled:
        yield "the task asked for work" if spec.fresh else f"{host.id} was disabled"
    if not cached.young(source.at, earlier.now, cache) or earlier.now > record.at + cached.EARLY_S:
        yield f"it was older than {cache.ttl_s:g} s"
    asker, tool = asker_of(created), tool_of(spec) or None
    if host.owner not in (None, end.user) or not may_run(host, spec.type, tool, asker):
        yield f"{end.user} may not use {host.id} for this"
    if work.user != end.user and not _for_others(end, spec, cache):
        yield "it is the result of another user, and not for others"
    gone = [record.at for record, _ in _of(known, ResultDeleted, work)]
    if gone and min(gone) < earlier.now - cached.EARLY_S:
        yield "its result had been deleted"


def _for_others(end: JobDone, spec: TaskSpec, cache: Cache) -> bool:
    return end.result is not None and cached.shareable(cache, end.result, own=cached.owned(spec))


def _asks(spec: TaskSpec) -> tuple[object, ...]:
    return spec.type, spec.required_capabilities, spec.is_heavy


def _host(known: Mapping[int, Record], seq: int) -> Host | None:
    record = known.get(seq)
    fact = record.fact if record else None
    return fact.spec if isinstance(fact, McpRegistered) else None


def _ran_on(known: Mapping[int, Record], work: JobDone) -> Host | None:
    """The host as it was registered when the work was routed."""
    routes = {fact.attempt: fact.route for _, fact in _of(known, TaskRouted, work)}
    route = routes.get(work.attempt)
    return _host(known, route.host_seq) if route else None


def _of(known: Mapping[int, Record], kind: type[F], work: JobDone) -> list[tuple[Record, F]]:
    """The facts of this kind of the earlier task."""
    found = ((record, record.fact) for record in known.values() if isinstance(record.fact, kind))
    return [(record, fact) for record, fact in found if _whose(fact) == _whose(work)]


def _whose(fact: Any) -> tuple[str, str]:
    return fact.user, fact.task


def _name(end: JobDone) -> str:
    return "a task of another user" if end.from_ == OF_ANOTHER else end.from_
