"""What the types of an entry alone don't find: each part of it has a check here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts import approval, cached, references
from contracts.host import (
    Access,
    Execute,
    Noop,
    OpenApi,
    Placement,
    Remote,
    Stdio,
    StreamableHttp,
    TaskBinding,
    excesses,
)
from contracts.ids import check_user, is_token, is_user
from contracts.task import MCP_CALL
from services.outside import addresses, schema_cost
from services.outside.openapi import document, naming, reading
from services.outside.openapi.reading import BadDocument
from services.outside.schemas import Invalid, Schema, Unjudged
from services.registry.manifests.entries import Entry, Problem

LONGEST_S = 7 * 86_400.0
"""Longest time a host may be given to start, or to be left unasked."""
SHORTEST_INTERVAL_S = 0.01
"""Shortest time between two probes that a manifest may ask for."""
MOST_NAMED = 1000
"""Users and projects that one `access` may name."""
MOST_PATTERNS = 50
"""Of them, among the names of operations that an endpoint wants."""
MOST_OUTPUT_BYTES = 2**40
"""Highest `max_output_bytes` of any host."""
_TASK_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")
_WHOLE = re.compile(r"\$[A-Za-z_]")
_REFERENCE = re.compile(r"\$(input|workspace|task|attempt|step)\b(?:\.([^.?|]+))?")


def check(entry: Entry, *, allow_noop: bool = False, judged: bool = False) -> None:
    """Find what the types alone don't. Raises Problem, Rejected(BAD_ID).

    `judged`: schemas must be such that data can be held against them in bounded time.
    """
    if isinstance(entry.endpoint, Noop) and not allow_noop:
        raise Problem(
            "endpoint.kind", "noop is for benchmarks: set METAMCP_REGISTRY_ALLOW_NOOP=true"
        )
    for check_part in (
        *(_check_identity, _check_access, _check_approve, _check_references),
        *(_check_web, _check_execute, _check_document),
        *(_check_task_types, _check_cache, _check_capabilities, _check_roots, _check_numbers),
    ):
        check_part(entry)
    _check_schemas(entry, judged=judged)


def check_bounds(entry: Entry) -> None:
    """Refuse limits that only the operator's hosts may have. Raises Problem."""
    for field, bound in excesses(entry.limits, entry.probe).items():
        side = "at least" if field == "probe.interval_s" else "at most"
        raise Problem(field, f"{side} {bound:,.15g} for a host that is not the operator's")


def _check_identity(entry: Entry) -> None:
    if entry.owner is not None:
        check_user(entry.owner, "the owner")
    elif entry.placement is Placement.USER_SPACE:
        raise Problem("owner", "a host in a user's Space needs the user's name")
    if isinstance(entry.endpoint, Stdio) and not entry.endpoint.command:
        raise Problem("endpoint.command", "expected a program to start")


def check_unguarded(entry: Entry) -> None:
    """Refuse to say of a user's host who else may use it. Raises Problem."""
    for where, _ in _accesses(entry):
        raise Problem(where, "a user's host is for that user alone. Leave it out.")


def _accesses(entry: Entry) -> Iterator[tuple[str, Access]]:
    """All that says who may use something, and where it stands."""
    if entry.access is not None:
        yield "access", entry.access
    if entry.approvers is not None:
        yield "approvers", entry.approvers
    for name, access in entry.tool_access.items():
        yield f"tool_access.{name}", access
    for name, binding in entry.task_types.items():
        if binding.access is not None:
            yield f"task_types.{name}.access", binding.access


def _check_access(entry: Entry) -> None:
    """Names that can be nobody's let nobody in, and nobody at all is no wish."""
    if entry.owner is not None:
        check_unguarded(entry)
    for where, access in _accesses(entry):
        if not (access.roles or access.users or access.projects):
            raise Problem(where, "it lets nobody in: name roles, users or projects")
        if len(access.users) + len(access.projects) > MOST_NAMED:
            raise Problem(where, f"expected at most {MOST_NAMED} users and projects")
        for kind, names in (("users", access.users), ("projects", access.projects)):
            for index, name in enumerate(names):
                if not (is_user(name) if kind == "users" else is_token(name)):
                    what = f"{kind[:-1]}'s id"
                    raise Problem(f"{where}.{kind}[{index}]", f"{name[:80]!r} can be no {what}")


