"""Hosts: one MCP server or Space the orchestrator can use, and what it can do."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

MANIFEST = "manifest"
"""`Host.source` of what stands in the operator's manifests."""
COMMAND = "command"
"""`Host.source` of what was added by command: the operator's without an owner, else a user's."""
SPACE = "space"
"""`Host.source` of what was found among a user's Spaces."""
OUTDATED = "outdated"
"""Kind of the reason (`outdated: …`) of a host whose Space kit takes no permits of this release."""


class Capability(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something a host can do. Matches when the names are equal, the required version is not
    higher than the offered one (compared as versions) and the parameters are contained."""

    name: str
    version: str = "1.0.0"
    parameters: tuple[str, ...] = ()


class HealthStatus(StrEnum):
    """What the last probes say; the router scores them 1, 0.7, 0.3 and 0."""

    HEALTHY = "healthy"
    WARNING = "warning"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Placement(StrEnum):
    """Where a host runs: beside the orchestrator, or in a user's own Space."""

    ORCHESTRATOR = "orchestrator"
    USER_SPACE = "user_space"


class Stdio(msgspec.Struct, frozen=True, tag_field="kind", tag="stdio", omit_defaults=True):
    """An MCP server started as a child process."""

    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    """All of it stands in the log: secrets as `{secret:NAME}` only, here and in `args`."""
    env_from: tuple[str, ...] = ()
    """Names of environment variables the executor passes on from its own environment."""
    cwd: str | None = None


class StreamableHttp(msgspec.Struct, frozen=True, tag_field="kind", tag="http", omit_defaults=True):
    """An MCP server behind streamable HTTP."""

    url: str
    """`https://...`, or `hf://owner/space` for the MCP endpoint of a Gradio Space."""
    headers: dict[str, str] = {}
    """All of it stands in the log: secrets as `{secret:NAME}` only, here and in `url`."""
    bearer_from: str | None = None
    """Name of the secret that is sent as bearer token, see `services/keys/secrets.py`."""
    subdomain: str = ""
    """Of a Space: the name under which the Hub serves it; empty: made of owner and name."""


class Execute(msgspec.Struct, frozen=True, tag_field="kind", tag="execute", omit_defaults=True):
    """A Space or Oracle host that answers `POST {url}/execute` and `GET {url}/health`."""

    url: str
    """`https://...`, or `hf://owner/space` for a Space."""
    headers: dict[str, str] = {}
    """All of it stands in the log: secrets as `{secret:NAME}` only, here and in `url`."""
    bearer_from: str | None = None
    """Name of the secret that is sent as bearer token; private Spaces ask for one."""
    subdomain: str = ""
    """Of a Space: the name under which the Hub serves it; empty: made of owner and name."""


class OpenApi(msgspec.Struct, frozen=True, tag_field="kind", tag="openapi", omit_defaults=True):
    """An HTTP API that an OpenAPI 3 document describes: each operation is a tool."""

    url: str
    """`https://...`: what the operations' paths are added to, whatever the document's `servers`
    say."""
    document_url: str = ""
    """Where the document is read; empty: it is `document`."""
    document: dict[str, Any] = {}
    """The document itself. All of it stands in the log."""
    operations: tuple[str, ...] = ()
    """Names of tools to take, `*` for any characters; none: all of them."""
    secrets: dict[str, str] = {}
    """By security scheme of the document, the name of the secret that satisfies it."""
    headers: dict[str, str] = {}
    """All of it stands in the log: secrets as `{secret:NAME}` only, here and in `url`."""
    bearer_from: str | None = None
    """Name of the secret that is sent as bearer token with every call."""
    subdomain: str = ""
    """Of a Space: the name under which the Hub serves it; empty: made of owner and name."""


class Noop(msgspec.Struct, frozen=True, tag_field="kind", tag="noop", omit_defaults=True):
    """Benchmark only: answers in the executor's process, does no work."""

    delay_ms: float = 0.0


Remote: TypeAlias = StreamableHttp | Execute | OpenApi
"""Endpoints with a URL."""
Endpoint: TypeAlias = Stdio | Remote | Noop


OnLeave: TypeAlias = Literal["keep", "cancel"]
"""What becomes of a task when whoever waits for its end goes away."""


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tool as the host lists it; the hints are None when the host does not say."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}
    read_only: bool | None = None
    idempotent: bool | None = None
    title: str = ""
    destructive: bool | None = None
    open_world: bool | None = None
    hints_title: str = ""
    """`annotations.title`."""
    output_schema: dict[str, Any] | None = None
    icons: tuple[dict[str, Any], ...] = ()
    """As MCP writes them, like the next."""
    meta: dict[str, Any] | None = None
    task_support: str = ""
    """`execution.taskSupport`; whoever says `required` is not offered: see `needs_task`."""

    @property
    def needs_task(self) -> bool:
        """It can be called as a task of MCP 2025-11-25 only, which the orchestrator does not do."""
        return self.task_support == "required"


class Step(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One tool call of a task type. Arguments are JSON with references, see `docs/manifest.md`."""

    tool: str
    arguments: dict[str, Any] = {}
    output: str | None = None
    """Keep this step's answer under this name; one kept answer alone is the result."""
    cleanup: bool = False
    """Runs after the others, also when one of them failed; its own failure is only logged."""


class Access(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who sees and uses something: whoever has one of the roles, is one of the users, or asks for
    one of the projects."""

    roles: tuple[Literal["user", "auditor", "admin"], ...] = ()
    """`user` is everybody's."""
    users: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    """Ids of projects: tasks that belong to one of them."""


class Cache(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """For how long, and to whom, an answer may be given again to the same question."""

    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=30 * 86400)]
    """Seconds after the answer; log time."""
    scope: Literal["user", "all"] = "user"
    """Only to the user who has asked, or to everybody who may ask."""


class TaskBinding(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a host serves a task type: the tool calls, in order, or the host's own way."""

    steps: tuple[Step, ...] = ()
    """None for `/execute` hosts, which know by themselves what a task type asks of them."""
    summary: str = ""
    input_schema: dict[str, Any] = {}
    """JSON Schema of the task's input; checked before the first call."""
    example: dict[str, Any] = {}
    """An input that works; shown by `metamcp types`."""
    replayable: bool | None = None
    """True: running it twice is harmless. None: as the tools' own hints say."""
    access: Access | None = None
    """Who may have such tasks run here; None: everybody who may use the host."""
    cache: Cache | None = None
    """Results may be given again in place of work; None: never."""


class Flags(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Routing flags of the original specification, and `accepts_heavy`."""

    can_run_on_user_space: bool = False
    requires_user_space: bool = False
    result_pointer_preferred: bool = False
    fallback_to_oracle: bool = True
    accepts_heavy: bool = False


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the host bears; nobody sends it more."""

    max_concurrency: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 4
    start_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """Budget to start and answer the first request."""
    max_output_bytes: Annotated[int, msgspec.Meta(ge=1)] = 128 * 1024 * 1024


class Probe(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How health is checked: always `tools/list`, and this real call when declared."""

    tool: str | None = None
    arguments: dict[str, Any] = {}
    interval_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host as the log knows it."""

    id: str
    name: str
    endpoint: Endpoint
    placement: Placement = Placement.ORCHESTRATOR
    owner: str | None = None
    """Only this user may use it; None: everybody."""
    access: Access | None = None
    """Who sees the host and may use it; None: everybody, or its owner."""
    tool_access: dict[str, Access] = {}
    """By tool, who sees it and may call it; a tool that is not named: whoever may use the host."""
    approve: tuple[str, ...] = ()
    """Tools that a person has to allow before each task that calls them: patterns of their names
    (`*`, `?`), or `destructive`. See `contracts.approval`."""
    approvers: Access | None = None
    """Who may allow them; None: the task's user, and admins."""
    enabled: bool = True
    switched: bool | None = None
    """What a command has said about `enabled`; it goes before what a manifest or a Space says."""
    capabilities: tuple[Capability, ...] = ()
    task_types: dict[str, TaskBinding] = {}
    flags: Flags = Flags()
    limits: Limits = Limits()
    probe: Probe = Probe()
    path_arguments: dict[str, tuple[str, ...]] = {}
    """Tool name (or `*`) to the arguments that are paths: they must lie inside `roots`."""
    roots: tuple[str, ...] = ()
    """Folders that path arguments may name besides the attempt's own workspace."""
    workspace: bool = True
    """May path arguments name the attempt's workspace? What lies there comes from the user."""
    callable_tools: tuple[str, ...] | None = None
    """Tools that `mcp.call` may name; None: all of them. Steps of task types may use any."""
    replay: Literal["hints", "always", "never"] = "hints"
    """May an attempt with unknown outcome run again? As the tools say, always, or never."""
    on_leave: OnLeave = "keep"
    """What becomes of a call's task when the client that waits for it at `/mcp` goes away."""
    cache: dict[str, Cache] = {}
    """By tool (or `*`), whether answers to `mcp.call` may be given again in place of a call."""
    sessions: Literal["shared", "user", "task"] = "user"
    """Who shares an MCP session with whom: everybody, the tasks of one user, or nobody. Whoever
    shares one may see what others have left in the server's memory."""
    source: str = MANIFEST
    tools: tuple[Tool, ...] = ()
    """As listed at discovery."""
    server: str = ""
    """Name and version the server gave."""
    protocol: str = ""
    """MCP protocol version negotiated at discovery."""
    instructions: str = ""
    """What the server says to those who use it."""
    features: tuple[str, ...] = ()
    """What else it said at discovery that it has: `prompts`, `resources`, `completions`, and
    `subscriptions` to resources."""


def operated(host: Host) -> bool:
    """Whether the operator answers for this host; all others come from users."""
    return host.source == MANIFEST or (host.source == COMMAND and host.owner is None)


FOREIGN_OUTPUT_BYTES = 128 * 1024 * 1024
"""Highest `max_output_bytes` of a host that a user has brought."""
FOREIGN_START_S = 300.0
"""Highest `start_s` of such a host."""
FOREIGN_INTERVAL_S = 10.0
"""Lowest `probe.interval_s` of such a host."""
FOREIGN_CONCURRENCY = 16
"""Highest `max_concurrency` of such a host."""
FOREIGN_TIMEOUT_S = 86_400.0
"""The most seconds that one attempt on such a host may take."""


def excesses(limits: Limits, probe: Probe) -> dict[str, float]:
    """The fields that go beyond the bounds of a user's host, and the bound of each."""
    at_most = {
        "limits.max_concurrency": (limits.max_concurrency, FOREIGN_CONCURRENCY),
        "limits.start_s": (limits.start_s, FOREIGN_START_S),
        "limits.max_output_bytes": (limits.max_output_bytes, FOREIGN_OUTPUT_BYTES),
    }
    found = {field: bound for field, (value, bound) in at_most.items() if not value <= bound}
    if not probe.interval_s >= FOREIGN_INTERVAL_S:
        found["probe.interval_s"] = FOREIGN_INTERVAL_S
    return found


def clamped(host: Host) -> Host:
    """The host as it is used: one of a user keeps to the bounds, whatever was registered once.

    For whoever takes up a registration; from there on nobody needs to ask.
    """
    if operated(host) or not excesses(host.limits, host.probe):
        return host
    limits = msgspec.structs.replace(
        host.limits,
        max_concurrency=min(host.limits.max_concurrency, FOREIGN_CONCURRENCY),
        start_s=min(host.limits.start_s, FOREIGN_START_S),
        max_output_bytes=min(host.limits.max_output_bytes, FOREIGN_OUTPUT_BYTES),
    )
    interval_s = max(host.probe.interval_s, FOREIGN_INTERVAL_S)
    probe = msgspec.structs.replace(host.probe, interval_s=interval_s)
    return msgspec.structs.replace(host, limits=limits, probe=probe)


def longest_s(host: Host) -> float:
    """The most seconds that one attempt on this host may take; infinite on the operator's."""
    return math.inf if operated(host) else FOREIGN_TIMEOUT_S


H = TypeVar("H", bound=Host)


def for_users(host: H) -> H:
    """The host as users see it: of the operator's, not what it is started or reached with, and not
    who else may use it. Of its endpoint the kind is left, and the name of the secret that a user
    may bring along. What is not for them `contracts.permitted` has taken out before."""
    if not operated(host):
        return host
    replace = msgspec.structs.replace
    probe = replace(host.probe, arguments={}) if host.probe.arguments else host.probe
    if any(binding.access is not None for binding in host.task_types.values()):
        types = {k: replace(binding, access=None) for k, binding in host.task_types.items()}
        host = replace(host, task_types=types)
    return replace(
        host,
        endpoint=_kind(host.endpoint),
        roots=(),
        probe=probe,
        access=None,
        tool_access={},
        approvers=None,
    )


def _kind(endpoint: Endpoint) -> Endpoint:
    match endpoint:
        case Stdio():
            return Stdio("")
        case StreamableHttp(bearer_from=bearer):
            return StreamableHttp("", bearer_from=bearer)
        case Execute(bearer_from=bearer):
            return Execute("", bearer_from=bearer)
        case OpenApi(bearer_from=bearer):
            return OpenApi("", bearer_from=bearer)
        case Noop():
            return endpoint
