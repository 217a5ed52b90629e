"""The route that takes another MCP client's file: its servers become hosts.

The file is read by what `metamcp hosts import` reads it with. Values of secrets are let go at once:
what refers to them is answered, with where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.params import RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.wire import HostChanged
from services.foreign import reading, servers
from services.foreign.entry import BadEntry
from services.foreign.servers import Imported
from services.foreign.shapes import Named
from services.foreign.variables import Surroundings
from services.gateway.access.identity import Principal
from services.gateway.http.hosts import reached, written
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.openapi.document import described

MOST_IMPORT_BYTES = 256 * 1024
"""Of a file to import."""
MOST_IMPORTED = 100
"""Servers of one file."""
_YAML = (".yaml", ".yml")


class HostImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in which another MCP client names its servers."""

    text: str
    """What stands in it: JSON, with comments or without, or TOML."""
    name: Annotated[str, msgspec.Meta(max_length=200)] = "servers.json"
    """Its name: the ending says how it is read, and a server without a name gets the rest."""
    ids: dict[str, str] = {}
    """By a server's name, the id of the host that it becomes; others get their name."""
    only: tuple[str, ...] | None = None
    """Names of the servers to take; None: all."""
    dry_run: bool = False
    """Only say what would be done."""

    def __repr__(self) -> str:
        return f"HostImport({self.name!r}, {len(self.text)} characters)"


class ImportedHost(msgspec.Struct, frozen=True):
    """What becomes of one server of the file."""

    server: str
    """Its name there."""
    host: str
    """The id it gets."""
    entry: dict[str, Any]
    """The host's description, with references in the place of secrets; empty: there is none."""
    outcome: str
    """`registered`, `would be registered`, `it was there`, `it is there`, or what is in the way."""
    good: bool
    """Nothing is in the way."""
    secrets: tuple[str, ...]
    """Names of the secrets that it refers to."""
    to_do: str
    """What is left to do by hand."""
    notes: tuple[str, ...]
    """What was decided, and what was left out."""


@post(
    "/api/mcps/import",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, body=HostImport, errors=(403, 413, 503, 507)),
)
async def import_hosts(
    body: RawBody, parts: Wired, principal: Asking
) -> Envelope[list[ImportedHost]]:
    """Register the servers that another MCP client's file names, or say what would be registered.

    Each is registered on its own; one that is there already stays as it is.
    """
    wanted = read(body, HostImport)
    found = [one for one in _servers(wanted) if wanted.only is None or one.name in wanted.only]
    told, newest = [], None
    for one in found:
        outcome, changed = await _outcome(parts, principal, one, dry_run=wanted.dry_run)
        newest = changed or newest
        told.append(_told(principal, one, outcome))
    if newest is not None:
        await reached(parts, newest)
    return ok(told)


def _servers(wanted: HostImport) -> tuple[Imported, ...]:
    """Raises Rejected for what is no such file."""
    if len(wanted.text) > MOST_IMPORT_BYTES:
        text = f"the file has more than {MOST_IMPORT_BYTES} characters"
        raise Rejected(Reason.TOO_LARGE, f"{text}: `metamcp hosts import` takes larger ones")
    name = PurePath(wanted.name)
    if name.suffix.lower() in _YAML:
        text = "YAML is read by `metamcp hosts import` alone: send JSON or TOML"
        raise Rejected(Reason.BAD_REQUEST, text)
    try:
        raw = reading.parsed(wanted.text.encode(), name.suffix)
        found = servers.imported(raw, _around, {}, wanted.ids, name.stem or "server")
    except (reading.UnreadableFile, BadEntry) as error:
        raise Rejected(Reason.BAD_REQUEST, f"the file can't be understood: {error}") from None
    if len(found.servers) > MOST_IMPORTED:
        text = f"the file names {len(found.servers)} servers, more than {MOST_IMPORTED}"
        raise Rejected(Reason.TOO_LARGE, f"{text}: name some of them in `only`, or split it")
    return found.servers


def _around(one: Named) -> Surroundings:
    """Nothing of this machine: the file was sent from elsewhere."""
    return Surroundings(None, None, None, one.inputs, {})


async def _outcome(
    parts: Parts, principal: Principal, one: Imported, *, dry_run: bool
) -> tuple[str, HostChanged | None]:
    """What became of it, and the change if there was one."""
    if one.problem:
        return one.problem, None
    verb = "check" if dry_run else "add"
    try:
        found = await written(parts, principal, one.host, msgspec.json.encode(one.entry), verb)
    except Rejected as refused:
        if refused.reason is Reason.UNAVAILABLE:
            raise
        return refused.message, None
    if dry_run:
        return _WOULD[found.changed], None
    return _DID[found.changed], found


_WOULD: Mapping[bool, str] = {True: "would be registered", False: "it is there"}
_DID: Mapping[bool, str] = {True: "registered", False: "it was there"}
GOOD = frozenset((*_WOULD.values(), *_DID.values()))


def _told(principal: Principal, one: Imported, outcome: str) -> ImportedHost:
    good = outcome in GOOD
    folder = "secrets" if principal.operator else f"secrets/{principal.user}"
    to_do = [
        f"put the value of {name} into {folder}/{name} of the data folder" for name in one.needs
    ]
    return ImportedHost(
        one.name,
        one.host,
        one.entry,
        outcome,
        good,
        one.needs,
        "; ".join(to_do) if good else "",
        one.notes,
    )


ROUTES = (import_hosts,)
EXAMPLES: tuple[msgspec.Struct, ...] = (
    HostImport(
        '{"mcpServers": {"wiki": {"url": "https://wiki.example.com/mcp"}}}',
        name="mcp.json",
        dry_run=True,
    ),
    ImportedHost(
        "wiki",
        "wiki",
        {"name": "wiki", "endpoint": {"kind": "http", "url": "https://wiki.example.com/mcp"}},
        "would be registered",
        good=True,
        secrets=(),
        to_do="",
        notes=(),
    ),
)
