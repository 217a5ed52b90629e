"""Which scope a token needs for which route: said beside the route, and checked before it runs.

A route that asks who is there and says nothing keeps the gateway from starting.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request

from services.gateway.access.identity import InsufficientScope, Principal
from services.gateway.openapi.document import Described, operations

_NOTHING = Described()


def check_scope(request: Request[Any, Any, Any]) -> None:
    """Refuse a token that is not for this route. Raises InsufficientScope."""
    who: Principal | None = request.scope["state"].get("principal")
    if who is None or who.scopes is None:
        return
    said: Described = request.scope["route_handler"].opt.get("described", _NOTHING)
    wanted = said.scopes
    if wanted and who.scopes.isdisjoint(wanted):
        raise InsufficientScope(wanted[0])


def check_declared(app: Litestar) -> None:
    """Raises ValueError that names the routes that ask who is there and say no scope."""
    silent = [
        f"{one.method.upper()} {one.path}"
        for one in operations(app)
        if one.asks and one.said.scope is None
    ]
    if silent:
        raise ValueError(
            f"say which scope a token needs, as in opt=described(scope=scopes.TASKS_READ), or"
            f' scope="" for none, at: {", ".join(silent)}'
        )
