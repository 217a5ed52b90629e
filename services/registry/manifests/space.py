"""`mcp.json` of a Hugging Face Space, and Gradio Spaces without one: what host they are.

Pure. The original specification's shape is read as it is; members that are not known are left
alone, because the file is somebody else's. It can only ever describe its own Space.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from contracts.errors import Rejected
from contracts.host import (
    SPACE,
    Capability,
    Execute,
    Flags,
    Host,
    Limits,
    Placement,
    Probe,
    StreamableHttp,
    TaskBinding,
    clamped,
)
from contracts.ids import MAX_TOKEN, check_host, check_user, host_id
from contracts.nesting import too_deep
from services.registry.manifests import checks
from services.registry.manifests import entries as host_schema
from services.registry.manifests.entries import Problem
from services.registry.manifests.manifest import ManifestError

MOST_BYTES = 256 * 1024
"""Of a file: what is registered has to fit into one fact."""
MOST_ENTRIES = 256
"""Tools, capabilities and task types, of each at most so many."""
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME = 200
_DIGITS = 8


class SpaceTool(msgspec.Struct, frozen=True):
    """A tool: a capability of its name."""

    name: str
    version: str = "1.0.0"
    parameters: list[str] | dict[str, Any] = []
    """Names, or a mapping whose keys are the names."""


class SpaceCapability(msgspec.Struct, frozen=True):
    """A capability, and the task types that need it."""

    name: str = ""
    version: str = "1.0.0"
    parameters: list[str] | dict[str, Any] = []
    task_types: list[str] = []


class SpaceEndpoint(msgspec.Struct, frozen=True):
    """How the Space is called; where is never for the file to say."""

    kind: Literal["execute", "http"] = "execute"


class SpaceBinding(msgspec.Struct, frozen=True):
    """What a task type asks for."""

    summary: str = ""
    input_schema: dict[str, Any] = {}
    example: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    """For the kind `http` only: an `execute` Space knows by itself."""
    replayable: bool | None = None


class SpaceManifest(msgspec.Struct, frozen=True):
    """The file: `tools`, `capabilities` and the flags are the specification's, the rest is ours."""

    name: str = ""
    tools: list[SpaceTool] = []
    capabilities: list[SpaceCapability] = []
    can_run_on_user_space: bool = False
    requires_user_space: bool = False
    result_pointer_preferred: bool = False
    fallback_to_oracle: bool = True
    endpoint: SpaceEndpoint = SpaceEndpoint()
    task_types: dict[str, SpaceBinding] = {}
    replay: Literal["hints", "always", "never"] = "hints"
    limits: dict[str, Any] = {}
    probe: dict[str, Any] = {}


class SpaceOrigin(msgspec.Struct, frozen=True):
    """Whose Space it is, as the Hub says."""

    repo: str
    """`owner/name`."""
    user: str
    """Our user, whose linked account has found it."""
    name: str
    """What the host is called, see `names`."""
    private: bool = False
    subdomain: str = ""
    """As the Hub says."""


