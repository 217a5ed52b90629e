"""The table of host kinds: which session serves which endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts.facts import FailureKind
from contracts.host import Execute, Noop, OpenApi, Stdio, StreamableHttp
from services.executor.attempt.call import HostError, HostSession, Opening
from services.executor.hosts.apart import ApartSession
from services.executor.hosts.execute import ExecuteSession
from services.executor.hosts.http import HttpSession
from services.executor.hosts.noop import NoopSession
from services.executor.hosts.openapi import OpenApiSession
from services.executor.hosts.stdio import StdioSession
from services.outside.apart.pool import is_apart

KINDS: Mapping[type, Callable[[Opening], HostSession]] = {
    Stdio: StdioSession,
    StreamableHttp: HttpSession,
    Execute: ExecuteSession,
    OpenApi: OpenApiSession,
    Noop: NoopSession,
}
"""Endpoint to the session that serves it."""


def open_session(opening: Opening) -> HostSession:
    """Make the session of a host; nothing is started yet. Raises HostError(UNREACHABLE).

    What users bring is served by a process apart, if there are such.
    """
    if opening.workers is not None and is_apart(opening.host):
        return ApartSession(opening, opening.workers)
    kind = KINDS.get(type(opening.host.endpoint))
    if kind is None:
        name = type(opening.host.endpoint).__name__
        message = f"this executor can't reach hosts of the kind {name}"
        raise HostError(FailureKind.UNREACHABLE, message)
    return kind(opening)
