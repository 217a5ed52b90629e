"""The Litestar application: all routes, and what is common to them."""

from __future__ import annotations

from collections.abc import Callable

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.di import Provide

from services.gateway import errors
from services.gateway.http import (
    accounts,
    events,
    examples,
    health,
    hosts,
    misc,
    preferences,
    queries,
    results,
    tasks,
    tokens,
)
from services.gateway.http import parts as http_parts
from services.gateway.http.events import EventStreams
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.openapi import document, page


def build(
    parts: Parts, open_streams: Callable[[], int], event_streams: EventStreams, linking: Linking
) -> Litestar:
    """Put the HTTP application together; `open_streams()` counts websockets."""

    async def provide_parts() -> Parts:
        return parts

    async def provide_streams() -> int:
        return open_streams()

    settings = parts.settings
    description = document.OpenApiDocument([*examples.EXAMPLES, *misc.EXAMPLES, *health.EXAMPLES])
    return Litestar(
        [
            *tasks.ROUTES,
            *results.ROUTES,
            *hosts.ROUTES,
            events.router(event_streams),
            accounts.router(linking),
            *preferences.ROUTES,
            *tokens.ROUTES,
            page.router(description),
            *health.ROUTES,
            misc.router(settings.blob_limit),
        ],
        dependencies={
            "parts": Provide(provide_parts),
            "principal": Provide(http_parts.principal),
            "streams_open": Provide(provide_streams),
        },
        exception_handlers=errors.HANDLERS,
        before_request=queries.checking(description),
        request_max_body_size=settings.max_body,
        compression_config=CompressionConfig(
            backend="gzip",
            gzip_compress_level=5,
            minimum_size=1024,
            exclude_opt_key="no_compression",
        ),
        openapi_config=document.config(misc.NAME, misc.version(), description),
        plugins=[document.Structs()],
        logging_config=None,
    )