def _check_approve(entry: Entry) -> None:
    if len(entry.approve) > approval.MOST_PATTERNS:
        raise Problem("approve", f"expected at most {approval.MOST_PATTERNS} patterns")
    for index, pattern in enumerate(entry.approve):
        if not 0 < len(pattern) <= approval.PATTERN_CHARS:
            what = f"expected a pattern of 1 to {approval.PATTERN_CHARS} characters"
            raise Problem(f"approve[{index}]", f"{what}, such as `delete_*`")
    if entry.approvers is not None and not entry.approve:
        raise Problem("approvers", "nothing has to be approved: name tools in `approve`")


def _check_web(entry: Entry) -> None:
    endpoint = entry.endpoint
    if not isinstance(endpoint, Remote):
        return
    try:
        mcp = isinstance(endpoint, StreamableHttp)
        addresses.resolve(endpoint.url, mcp=mcp, subdomain=endpoint.subdomain)
    except addresses.AddressRefused as refused:
        raise Problem("endpoint.url", str(refused)) from None
    try:
        addresses.check_headers(endpoint.headers)
    except addresses.AddressRefused as refused:
        raise Problem("endpoint.headers", str(refused)) from None
    if endpoint.bearer_from is None:
        return
    if not references.is_name(endpoint.bearer_from):
        rule = references.NAME_RULE
        raise Problem("endpoint.bearer_from", f"expected the name of a secret: {rule}")
    if any(name.lower() == "authorization" for name in endpoint.headers):
        raise Problem("endpoint.bearer_from", "it is the header Authorization: leave one out")


def _check_references(entry: Entry) -> None:
    for where, text in references.texts(entry.endpoint):
        for name in references.named(text):
            if not references.is_name(name):
                why = f"{{secret:{name[:80]}}} names no secret: {references.NAME_RULE}"
                raise Problem(f"endpoint.{where}", why)
    endpoint = entry.endpoint
    if isinstance(endpoint, Stdio):
        for where, text in (("command", endpoint.command), ("cwd", endpoint.cwd or "")):
            if references.named(text):
                raise Problem(f"endpoint.{where}", "no secret stands here: args and env have them")


def _check_execute(entry: Entry) -> None:
    """What only tools have is refused for a host that knows task types instead."""
    if not isinstance(entry.endpoint, Execute):
        return
    why = "a host of the kind execute has no tools. Leave it out."
    if entry.probe.tool is not None or entry.probe.arguments:
        raise Problem("probe.tool", why)
    if entry.callable_tools is not None:
        raise Problem("callable_tools", why)
    if entry.tool_access:
        raise Problem("tool_access", why)
    if entry.path_arguments:
        raise Problem("path_arguments", why)
    if not entry.task_types:
        raise Problem("task_types", "expected at least one: this kind of host does nothing else")


def _check_document(entry: Entry) -> None:
    endpoint = entry.endpoint
    if not isinstance(endpoint, OpenApi):
        return
    if bool(endpoint.document_url) == bool(endpoint.document):
        raise Problem("endpoint.document_url", "give either this or `document`")
    wild = sum(bool(set(name) & naming.WILD) for name in endpoint.operations)
    if len(endpoint.operations) > MOST_NAMED or wild > MOST_PATTERNS:
        most = f"{MOST_NAMED} names, {MOST_PATTERNS} of them patterns"
        raise Problem("endpoint.operations", f"expected at most {most}")
    if references.named(endpoint.document_url):
        raise Problem("endpoint.document_url", "no secret stands here")
    try:
        if endpoint.document_url:
            addresses.resolve(endpoint.document_url, mcp=True)
        else:
            reading.check(endpoint.document)
            # Without schemas: that takes no time, and a probe makes them.
            document.api(endpoint.document, endpoint.operations, nodes=0)
    except addresses.AddressRefused as refused:
        raise Problem("endpoint.document_url", str(refused)) from None
    except BadDocument as why:
        raise Problem("endpoint.document", str(why)) from None
    for scheme, name in endpoint.secrets.items():
        if not references.is_name(name):
            rule = f"expected the name of a secret: {references.NAME_RULE}"
            raise Problem(f"endpoint.secrets.{scheme[:80]}", rule)


