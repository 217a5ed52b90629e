"""Who may follow what, and which scope each frame of a client needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import facts, scopes, wire
from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from services.gateway import domain
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.stream.work import SubmitFrame

FACT_TYPES = frozenset(str(t.__struct_config__.tag) for t in facts.AnyFact.__args__)
OF_FRAMES: Mapping[type, str] = {
    wire.ClientAuth: "",
    wire.Subscribe: "",
    wire.Unsubscribe: "",
    SubmitFrame: scopes.TASKS_WRITE,
    wire.Cancel: scopes.TASKS_WRITE,
}
"""Empty: none, or, of `subscribe`, those of what it follows."""
OF_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "tasks": (scopes.TASKS_READ,),
    "task": (scopes.TASKS_READ,),
    "batch": (scopes.TASKS_READ,),
    "operations": (scopes.TASKS_READ,),
    "hosts": (scopes.HOSTS_READ,),
    "all": (scopes.ADMIN, scopes.TASKS_READ, scopes.HOSTS_READ),
}
"""By `to` of a subscription: all of these."""


def check_frame(kind: type, who: Principal) -> None:
    """Refuse a frame that the token is not for. Raises InsufficientScope."""
    if who.scopes is not None and (scope := OF_FRAMES[kind]):
        who.needs(scope)


def check_subject(to: str, who: Principal) -> None:
    """Refuse to let somebody follow what is not theirs to follow. Raises Rejected."""
    if to == "all" and domain.AUDITOR not in who.roles:
        raise NotAllowed("role auditor", "`all` is for the role auditor")
    for scope in OF_SUBJECTS[to]:
        who.needs(scope)


def check_subscription(request: wire.Subscribe, who: Principal) -> None:
    """Refuse what this user may not follow, or what does not exist. Raises Rejected."""
    check_subject(request.to, who)
    if request.to == "task":
        check_token(request.task, "task")
    if request.to == "batch":
        check_token(request.batch, "batch")
    if unknown := [name for name in request.types if name not in FACT_TYPES]:
        raise Rejected(
            Reason.BAD_REQUEST,
            f"unknown fact type {unknown[0][:80]!r}; there are {', '.join(sorted(FACT_TYPES))}",
        )


def may_follow(to: str, who: Principal) -> bool:
    """Whether somebody who follows this may go on to."""
    try:
        check_subject(to, who)
    except Rejected:
        return False
    return True
