"""From an OpenAPI document, in a file or at a URL, to the endpoint of a host."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.cli.host_entry import is_url, pairs
from services.cli.http import httpx
from services.foreign.entry import BadEntry
from services.outside.openapi import reading
from services.outside.openapi.reading import MOST_BYTES, BadDocument
from services.outside.openapi.servers import base_url
from services.outside.openapi.trimming import trimmed

READ_S = 30.0


def endpoint(
    where: str | None, operations: Iterable[str], secrets: Iterable[str]
) -> dict[str, Any] | None:
    """The endpoint without what other options say; None: nothing was said of OpenAPI. Its `url` is
    that of the document's first server, or empty. Raises BadEntry."""
    names, named = list(operations), dict(pairs(secrets, "=", "--secret"))
    if where is None:
        if names or named:
            raise BadEntry("--operation and --secret are for --openapi")
        return None
    at_url = is_url([where]) and not where.lower().startswith("hf:")
    try:
        data = _fetched(where) if at_url else _bytes(where)
        content = reading.read(data)
        found: dict[str, Any] = {"kind": "openapi", "url": base_url(content, where)}
        found |= {"document_url": where} if at_url else {"document": trimmed(content, names)}
    except BadDocument as why:
        raise BadEntry(f"{_place(where)}: {why}") from None
    if names:
        found["operations"] = names
    if named:
        found["secrets"] = named
    return found


def _fetched(url: str) -> bytes:
    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=READ_S) as response:
            response.raise_for_status()
            for part in response.iter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error).splitlines()[:1] or [type(error).__name__]
        raise BadEntry(f"{_place(url)} can't be read: {said[0]}") from None
    return bytes(data)


def _bytes(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadEntry(f"{file} can't be read: {error.strerror}") from None


def _place(where: str) -> str:
    """The place without a query, in which a secret may stand."""
    return urlsplit(where)._replace(query="").geturl() if "://" in where else where
