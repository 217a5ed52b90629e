"""Which web pages may use the API (CORS), for every answer: limits, the MCP door and 404s too."""

from __future__ import annotations

from collections.abc import Container, Mapping

METHODS = b"DELETE, GET, HEAD, PATCH, POST, PUT"
SENT = (
    b"Accept, Authorization, Content-Type, If-None-Match, If-Range, Last-Event-ID,"
    b" Mcp-Method, Mcp-Name, Mcp-Protocol-Version, Mcp-Session-Id, Range, traceparent,"
    b" X-CSRF-Token, X-Request-Id"
)
SHOWN = (
    b"Accept-Ranges, Content-Disposition, Content-Range, ETag, Mcp-Session-Id, Retry-After,"
    b" WWW-Authenticate, X-Content-Sha256, X-Request-Id"
)
AGE_S = 600
VARY = (b"vary", b"Origin")

Header = tuple[bytes, bytes]


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser only asks what it may send."""
    return method == "OPTIONS" and {"origin", "access-control-request-method"} <= headers.keys()


def of_answer(origin: str | None, origins: Container[str]) -> list[Header]:
    """Headers of an answer to a page from `origin`; one that is not allowed learns nothing."""
    if origin is None or origin not in origins:
        return [VARY]
    return [
        VARY,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", SHOWN),
    ]


def of_preflight(origin: str | None, origins: Container[str]) -> list[Header]:
    """What more the answer (204) to a preflight says; the browser does the rest."""
    if origin is None or origin not in origins:
        return []
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", SENT),
        (b"access-control-max-age", b"%d" % AGE_S),
    ]
