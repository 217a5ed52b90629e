"""Decide a route once more from the log and the route's own inputs, as an auditor does. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.facts import Record, TaskRouted
from services.router.asks import approved, needed
from services.router.domain import State, demand, evolve, initial, key_of
from services.router.select import POLICY_VERSION, RECOMPUTED, Selection, policy, select
from services.router.settings import Settings


class CannotRecompute(Exception):
    """The records or this version of the rules do not allow it; the text says why."""


def recompute(records: Iterable[Record], routed: TaskRouted, settings: Settings) -> Selection:
    """Fold the records through the route's basis, take its slots, and select again.

    `records` are in log order and hold at least everything of the task's user, and all hosts'
    facts. The answer's `policy` shows whether `settings` are those the router had; they don't
    influence which host is chosen. Raises CannotRecompute.
    """
    state = initial()
    for record in records:
        if record.seq > routed.route.basis:
            break
        evolve(state, record)
    return select_again(state, routed, settings)


def select_again(state: State, routed: TaskRouted, settings: Settings) -> Selection:
    """Like `recompute`, with the state at the route's basis. Raises CannotRecompute."""
    route = routed.route
    if route.policy.version not in RECOMPUTED:
        theirs = route.policy.version
        raise CannotRecompute(f"decided by version {theirs} of the rules, this is {POLICY_VERSION}")
    task = state.tasks.get(key_of(routed.user, routed.task))
    if task is None:
        raise CannotRecompute(f"through its basis {route.basis} the log has no such open task")
    wanted = demand(state, task)._replace(user=routed.user)
    chosen = select(
        wanted,
        state.hosts.values(),
        route.slots,
        state.taste,
        policy(settings),
        no_foreign=route.no_foreign,
    )
    if chosen is None:
        raise CannotRecompute("no host could have taken the task")
    host = state.hosts[chosen.host].spec
    if (tools := needed(task, host)) is not None:
        text = f"a person had to allow {tools or 'the call'} on host {host.id}, and nobody has"
        raise CannotRecompute(text)
    if approved(task, host) != route.approved:
        text = f"it names question {route.approved} as the one that allows it"
        raise CannotRecompute(f"{text}, not {approved(task, host)}")
    if task.told != route.reply:
        raise CannotRecompute(f"it takes along question {route.reply}, not {task.told}")
    return chosen