def _check_task_types(entry: Entry) -> None:
    for name, binding in entry.task_types.items():
        where = f"task_types.{name}"
        if name == MCP_CALL:
            raise Problem(where, "every host serves this type by itself. Leave it out.")
        if not _TASK_TYPE.fullmatch(name):
            raise Problem(where, "use 1 to 64 of the characters A-Z a-z 0-9 _ . - in a task type")
        if isinstance(entry.endpoint, Execute):
            if binding.steps:
                message = "a host of the kind execute takes the input as it is. Leave it out."
                raise Problem(f"{where}.steps", message)
        elif all(step.cleanup for step in binding.steps):
            raise Problem(f"{where}.steps", "expected at least one step that is no cleanup")
        _check_steps(where, binding)


def _check_cache(entry: Entry) -> None:
    """Refuse to have answers given again that depend on more than the input."""
    if entry.cache and isinstance(entry.endpoint, Execute):
        raise Problem("cache", "a host of the kind execute has no tools: say it of its task types")
    bound = {name: one for name, one in entry.task_types.items() if one.cache is not None}
    asked = [(f"cache.{tool}", {tool}) for tool in entry.cache if tool != cached.ANY]
    asked += [("cache", set())] if cached.ANY in entry.cache else []
    for name, binding in bound.items():
        asked.append((f"task_types.{name}.cache", {step.tool for step in binding.steps}))
        if part := cached.asks_by_task(binding):
            where = f"task_types.{name}.cache"
            raise Problem(where, f"its calls hold {part}, which is another for each task")
    for where, tools in asked:
        if why := cached.unfixed(entry.endpoint, entry.path_arguments, tools):
            raise Problem(where, why)


def _check_steps(where: str, binding: TaskBinding) -> None:
    kept: set[str] = set()
    for index, step in enumerate(binding.steps):
        for text in _strings(step.arguments):
            if not _WHOLE.match(text):
                continue
            match = _REFERENCE.match(text)
            if match is None:
                message = f"{text!r} is no reference. See docs/task-grammar.md."
            elif match[1] == "step" and match[2] not in kept:
                message = f"{text!r}: no step before this one keeps an output of that name"
            else:
                continue
            raise Problem(f"{where}.steps[{index}].arguments", message)
        if step.output:
            kept.add(step.output)


def _check_schemas(entry: Entry, *, judged: bool) -> None:
    left = schema_cost.MOST_STEPS
    for name, binding in entry.task_types.items():
        where = f"task_types.{name}.input_schema"
        try:
            left -= Schema(binding.input_schema, left).steps
        except Invalid as wrong:
            inner = f".{wrong.path}" if wrong.path else ""
            raise Problem(where + inner, f"no JSON Schema: {wrong.why}") from None
        except Unjudged as open_:
            if judged:
                inner = f".{open_.path}" if open_.path else ""
                why = f"inputs can't be checked against it in bounded time: {open_.why}"
                raise Problem(where + inner, why) from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def _check_capabilities(entry: Entry) -> None:
    for index, capability in enumerate(entry.capabilities):
        if not _VERSION.fullmatch(capability.version):
            raise Problem(
                f"capabilities[{index}].version", "expected numbers joined by dots, such as 1.0.0"
            )


def _check_roots(entry: Entry) -> None:
    for index, root in enumerate(entry.roots):
        if not Path(root).is_absolute():
            raise Problem(f"roots[{index}]", f"expected an absolute path, not {root!r}")


def _check_numbers(entry: Entry) -> None:
    """Nobody means an endless or immeasurable time, or more bytes than any disk has."""
    for field, value, least, most in (
        ("limits.start_s", entry.limits.start_s, 0.0, LONGEST_S),
        ("limits.max_output_bytes", entry.limits.max_output_bytes, 0, MOST_OUTPUT_BYTES),
        ("probe.interval_s", entry.probe.interval_s, SHORTEST_INTERVAL_S, LONGEST_S),
    ):
        if not least <= value <= most:
            raise Problem(field, f"expected a number from {least:g} to {most:,.15g}")