def names(repos: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """What the hosts of a user's Spaces are called: `owner-name`, every other character a `-`.

    Where two would have the same name, or it is too long, a hash of `owner/name` stands behind it.
    `known`: names that Spaces have already; they keep them.
    """
    every = sorted(set(repos))
    found = {repo: known[repo] for repo in every if known.get(repo) in _may_be_called(repo)}
    taken = set(found.values())
    for repo in every:
        if repo not in found:
            plain, distinct = _may_be_called(repo)
            found[repo] = plain if plain not in taken else distinct
            taken.add(found[repo])
    return found


def _may_be_called(repo: str) -> tuple[str, str]:
    """The plain name of a Space's host, and the one that no other Space's has."""
    plain = _OTHER.sub("-", repo)
    digest = hashlib.sha256(repo.lower().encode()).hexdigest()[:_DIGITS]
    distinct = f"{plain[: MAX_TOKEN - _DIGITS - 1]}-{digest}"
    return (plain if len(plain) <= MAX_TOKEN else distinct), distinct


def space_host(data: bytes, where: str, space: SpaceOrigin) -> Host:
    """The host that the `mcp.json` of a Space describes.

    `where` is shown in errors: the file's URL. Raises ManifestError.
    """
    try:
        return _host(_read(data), space)
    except Problem as problem:
        path = f"{problem.path}: " if problem.path else ""
        raise ManifestError(f"{where}: {path}{problem.message}") from None
    except Rejected as refusal:
        raise ManifestError(f"{where}: {refusal.message}") from None


def gradio_host(space: SpaceOrigin, title: str = "") -> Host:
    """The host that a Gradio Space tagged `mcp-server` is: its tools are listed by the probe."""
    name = (title or space.repo)[:_MAX_NAME]
    endpoint = StreamableHttp(**_place(space))
    flags = Flags(can_run_on_user_space=True)
    return _owned(space, name=name, endpoint=endpoint, flags=flags)


def _read(data: bytes) -> SpaceManifest:
    if len(data) > MOST_BYTES:
        raise Problem("", f"{len(data)} bytes; at most {MOST_BYTES} are read")
    if too_deep(data):
        raise Problem("", "it is nested too deep")
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("", f"it is no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise Problem("", "expected an object")
    read: SpaceManifest = host_schema.convert(raw, SpaceManifest, "")
    for name, entries in (
        ("tools", read.tools),
        ("capabilities", read.capabilities),
        ("task_types", read.task_types),
    ):
        if len(entries) > MOST_ENTRIES:
            raise Problem(name, f"{len(entries)} entries; at most {MOST_ENTRIES} are read")
    return read


def _host(read: SpaceManifest, space: SpaceOrigin) -> Host:
    endpoint: Execute | StreamableHttp
    if read.endpoint.kind == "execute":
        endpoint = Execute(**_place(space))
    else:
        endpoint = StreamableHttp(**_place(space))
    host = _owned(
        space,
        name=(read.name or space.repo)[:_MAX_NAME],
        endpoint=endpoint,
        capabilities=tuple(_capabilities(read)),
        task_types=_task_types(read),
        flags=Flags(
            can_run_on_user_space=read.can_run_on_user_space,
            requires_user_space=read.requires_user_space,
            result_pointer_preferred=read.result_pointer_preferred,
            fallback_to_oracle=read.fallback_to_oracle,
        ),
        limits=host_schema.convert(read.limits, Limits, "limits"),
        probe=host_schema.convert(read.probe, Probe, "probe"),
        replay=read.replay,
    )
    # The file is somebody else's: what goes too far is cut, and no reason to be no host.
    host = clamped(host)
    # What holds for every host holds for this one.
    fields = {
        name: value
        for name, value in msgspec.to_builtins(host).items()
        if name not in ("id", "source")
    }
    checks.check(host_schema.entry_of(fields), judged=True)
    return host


def _owned(space: SpaceOrigin, **fields: Any) -> Host:
    return Host(
        id=check_host(host_id(check_user(space.user), space.name), "the Space's id"),
        placement=Placement.USER_SPACE,
        owner=space.user,
        source=SPACE,
        **fields,
    )


def _place(space: SpaceOrigin) -> dict[str, Any]:
    """Where it is called. A private Space lets in who shows a token of the account that may read
    it."""
    bearer = "HF_TOKEN" if space.private else None
    return {"url": f"hf://{space.repo}", "bearer_from": bearer, "subdomain": space.subdomain}


def _capabilities(read: SpaceManifest) -> Iterator[Capability]:
    seen: set[str] = set()
    declared: Iterable[SpaceTool | SpaceCapability] = (*read.tools, *read.capabilities)
    for one in declared:
        if one.name and one.name not in seen:
            seen.add(one.name)
            yield Capability(one.name, one.version, tuple(one.parameters))


def _task_types(read: SpaceManifest) -> dict[str, TaskBinding]:
    """Those of the capabilities, in order, then those that are described further."""
    names = [name for capability in read.capabilities for name in capability.task_types]
    described: Mapping[str, SpaceBinding] = read.task_types
    return {
        name: host_schema.convert(
            msgspec.to_builtins(described.get(name, SpaceBinding())),
            TaskBinding,
            f"task_types.{name}",
        )
        for name in dict.fromkeys((*names, *described))
    }
