"""What stands in one HTTP request to an MCP server, and in the answer to it. Reads the clock."""

from __future__ import annotations

import http.client
import time

import httpx2
import msgspec

from services.outside import site
from services.outside.mcp_errors import BadMessage
from services.outside.mcp_reading import opened


class _Request(msgspec.Struct):
    """The part of a JSON-RPC message that tells whether it wants an answer."""

    id: int | str | msgspec.UnsetType = msgspec.UNSET
    method: str = ""


_request: msgspec.json.Decoder[_Request] = msgspec.json.Decoder(_Request)


def asked_in(request: httpx2.Request) -> tuple[int | str, str] | None:
    """Id and method of the JSON-RPC request in an HTTP request; None if it wants no answer."""
    if request.method != "POST":
        return None
    try:
        found = _request.decode(request.content)
    except msgspec.MsgspecError:
        return None
    if isinstance(found.id, msgspec.UnsetType) or not found.method:
        return None
    return found.id, found.method


def rest_of(response: httpx2.Response) -> float | None:
    """The seconds after which it wants to be asked again."""
    return site.rest_s(response.headers.get("retry-after", ""), time.time())


def moved(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
    """The same request at the place where this server has moved it to; None: it has not."""
    keeps = response.status_code in (307, 308) or request.method == "GET"
    if not response.has_redirect_location or not keeps:
        return None
    try:
        url = request.url.join(response.headers["location"])
    except (httpx2.InvalidURL, ValueError):
        return None
    if (url.scheme, url.host, url.port) != (
        request.url.scheme,
        request.url.host,
        request.url.port,
    ):
        return None
    return httpx2.Request(
        request.method,
        url,
        headers=request.headers,
        content=request.content,
        extensions=request.extensions,
    )


def status_of(response: httpx2.Response) -> str:
    """A status in words."""
    status = response.status_code
    return f"{status} {http.client.responses.get(status, '')}".strip()


def error_in(body: bytes) -> msgspec.Raw | None:
    """The error in a body that is a JSON-RPC error."""
    try:
        envelope = opened(body)
    except BadMessage:
        return None
    if isinstance(envelope, list) or not envelope.failed:
        return None
    return envelope.error if bytes(memoryview(envelope.error)[:1]) == b"{" else None
