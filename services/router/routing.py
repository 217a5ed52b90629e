"""What stands in a route besides its place in the round. Pure."""

from __future__ import annotations

from contracts.host import FOREIGN_TIMEOUT_S
from contracts.route import Route
from services.log.clock import LogClock
from services.router import domain
from services.router.asks import approved
from services.router.select import Selection
from services.router.settings import Settings
from services.router.state import OpenTask, State


def routing(
    state: State,
    task: OpenTask,
    chosen: Selection,
    rules: Settings,
    clock: LogClock,
    *,
    now: float,
    index: int,
) -> Route:
    """The route of the task's next attempt; `now`: log time, `index`: the place in its round."""
    timeout_s = task.timeout_s or rules.default_task_timeout_s
    return Route(
        host=chosen.host,
        host_seq=chosen.host_seq,
        basis=state.seq,
        index=index,
        now=now,
        term=state.term,
        policy=chosen.policy,
        job_head=task.head,
        input_sha256=task.digest,
        task_type=task.need.type,
        slots=chosen.slots,
        candidates=chosen.candidates,
        removed=chosen.removed,
        no_foreign=chosen.no_foreign,
        timeout_s=min(timeout_s, FOREIGN_TIMEOUT_S) if chosen.foreign else timeout_s,
        expires=domain.expires_at(task, rules, clock),
        isolated=task.isolated,
        approved=approved(task, state.hosts[chosen.host].spec) if task.allowed else 0,
        reply=task.told,
        question_s=rules.question_timeout_s,
    )
