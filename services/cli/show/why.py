"""Why a task went where it went: its routes, with all who could have had it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from contracts import facts
from contracts.facts import Record
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import failure, given_from, plain


def why(records: Sequence[Record], waiting: str = "") -> RenderableType:
    """For each route: who could have had it, the scores, which filter removed whom, and how the
    attempt failed if it did; without a route, what the task is `waiting` for."""
    parts: list[RenderableType] = []
    for record in records:
        if isinstance(record.fact, facts.TaskRouted):
            parts += [_route_head(record.fact), _candidates(record.fact), *_removed(record.fact)]
        elif isinstance(record.fact, facts.JobDone) and record.fact.from_:
            parts.append(_given(record.fact))
        elif isinstance(record.fact, facts.JobFailed):
            text = f"attempt {record.fact.attempt} failed: {failure(record.fact)}"
            parts.append(Text(plain(text, 500), style="red"))
    if not parts:
        over = any(isinstance(record.fact, facts.JobDone) for record in records)
        turn = "it waits for its turn and for a healthy host with a free slot"
        waits = f"{f'it waits: {plain(waiting, 2000)}' if waiting else turn}; see `metamcp hosts`"
        why_not = "no host ever got it" if over else waits
        return Text(f"The task has not been routed: {why_not}.", style="dim")
    return Group(*parts)


def _given(fact: facts.JobDone) -> Text:
    text = f"No host was asked: the result is given again from {given_from(fact.from_)}"
    if (earlier := fact.earlier) is not None:
        text += f" (sequence {earlier.seq}), as {earlier.host} allows; --fresh asks for work"
    return Text(plain(text))


def _route_head(fact: facts.TaskRouted) -> Text:
    route = fact.route
    text = Text(f"\nroute {fact.attempt} → ", style="bold")
    text.append(plain(route.host), style="bold yellow")
    text.append(
        f"  basis {route.basis}, place {route.index} in its round, term {route.term},"
        f" policy {route.policy.version}/{plain(route.policy.settings)},"
        f" host as of {route.host_seq}, limit {route.timeout_s:g} s",
        style="dim",
    )
    if route.approved:
        text.append(f"\nallowed by the answer to question {route.approved}")
    return text


def _candidates(fact: facts.TaskRouted) -> FittedTable:
    parts = ("capability 0.4", "resource 0.3", "health 0.2", "preference 0.1")
    table = FittedTable(
        Column("candidate"),
        Column("score", right=True),
        *(Column(name, right=True, least=len(name) - 4) for name in parts),
        Column("slots in use", right=True, least=5, drop=1),
    )
    for c in fact.route.candidates:
        scores = (c.score, c.capability, c.resource, c.health, c.preference)
        chosen = "bold yellow" if c.host == fact.route.host else ""
        slots = str(fact.route.slots.get(c.host, 0))
        table.add(plain(c.host), *(f"{part:.3f}" for part in scores), slots, style=chosen)
    return table


def _removed(fact: facts.TaskRouted) -> list[Text]:
    return [
        Text(f"removed by {plain(name)}: ", style="dim").append(plain(", ".join(hosts)))
        for name, hosts in fact.route.removed.items()
    ]
