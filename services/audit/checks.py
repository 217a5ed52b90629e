"""The audit of one task: what its facts prove, or what is wrong with them.

Pure: facts, public keys and a way to recompute routes in, a list of checks out. It trusts nobody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec

from contracts import facts, subjects
from contracts.audit import Check as Check
from contracts.facts import (
    JobDone,
    JobFailed,
    JobSigned,
    McpRegistered,
    Outcome,
    Record,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Host
from contracts.ids import is_token
from contracts.result import Inline, Result
from contracts.route import Candidate, Route
from contracts.task import input_sha256
from contracts.wire import PermitClaims
from services.audit.given_again import given_again, told
from services.keys.permits import BadPermit, kid_of, verify
from services.outside import addresses

CLOCK_SKEW_S = 5.0
"""How far an executor's clock may be from the log's when it signs."""
ROUTES = "routes recomputed"
"""The check for which the router's function runs once more."""
_SAME_SCORE = 1e-9

F = TypeVar("F", bound=facts.Fact)


class Recomputed(msgspec.Struct, frozen=True):
    """What the router's own function answers today for the inputs a route names."""

    host: str | None
    score: float = 0.0
    candidates: tuple[Candidate, ...] = ()
    problem: str = ""
    """Not empty: it could not be recomputed, for this reason."""


Recompute = Callable[[Record], Recomputed]
"""Takes the record of a `task.routed`."""


def audit(
    records: Sequence[Record],
    keys: Sequence[Record],
    recompute: Recompute,
    hosts: Sequence[Record] = (),
) -> list[Check]:
    """Check all facts of one task, given in log order, against `log.key` facts and the router.

    With the registrations of `hosts`, permits are held against their addresses; they hold the
    earlier task too, if its result was given again. An open task fails the check `one outcome`.
    """
    specs = {r.seq: r.fact.spec for r in hosts if isinstance(r.fact, McpRegistered)}
    parts = (
        ("facts in order", _order(records), f"{_span(records)}{_by(records)}"),
        ("attempts without gap", _attempts(records), _count(records, TaskRouted, "attempt")),
        ("one outcome", _one_outcome(records), _outcome(records)),
        ("claim before outcome", _claims(records), _count(records, JobSigned, "claim")),
        ("same host and input", _bindings(records), _binding(records)),
        ("permits", _permits(records, keys, specs), _count(records, JobSigned, "valid signature")),
        ("result digest", _result(records), _size(records)),
    )
    return [*_checks(parts), *recomputed(records, recompute, hosts)]


def recomputed(
    records: Sequence[Record], recompute: Recompute, hosts: Sequence[Record] = ()
) -> list[Check]:
    """The checks for which more of the log is needed than the task's own facts."""
    routes, again = (ROUTES, _routes(records, recompute), _chosen(records)), told(records)
    given = (("given again", given_again(records, hosts), again),) if again else ()
    return _checks((routes, *given))


def _checks(parts: Iterable[tuple[str, Iterable[str], str]]) -> list[Check]:
    found = [(name, list(problems), fine) for name, problems, fine in parts]
    return [Check(name, not wrong, "; ".join(wrong) or fine) for name, wrong, fine in found]


def key_subjects(records: Iterable[Record]) -> list[str]:
    """Subjects of the keys that these permits name: the `log.key` facts an audit needs."""
    kids: set[str] = set()
    for _, claim in _all(records, JobSigned):
        # What names no key is the audit's to find.
        with contextlib.suppress(BadPermit):
            kids.add(kid_of(claim.permit))
    drafts = (facts.LogKey(id="", by="", kid=kid, jwk={}) for kid in kids if is_token(kid))
    return sorted(map(subjects.of, drafts))


def passed(checks: Sequence[Check]) -> bool:
    """Whether every check held, and there were any."""
    return bool(checks) and all(check.ok for check in checks)


def _by(records: Sequence[Record]) -> str:
    """On whose authority the task was asked for, as far as the log says."""
    created = _all(records, TaskCreated)
    by = created[0][1].asked_by if created else ""
    return f", asked for by {by}" if by else ""


