"""Routes for admins: with which settings services run, the keys of permits, publishers."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.params import QueryParameter

from contracts.errors import Reason, Rejected
from contracts.in_force import SettingInForce
from contracts.scopes import ADMIN
from services.gateway import permit_keys
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.openapi.document import described
from services.gateway.people import publishers
from services.gateway.permit_keys import PermitKey

Service = Annotated[
    Literal["gateway", "router", "registry", "executor", "results"],
    QueryParameter(
        description="Whose: `gateway` is the one that was asked; of the others, every process."
    ),
]


class SettingView(SettingInForce, frozen=True):
    """A setting of a running process."""

    instance: str
    """The process that runs with it."""


class PublisherView(msgspec.Struct, frozen=True):
    """An outside service that may publish tasks on NATS."""

    name: str
    user: str
    """As whom it publishes."""


EXAMPLES = (
    SettingView(
        *("gateway", "port", "METAMCP_GATEWAY_PORT", 8090, 8080),
        *("metamcp.toml [gateway] port", False, "Port to listen on.", "gateway-1"),
    ),
    PublisherView("crm", "acme"),
    PermitKey("k1", "RS256", None, 1_767_225_600.0),
)


@get("/api/settings", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_settings(
    parts: Wired, principal: Asking, service: Service = "gateway"
) -> Envelope[list[SettingView]]:
    """List the settings that this gateway runs with, or each process of another service, and where
    each comes from. Secrets are never shown, nor passwords in addresses."""
    _admin(principal, "settings")
    found = [parts.in_force]
    if service != "gateway":
        found = await parts.checks.settings(service)
    return ok(
        [
            SettingView(**msgspec.structs.asdict(one), instance=process.instance)
            for process in found
            for one in process.settings
        ]
    )


@get("/api/keys", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_keys(parts: Wired, principal: Asking) -> Envelope[list[PermitKey]]:
    """List the keys that permits are or were signed with, newest first, at most 200."""
    if not principal.auditor:
        _admin(principal, "keys")
    await parts.caught_up()
    return ok(await permit_keys.listed(parts.projection))


@get("/api/publishers", opt=described(scope=ADMIN, errors=(403, 503)))
async def list_publishers(parts: Wired, principal: Asking) -> Envelope[list[PublisherView]]:
    """List the outside services that may publish tasks on NATS, as the data folder of this gateway
    names them. They are added and removed where the NATS server is, by `metamcp publisher`."""
    _admin(principal, "publishers")
    found = None if parts.data is None else await asyncio.to_thread(publishers.listed, parts.data)
    if found is None:
        text = "the list of publishers can't be read: see publishers.json in the gateway's data"
        raise Rejected(Reason.UNAVAILABLE, text)
    return ok([PublisherView(one.name, one.user) for one in found])


def _admin(principal: Principal, what: str) -> None:
    if not principal.operator:
        raise NotAllowed("role admin", f"{what} are for the role `admin`")


ROUTES = (list_settings, list_keys, list_publishers)
