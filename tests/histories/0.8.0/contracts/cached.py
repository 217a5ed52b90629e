"""Which results may be given again in place of work, and to whom, as hosts declare it. Pure.

What has to be judged alike by whoever decides it and whoever checks it stands here.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts import references
from contracts.approval import to_approve
from contracts.host import Cache, Capability, Endpoint, Host, TaskBinding
from contracts.result import Inline, Result, sha256_hex
from contracts.task import MCP_CALL, TaskSpec, canonical

ANY = "*"
"""In `Host.cache` and `Host.path_arguments`: every tool."""
EARLY_S = 2.0
"""A router's idea of log time may be a little behind the facts that it has folded."""
_OWN = b'"pointer"'
_SAME_CALL = ("task", "attempt")


def declares(host: Host, type_: str) -> bool:
    """Whether it may have results of this task type given again, for some tool at least."""
    binding = host.task_types.get(type_)
    if binding is not None:
        return binding.cache is not None
    return type_ == MCP_CALL and bool(host.cache)


def caches(host: Host) -> bool:
    """Whether it declares anything of the kind."""
    return bool(host.cache) or any(one.cache is not None for one in host.task_types.values())


def cache_for(host: Host, type_: str, tool: str) -> Cache | None:
    """What the host says of this tool of `mcp.call`, or of this task type; None: it is work each
    time, also where the input does not say all that the answer depends on."""
    binding = host.task_types.get(type_)
    if binding is not None:
        found, tools = binding.cache, {step.tool for step in binding.steps}
    elif type_ == MCP_CALL and tool:
        found, tools = host.cache.get(tool) or host.cache.get(ANY), {tool}
    else:
        return None
    if found is None or unfixed(host.endpoint, host.path_arguments, tools) or _by_task(binding):
        return None
    if to_approve(host, type_, tool) is not None:
        # What a person has allowed once is no leave for the next time.
        return None
    return found


def unfixed(
    endpoint: Endpoint, path_arguments: dict[str, tuple[str, ...]], tools: Iterable[str]
) -> str:
    """Why an answer may depend on what no digest of the input covers; empty: nothing says so."""
    if references.names(endpoint) or getattr(endpoint, "bearer_from", None):
        return "the host is called with a secret, and answers may be for its holder alone"
    for tool in (*tools, ANY):
        if path_arguments.get(tool):
            return f"path arguments of {tool} may name files of this machine, which change"
    return ""


def asks_by_task(binding: TaskBinding) -> str:
    """Which part of a call is another for each task: `$task` or `$attempt`; empty: none."""
    text = msgspec.json.encode([step.arguments for step in binding.steps]).decode()
    found = [name for name in _SAME_CALL if f"${name}" in text or f"${{{name}" in text]
    return f"${found[0]}" if found else ""


def owned(spec: TaskSpec) -> bool:
    """Whether the input names bytes of its user's, which are for nobody else.

    Inputs are stored in canonical form, in which the word is written plainly.
    """
    return spec.input_pointer is not None or _OWN in bytes(spec.input)


def shareable(cache: Cache, result: Result, *, own: bool) -> bool:
    """Whether other users may be given the result: what lies in somebody's store is for them."""
    return cache.scope == "all" and not own and isinstance(result, Inline)


def young(at: float, now: float, cache: Cache) -> bool:
    """Whether what was answered at this log time may still be given again; a clock that was set
    back makes it work."""
    return -EARLY_S <= now - at <= cache.ttl_s


def version(host: Host) -> str:
    """Digest of all by which answers may differ: another server or endpoint, other tools."""
    bindings = {name: (one.steps, one.input_schema) for name, one in host.task_types.items()}
    told = (
        *(host.endpoint, host.server, host.protocol, host.tools, host.callable_tools),
        *(bindings, host.path_arguments, host.roots, host.workspace, host.sessions),
    )
    return sha256_hex(canonical(told))


def question(
    host: str,
    version: str,
    type_: str,
    input_sha256: str,
    required: tuple[Capability, ...],
    heavy: bool,
    user: str,
) -> str:
    """Digest of what was asked of whom; `user`: for whom the answer is, empty for everybody."""
    return sha256_hex(canonical((host, version, type_, input_sha256, required, heavy, user)))


def _by_task(binding: TaskBinding | None) -> bool:
    return binding is not None and bool(asks_by_task(binding))