def _order(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        yield "there are no facts of this task"
        return
    if not isinstance(records[0].fact, TaskCreated):
        yield f"the first fact is {_type(records[0])}, not task.created"
    for record in records:
        if isinstance(record.fact, facts.Unknown):
            yield f"sequence {record.seq}: this release can't read it: {record.fact.why}"
        if not subjects.stands(record.fact, record.subject):
            yield f"sequence {record.seq}: the fact does not belong on {record.subject}"
    for before, after in pairwise(records):
        if after.seq <= before.seq:
            yield f"sequence {after.seq} comes after {before.seq}"
        if after.at < before.at:
            yield f"sequence {after.seq} is older than {before.seq} before it"
    parsed = [subjects.parse(record.subject) for record in records]
    owners = {(one.user, one.task) for one in parsed}
    if len(owners) > 1:
        yield f"facts of {len(owners)} tasks are mixed"
    yield from _after_the_end(records)


def _after_the_end(records: Sequence[Record]) -> Iterator[str]:
    ends = [record.seq for record in records if isinstance(record.fact, JobDone)]
    if not ends:
        return
    for record in records:
        # A wish to cancel may come too late, and results are moved after the end.
        late = isinstance(record.fact, TaskCreated | TaskRouted | JobSigned | JobFailed)
        if late and record.seq > ends[0]:
            yield f"{_type(record)} at sequence {record.seq} comes after the end"


def _attempts(records: Sequence[Record]) -> Iterator[str]:
    routed = [fact.attempt for _, fact in _all(records, TaskRouted)]
    if routed != list(range(1, len(routed) + 1)):
        yield f"routes are numbered {', '.join(map(str, routed))}"
    for record, fact in _all(records, TaskRouted):
        failed = _find(records, JobFailed, fact.attempt - 1)
        if fact.attempt > 1 and (failed is None or failed[0].seq > record.seq):
            yield f"route {fact.attempt} does not follow the failure of attempt {fact.attempt - 1}"
        if failed is not None and fact.route.job_head != failed[0].seq:
            yield (
                f"route {fact.attempt} names job head {fact.route.job_head}, not {failed[0].seq}"
            )
    for record, failure in _all(records, JobFailed):
        if (route := _find(records, TaskRouted, failure.attempt)) is None:
            yield f"attempt {failure.attempt} failed but was never routed"
        elif record.seq < route[0].seq:
            yield f"attempt {failure.attempt} failed before it was routed"


def _one_outcome(records: Sequence[Record]) -> Iterator[str]:
    ends = _all(records, JobDone)
    if not ends:
        yield "no job.done yet: the task is not over"
    elif len(ends) > 1:
        yield f"{len(ends)} job.done, at sequences {', '.join(str(r.seq) for r, _ in ends)}"


def _claims(records: Sequence[Record]) -> Iterator[str]:
    for record, claim in _all(records, JobSigned):
        route = _find(records, TaskRouted, claim.attempt)
        if route is None or route[0].seq > record.seq:
            yield f"attempt {claim.attempt} was signed without a route before it"
    for record, failure in _all(records, JobFailed):
        if failure.called is True and not _signed_before(records, record, failure.attempt):
            yield f"attempt {failure.attempt} called the host without a claim"
    for record, done in _all(records, JobDone):
        worked = done.outcome is Outcome.SUCCEEDED and not done.from_
        if worked and not _signed_before(records, record, done.attempt):
            yield f"attempt {done.attempt} succeeded without a claim before it"


def _signed_before(records: Sequence[Record], record: Record, attempt: int) -> bool:
    signed = _find(records, JobSigned, attempt)
    return signed is not None and signed[0].seq < record.seq


def _bindings(records: Sequence[Record]) -> Iterator[str]:
    created = _all(records, TaskCreated)
    digest = input_sha256(created[0][1].spec) if created else ""
    routes = {fact.attempt: fact.route for _, fact in _all(records, TaskRouted)}
    for attempt, route in routes.items():
        if route.input_sha256 != digest:
            yield f"route {attempt} is for another input than the task's"
    for _, claim in _all(records, JobSigned):
        yield from _differs(f"claim {claim.attempt}", claim, routes, claim.input_sha256)
    for _, failure in _all(records, JobFailed):
        yield from _differs(f"failure {failure.attempt}", failure, routes, None)
    for _, done in _all(records, JobDone):
        if done.attempt:
            given = done.input_sha256 or None
            if given is None and done.outcome is Outcome.SUCCEEDED:
                yield "the outcome names no input"
            yield from _differs("the outcome", done, routes, given)


def _differs(
    what: str,
    fact: JobSigned | JobFailed | JobDone,
    routes: dict[int, Route],
    digest: str | None,
) -> Iterator[str]:
    route = routes.get(fact.attempt)
    if route is None:
        yield f"{what} is of attempt {fact.attempt}, which was never routed"
        return
    anonymous = isinstance(fact, JobDone) and fact.outcome is not Outcome.SUCCEEDED
    if fact.host != route.host and (fact.host or not anonymous):
        yield f"{what} names host {fact.host or 'nobody'}, its route {route.host}"
    if digest is not None and digest != route.input_sha256:
        yield f"{what} is for another input than its route"


def _permits(
    records: Sequence[Record], keys: Sequence[Record], specs: Mapping[int, Host]
) -> Iterator[str]:
    routes = {fact.attempt: fact.route for _, fact in _all(records, TaskRouted)}
    for record, claim in _all(records, JobSigned):
        what = f"permit {claim.attempt}"
        try:
            claims = _verified(claim.permit, record.seq, keys)
        except BadPermit as error:
            yield f"{what}: {error}"
            continue
        for name, wrong in _wrong_claims(claims, claim, record.at):
            yield f"{what}: {name} {wrong}"
        route = routes.get(claim.attempt)
        if wrong := _wrong_audience(claims, claim.host, specs.get(route.host_seq if route else 0)):
            yield f"{what}: aud {wrong}"


def _verified(permit: str, seq: int, keys: Sequence[Record]) -> PermitClaims:
    """Check the signature with the key the log had at that time; times are compared elsewhere."""
    known = {
        key.fact.kid: key.fact.jwk
        for key in keys
        if isinstance(key.fact, facts.LogKey) and key.seq < seq
    }
    kid = kid_of(permit)
    if kid not in known:
        raise BadPermit(f"its key {kid} was not in the log at that time")
    return verify(permit, known[kid])


def _wrong_claims(claims: PermitClaims, fact: JobSigned, at: float) -> Iterator[tuple[str, str]]:
    wanted: dict[str, object] = {
        "sub": fact.user,
        "host": fact.host if claims.host else "",
        "jti": f"{fact.task}.{fact.attempt}",
        "task_id": fact.task,
        "attempt": fact.attempt,
        "input_sha256": fact.input_sha256,
    }
    for name, value in wanted.items():
        if (found := getattr(claims, name)) != value:
            yield name, f"is {found!r}, not {value!r}"
    if abs(claims.exp - fact.expires) > 1:
        yield "exp", f"is {claims.exp}, the fact says {fact.expires:.0f}"
    if not claims.nbf - CLOCK_SKEW_S <= at < claims.exp + CLOCK_SKEW_S:
        yield "time", f"does not hold when the claim was made ({at:.0f})"


def _wrong_audience(claims: PermitClaims, host: str, spec: Host | None) -> str:
    """What is wrong with whom a permit is for; empty: nothing.

    Releases before 0.4 named the host there. Where a Space is called is up to its deployment.
    """
    wanted = host
    if claims.host and spec is not None:
        url = getattr(spec.endpoint, "url", "")
        if url[:5].lower() == "hf://":
            return "" if "://" in claims.aud else f"is {claims.aud!r}, and no address"
        try:
            wanted = addresses.audience(spec)
        except addresses.AddressRefused as refused:
            return f"is {claims.aud!r}, but {refused}"
    elif claims.host:
        return ""
    return "" if claims.aud == wanted else f"is {claims.aud!r}, not {wanted!r}"


def _routes(records: Sequence[Record], recompute: Recompute) -> Iterator[str]:
    for record, fact in _all(records, TaskRouted):
        what, route = f"route {fact.attempt}", fact.route
        if not route.host_seq <= route.basis < record.seq:
            yield f"{what}: host_seq {route.host_seq}, basis {route.basis} and its own sequence"
            continue
        score = next((c.score for c in route.candidates if c.host == route.host), None)
        again = recompute(record)
        if again.problem:
            yield f"{what}: {again.problem}"
        elif again.host != route.host:
            yield f"{what}: the router chose {route.host}, its function gives {again.host}"
        elif score is None:
            yield f"{what}: the chosen host is not among its candidates"
        elif abs(again.score - score) > _SAME_SCORE:
            yield f"{what}: score {score:.6f} was recorded, {again.score:.6f} is right"
        elif not _alike(route.candidates, again.candidates):
            yield f"{what}: the candidates and their scores are not those it had"


def _alike(recorded: Sequence[Candidate], right: Sequence[Candidate]) -> bool:
    return [c.host for c in recorded] == [c.host for c in right] and all(
        abs(ours.score - theirs.score) <= _SAME_SCORE
        for ours, theirs in zip(recorded, right, strict=True)
    )


def _result(records: Sequence[Record]) -> Iterator[str]:
    for what, kept in _answers(records):
        if isinstance(kept, Inline) and not kept.intact:
            yield f"the inline {what} is not what its digest and size say"
    for _, done in _all(records, JobDone):
        if done.result is None and done.outcome is Outcome.SUCCEEDED:
            yield "the task succeeded but has no result"


def _answers(records: Sequence[Record]) -> Iterator[tuple[str, Result]]:
    """What hosts have answered, also with errors, and what each is."""
    for record in records:
        if isinstance(fact := record.fact, JobFailed | JobDone) and fact.result is not None:
            failed = isinstance(fact, JobFailed)
            yield f"answer of failed attempt {fact.attempt}" if failed else "result", fact.result


def _all(records: Iterable[Record], kind: type[F]) -> list[tuple[Record, F]]:
    return [(record, record.fact) for record in records if isinstance(record.fact, kind)]


K = TypeVar("K", TaskRouted, JobSigned, JobFailed)


def _find(records: Iterable[Record], kind: type[K], attempt: int) -> tuple[Record, K] | None:
    return next((pair for pair in _all(records, kind) if pair[1].attempt == attempt), None)


def _type(record: Record) -> str:
    return subjects.parse(record.subject).type


def _span(records: Sequence[Record]) -> str:
    span = f"sequences {records[0].seq} to {records[-1].seq}" if records else "none"
    return f"{len(records)} facts, {span}"


def _count(records: Sequence[Record], kind: type[facts.Fact], word: str) -> str:
    n = len(_all(records, kind))
    return f"{n} {word}{'' if n == 1 else 's'}"


def _outcome(records: Sequence[Record]) -> str:
    return ", ".join(
        f"{done.outcome} at sequence {record.seq}" for record, done in _all(records, JobDone)
    )


def _binding(records: Sequence[Record]) -> str:
    hosts = [fact.route.host for _, fact in _all(records, TaskRouted)]
    digests = [fact.route.input_sha256[:12] for _, fact in _all(records, TaskRouted)][:1]
    asked = "" if not _all(records, TaskCancelled) else ", cancel was asked for"
    return (", ".join(hosts) or "never routed") + "".join(f", input {d}…" for d in digests) + asked


def _chosen(records: Sequence[Record]) -> str:
    parts = []
    for _, fact in _all(records, TaskRouted):
        score = next((c.score for c in fact.route.candidates if c.host == fact.route.host), 0.0)
        parts.append(f"{fact.route.host} with {score:.3f} from basis {fact.route.basis}")
    return "; ".join(parts) or "nothing was routed"


def _size(records: Sequence[Record]) -> str:
    found = [(type(kept).__name__.lower(), kept) for _, kept in _answers(records)]
    parts = [f"{kind}, {kept.size} bytes, {kept.sha256[:12]}…" for kind, kept in found]
    return "; ".join(parts) or "no result"
