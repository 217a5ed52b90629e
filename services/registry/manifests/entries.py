"""One schema for a host, wherever it is described: a manifest, a command, a Space's `mcp.json`.

Everything a description can get wrong is found here, and every error names the path in it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

import msgspec

from contracts.host import (
    MANIFEST,
    Access,
    Cache,
    Capability,
    Execute,
    Flags,
    Host,
    Limits,
    Noop,
    OnLeave,
    OpenApi,
    Placement,
    Probe,
    Stdio,
    StreamableHttp,
    TaskBinding,
)
from contracts.ids import split_host

_LAST_PART = re.compile(r" - at `(?:key in )?\$(.*)`$")


class _Capability(Capability, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A capability without room for spelling mistakes."""


class _Stdio(Stdio, frozen=True, tag="stdio", omit_defaults=True, forbid_unknown_fields=True):
    """A command without room for spelling mistakes."""


class _Http(
    StreamableHttp, frozen=True, tag="http", omit_defaults=True, forbid_unknown_fields=True
):
    """An MCP server's URL without room for spelling mistakes."""


class _Execute(Execute, frozen=True, tag="execute", omit_defaults=True, forbid_unknown_fields=True):
    """An `/execute` host's URL without room for spelling mistakes."""


class _OpenApi(OpenApi, frozen=True, tag="openapi", omit_defaults=True, forbid_unknown_fields=True):
    """An API's URL and document without room for spelling mistakes."""


class _Noop(Noop, frozen=True, tag="noop", omit_defaults=True, forbid_unknown_fields=True):
    """The benchmark's host without room for spelling mistakes."""


_Endpoint: TypeAlias = _Stdio | _Http | _Execute | _OpenApi | _Noop


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A host as a manifest may describe it: what discovery finds out is not for it to say."""

    endpoint: _Endpoint
    name: str = ""
    placement: Placement = Placement.ORCHESTRATOR
    owner: str | None = None
    access: Access | None = None
    tool_access: dict[str, Access] = {}
    approve: tuple[str, ...] = ()
    approvers: Access | None = None
    enabled: bool = True
    capabilities: tuple[_Capability, ...] = ()
    task_types: dict[str, TaskBinding] = {}
    flags: Flags = Flags()
    limits: Limits = Limits()
    probe: Probe = Probe()
    path_arguments: dict[str, tuple[str, ...]] = {}
    roots: tuple[str, ...] = ()
    workspace: bool = True
    callable_tools: tuple[str, ...] | None = None
    replay: Literal["hints", "always", "never"] = "hints"
    on_leave: OnLeave = "keep"
    cache: dict[str, Cache] = {}
    sessions: Literal["shared", "user", "task"] = "user"


class Problem(Exception):
    """What is wrong at a path inside one host."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def entry_of(raw: Any) -> Entry:
    """Convert what TOML or JSON says. Raises Problem.

    Each task type is converted on its own, so that an error can name it.
    """
    if isinstance(raw, dict) and isinstance(types := raw.get("task_types"), dict):
        for name, binding in types.items():
            convert(binding, TaskBinding, f"task_types.{name}")
    entry: Entry = convert(raw, Entry, "")
    return entry


def convert(raw: Any, type_: Any, where: str) -> Any:
    """Convert a part; `where` is its path. Raises Problem with the path inside it."""
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _LAST_PART.search(text)
        inner = found[1].lstrip(".") if found else ""
        message = _LAST_PART.sub("", text).replace("`", "")
        raise Problem(
            ".".join(part for part in (where, inner) if part).replace(".[", "["),
            message[:1].lower() + message[1:],
        ) from None


def host_of(entry: Entry, id_: str, source: str = MANIFEST) -> Host:
    """The host that an entry describes."""
    fields = msgspec.to_builtins(entry)
    own = {"id": id_, "name": entry.name or split_host(id_)[1], "source": source}
    return msgspec.convert({**fields, **own}, Host)
