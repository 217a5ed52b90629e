"""URIs of hosts' resources among those of many hosts. Pure.

`metamcp:HOST:URI` names the host and holds its own URI as it is. There is no `//` after the scheme,
so nobody takes apart or tidies up what follows it, and a template is still one: what a client makes
of it begins as it does.
"""

from __future__ import annotations

from contracts.ids import is_host

SCHEME = "metamcp:"


def ours(host: str, uri: str) -> str:
    """The URI of a host's resource, or a template of such."""
    return f"{SCHEME}{host}:{uri}"


def undone(uri: str) -> tuple[str, str] | None:
    """The host, and its own URI; None: it is none of ours."""
    if uri[: len(SCHEME)].lower() != SCHEME:
        return None
    host, colon, own = uri[len(SCHEME) :].partition(":")
    return (host, own) if colon and own and is_host(host) else None
