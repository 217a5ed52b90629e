"""The router's part of a task's trace: from when it began to wait to what was decided."""

from __future__ import annotations

from contracts.facts import JobDone, TaskAsked, TaskRouted
from services.log.port import Append
from services.process import tracing
from services.router.plan import Decision


def append_of(decision: Decision) -> Append:
    """The decided fact, with the span that its readers go on from."""
    fact = decision.fact
    if isinstance(fact, TaskRouted):
        name, host, end = "route task", fact.route.host, None
    elif isinstance(fact, JobDone):
        name, host, end = "end task", fact.host, fact.outcome.value
    elif isinstance(fact, TaskAsked):
        name, host, end = "ask", fact.host, None
    else:
        name, host, end = "give up attempt", fact.host, fact.kind.value
    trace = tracing.passed(
        name,
        decision.trace,
        since=decision.since,
        host=host,
        end=end,
        user=fact.user,
        task=fact.task,
        attempt=fact.attempt,
    )
    return Append(fact, decision.guard, trace)
