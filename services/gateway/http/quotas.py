"""Routes under `/api/users/{user}/quota`: the role admin gives users budgets of their own."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, put
from litestar.params import FromPath, RawBody

from contracts.budget import DEFAULT, Budget, InUse
from contracts.ids import check_user
from contracts.scopes import ADMIN as ADMIN_SCOPE
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.domain import ADMIN
from services.gateway.http.me import asked_by, noted, use_of
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.openapi.document import described


class QuotaView(msgspec.Struct, frozen=True):
    """The budgets of a user, and what of them is otherwise than everybody's."""

    user: str
    limits: dict[str, int]
    """What was set for this user."""
    revision: int
    """To be named by a change that must not overwrite another; 0: nothing was set."""
    by: str
    """Who has set it."""
    changed: float
    """When, in seconds since the epoch; 0: never."""
    budgets: Budget
    """All of them, as they hold."""
    used: InUse


class NewQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user shall have otherwise than everybody, in the place of what was set before."""

    limits: dict[str, int]
    """By the names of `budgets`; of what is counted in a time, 0 means no limit."""
    revision: int | None = None
    """As it was read; none: whatever there is now."""


EXAMPLES = (
    NewQuota({"tasks_a_day": 500, "hosts": 3}, 17),
    QuotaView(
        "alice",
        {"tasks_a_day": 500, "hosts": 3},
        17,
        "root",
        1_796_000_000.0,
        msgspec.structs.replace(DEFAULT, tasks_a_day=500, hosts=3),
        InUse(open_tasks=3, open_bytes=2_400, facts=41, tasks_a_day=120, hosts=1),
    ),
)


@get("/api/users/{user:str}/quota", opt=described(scope=ADMIN_SCOPE, errors=(403, 503)))
async def show_quota(user: FromPath[str], parts: Wired, principal: Asking) -> Envelope[QuotaView]:
    """Show a user's budgets, what was set for this user alone, and what is used."""
    _admin(principal)
    await parts.state.refresh()
    return ok(await _view(parts, check_user(user)))


@put(
    "/api/users/{user:str}/quota",
    opt=described(scope=ADMIN_SCOPE, body=NewQuota, errors=(403, 409, 503)),
)
async def put_quota(
    user: FromPath[str],
    body: RawBody,
    request: Request[Any, Any, Any],
    parts: Wired,
    principal: Asking,
) -> Envelope[QuotaView]:
    """Give a user other numbers than everybody has; all gateways know within a second."""
    _admin(principal)
    wanted, name = read(body, NewQuota), check_user(user)
    await parts.quotas.put(name, wanted.limits, wanted.revision, asked_by(principal))
    details = {quota: str(most) for quota, most in wanted.limits.items()}
    noted(parts, request, "quota.changed", user=name, details=details)
    return ok(await _view(parts, name), "set")


@delete(
    "/api/users/{user:str}/quota",
    status_code=200,
    opt=described(scope=ADMIN_SCOPE, errors=(403, 503)),
)
async def delete_quota(
    user: FromPath[str], request: Request[Any, Any, Any], parts: Wired, principal: Asking
) -> Envelope[QuotaView]:
    """Give a user the budgets that everybody has."""
    _admin(principal)
    name = check_user(user)
    there = await parts.quotas.delete(name)
    if there:
        noted(parts, request, "quota.changed", user=name)
    return ok(await _view(parts, name), "as everybody's" if there else "it was so")


async def _view(parts: Parts, user: str) -> QuotaView:
    set_ = parts.quotas.of(user)
    return QuotaView(
        user=user,
        limits={} if set_ is None else set_.value.limits,
        revision=0 if set_ is None else set_.revision,
        by="" if set_ is None else set_.value.by,
        changed=0.0 if set_ is None else set_.value.changed,
        budgets=parts.quotas(user),
        used=await use_of(parts, user),
    )


def _admin(principal: Principal) -> None:
    if ADMIN not in principal.roles:
        raise NotAllowed("role admin", "quotas are set by the role `admin`")


ROUTES = (show_quota, put_quota, delete_quota)
