"""Which tasks an agent sees: with `mcp:call` alone those that were asked for with its authority.

Pure.
"""

from __future__ import annotations

from mcp import MCPError
from mcp_types import INVALID_PARAMS

from contracts.status import TaskView
from services.gateway.access.identity import Principal
from services.gateway.http.parts import seen_by


def check_seen(who: Principal, view: TaskView | None, scope: str) -> None:
    """Refuse what was not asked for with this very authority to a token without this scope, be it
    there or not. Raises InsufficientScope."""
    if view is None or not who.asked(view.asked_by):
        who.needs(scope)


def there(view: TaskView | None, task: str) -> TaskView:
    """The task, which has to be there. Raises MCPError."""
    if view is None:
        raise MCPError(INVALID_PARAMS, f"there is no task {task[:80]!r}")
    return view


def as_seen(who: Principal, view: TaskView) -> TaskView:
    """The task without what the token is not for."""
    return view if who.asked(view.asked_by) else seen_by(who, view)
