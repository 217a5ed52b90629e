"""Routes for the role admin: the settings that the gateway runs with, and the keys of permits."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get

from contracts.scopes import ADMIN
from services.gateway import permit_keys
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.openapi.document import described
from services.gateway.permit_keys import PermitKey


class SettingView(msgspec.Struct, frozen=True):
    """A setting of the gateway that was asked."""

    section: str
    """`common`, which all services have, or `gateway`."""
    name: str
    variable: str
    """That sets it in the environment."""
    value: Any
    """Of a secret only whether there is one: true or false."""
    default: Any
    source: str
    """Where it comes from: `default`, the variable, the place in a file, or `start`."""
    secret: bool
    description: str


EXAMPLES = (
    SettingView(
        *("gateway", "port", "METAMCP_GATEWAY_PORT", 8090, 8080),
        *("metamcp.toml [gateway] port", False, "Port to listen on."),
    ),
    PermitKey("k1", "RS256", None, 1_767_225_600.0),
)


@get("/api/settings", opt=described(scope=ADMIN, errors=(403,)))
async def list_settings(parts: Wired, principal: Asking) -> Envelope[list[SettingView]]:
    """List the settings that this gateway runs with, and where each comes from. Secrets are never
    shown, nor passwords in addresses. Other services have settings of their own."""
    _admin(principal, "settings")
    return ok([SettingView(**msgspec.structs.asdict(one)) for one in parts.in_force])


@get("/api/keys", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_keys(parts: Wired, principal: Asking) -> Envelope[list[PermitKey]]:
    """List the keys that permits are or were signed with, newest first, at most 200."""
    if not principal.auditor:
        _admin(principal, "keys")
    await parts.caught_up()
    return ok(await permit_keys.listed(parts.projection))


def _admin(principal: Principal, what: str) -> None:
    if not principal.operator:
        raise NotAllowed("role admin", f"{what} are for the role `admin`")


ROUTES = (list_settings, list_keys)
