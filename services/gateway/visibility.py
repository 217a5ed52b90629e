"""Who may see which fact of the log. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts import facts, subjects
from contracts.facts import Logged
from contracts.host import Host
from contracts.ids import OPERATOR
from services.gateway.domain import ADMIN, AUDITOR


class Audience(msgspec.Struct, frozen=True, gc=False):
    """Who a fact is for, besides auditors, who see everything."""

    kind: str
    """`task` and `operation`: its user. `host`: the owner, or everybody without one. `system`:
    auditors only."""
    user: str | None = None
    task: str = ""
    batch: str | None = None
    """Of a fact that creates a task: the batch it is of, or empty; None: the fact does not say."""


SYSTEM = Audience("system")


def audience(fact: Logged, owners: Mapping[str, str | None]) -> Audience:
    """Tell who a fact is for; `owners` says whose each host is that was registered before.

    What can't be read is for those whose task its subject names, else for auditors.
    """
    if isinstance(fact, facts.TaskCreated):
        return Audience("task", fact.user, fact.task, fact.spec.batch or "")
    if isinstance(fact, facts.TaskFact):
        return Audience("task", fact.user, fact.task)
    match fact:
        case facts.McpRegistered():
            return Audience("host", _whose(fact.spec))
        case facts.McpRemoved() | facts.McpHealth():
            known = fact.host in owners
            return Audience("host", owners[fact.host]) if known else SYSTEM
        case facts.McpPreferred():
            return Audience("host", fact.user)
        case facts.OperationStarted() | facts.OperationStepped() | facts.OperationStopped():
            return Audience("operation", fact.user)
        case facts.LogRouter() | facts.LogKey() | facts.LogSealed():
            return SYSTEM
        case facts.Unknown():
            what = subjects.parse(fact.subject)
            return Audience("task", what.user, what.task) if what.task else SYSTEM


def _whose(spec: Host) -> str | None:
    """Who follows a host; one that is for some users alone nobody does, for they are told apart
    by what only a request says: `OPERATOR`, whom no user is called."""
    return spec.owner if spec.access is None else OPERATOR


def may_see(user: str, roles: frozenset[str], whose: Audience) -> bool:
    """The rule of who sees what; feed and history are tested against it."""
    if AUDITOR in roles:
        return True
    if whose.kind == "host" and whose.user is None:
        return True
    return whose.kind != "system" and whose.user == user


def sees_all_of_hosts(roles: frozenset[str]) -> bool:
    """Whether somebody with these roles sees what the operator's hosts are started with."""
    return ADMIN in roles or AUDITOR in roles


def remember_owner(owners: dict[str, str | None], fact: Logged) -> None:
    """Keep `owners` in step with a registration; of one that can't be read nobody knows whose."""
    if isinstance(fact, facts.McpRegistered):
        owners[fact.host] = _whose(fact.spec)
    elif isinstance(fact, facts.Unknown):
        what = subjects.parse(fact.subject)
        if what.type == "mcp.registered":
            owners.pop(what.host, None)
