"""The Litestar application: all routes, and what is common to them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.di import Provide
from litestar.types import Receive, Scope, Send

from services.gateway import errors
from services.gateway.bulk.batches import Batches
from services.gateway.bulk.operations import Operations
from services.gateway.console import routes as console
from services.gateway.hostauth.links import HostLinks
from services.gateway.http import (
    access,
    accounts,
    asks,
    audit,
    auth,
    batches,
    blobs,
    connecting,
    console_links,
    device,
    events,
    examples,
    exports,
    github,
    health,
    hosthistory,
    hostimport,
    hostlinks,
    hostload,
    hosts,
    invitations,
    me,
    misc,
    operations,
    overview,
    preferences,
    profiles,
    projects,
    queries,
    queue,
    quotas,
    restored,
    results,
    scoped,
    settings,
    signin,
    tags,
    tasks,
    tokens,
    users,
)
from services.gateway.http import parts as http_parts
from services.gateway.http.events import EventStreams
from services.gateway.http.github import FileWrites
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.http.queries import AnyRequest
from services.gateway.oauth import routes as oauth_routes
from services.gateway.oauth.server import OAuth
from services.gateway.openapi import document, page
from services.gateway.people.providers.door import SignInDoor
from services.process.version import NAME, version

COMPRESSION = CompressionConfig(
    backend="gzip", gzip_compress_level=5, minimum_size=1024, exclude_opt_key="no_compression"
)
ROUTES = (
    *tasks.ROUTES,
    *audit.ROUTES,
    *exports.ROUTES,
    *tags.ROUTES,
    *asks.ROUTES,
    *batches.ROUTES,
    *operations.ROUTES,
    *results.ROUTES,
    *hosts.ROUTES,
    *hostlinks.ROUTES,
    *hosthistory.ROUTES,
    *hostload.ROUTES,
    *hostimport.ROUTES,
    *connecting.ROUTES,
    *preferences.ROUTES,
    *tokens.ROUTES,
    *auth.ROUTES,
    *console_links.ROUTES,
    *users.ROUTES,
    *settings.ROUTES,
    *device.ROUTES,
    *access.ROUTES,
    *me.ROUTES,
    *quotas.ROUTES,
    *restored.ROUTES,
    *projects.ROUTES,
    *profiles.ROUTES,
    *health.ROUTES,
    *overview.ROUTES,
    *queue.ROUTES,
    *events.ROUTES,
    *accounts.ROUTES,
    *github.ROUTES,
    *signin.ROUTES,
    *invitations.ROUTES,
    *oauth_routes.ROUTES,
    *console.ROUTES,
)
BEHIND = "behind"
"""Where a request's state has what its gateway's routes work with."""
EXAMPLES = (
    *examples.EXAMPLES,
    *audit.EXAMPLES,
    *asks.EXAMPLES,
    *batches.EXAMPLES,
    *operations.EXAMPLES,
    *tags.EXAMPLES,
    *misc.EXAMPLES,
    *blobs.EXAMPLES,
    *github.EXAMPLES,
    *health.EXAMPLES,
    *overview.EXAMPLES,
    *queue.EXAMPLES,
    *access.EXAMPLES,
    *me.EXAMPLES,
    *quotas.EXAMPLES,
    *restored.EXAMPLES,
    *auth.EXAMPLES,
    *console_links.EXAMPLES,
    *users.EXAMPLES,
    *settings.EXAMPLES,
    *projects.EXAMPLES,
    *profiles.EXAMPLES,
    *signin.EXAMPLES,
    *invitations.EXAMPLES,
    *oauth_routes.EXAMPLES,
    *device.EXAMPLES,
    *hostlinks.EXAMPLES,
    *hosthistory.EXAMPLES,
    *hostload.EXAMPLES,
    *hostimport.EXAMPLES,
    *connecting.EXAMPLES,
)


class Behind(NamedTuple):
    """What the routes work with: one for each gateway of a process."""

    parts: Parts
    event_streams: EventStreams
    linking: Linking
    door: SignInDoor
    oauth: OAuth
    writes: FileWrites
    open_streams: Callable[[], int]
    """How many websockets are open."""
    host_links: HostLinks
    batches: Batches
    operations: Operations


class Routes:
    """The HTTP application of one gateway."""

    def __init__(self, behind: Behind) -> None:
        settings = behind.parts.settings
        self._behind = behind
        self.app = _application(settings.max_body, settings.blob_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        scope["state"][BEHIND] = self._behind
        await self.app(scope, receive, send)


@functools.cache
def _application(max_body: int, blob_limit: int) -> Litestar:
    """Put it together, which takes a third of a second: gateways of one process share it."""
    description = document.OpenApiDocument(EXAMPLES)
    app = Litestar(
        [*ROUTES, page.router(description), misc.router(blob_limit)],
        dependencies={
            **{name: Provide(_part(name)) for name in Behind._fields},
            "principal": Provide(http_parts.principal),
            "host_id": Provide(http_parts.host_id),
            "streams_open": Provide(_streams_open),
        },
        exception_handlers=errors.HANDLERS,
        before_request=queries.checking(description),
        request_max_body_size=max_body,
        compression_config=COMPRESSION,
        openapi_config=document.config(NAME, version(), description),
        plugins=[document.Structs()],
        logging_config=None,
    )
    scoped.check_declared(app)
    return app


def _part(name: str) -> Callable[[AnyRequest], Awaitable[Any]]:
    async def provide(request: AnyRequest) -> Any:
        return getattr(request.scope["state"][BEHIND], name)

    return provide


async def _streams_open(request: AnyRequest) -> int:
    behind: Behind = request.scope["state"][BEHIND]
    return behind.open_streams()
