"""Manifest files: TOML in, hosts out.

Everything a file can get wrong is found here, and every error names the file and the path in it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from contracts.errors import Rejected
from contracts.host import (
    Capability,
    Execute,
    Flags,
    Host,
    Limits,
    Noop,
    Placement,
    Probe,
    Stdio,
    StreamableHttp,
    TaskBinding,
)
from contracts.ids import check_token
from contracts.task import MCP_CALL
from services import outbound, secrets

BUILTIN = Path(__file__).with_name("builtin.toml")
NO_ROOT = "/path/to/a/repository"
"""Stands for `{root}` while the operator has named no root."""
_TASK_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_WHOLE = re.compile(r"\$[A-Za-z_]")
_REFERENCE = re.compile(r"\$(input|workspace|task|attempt|step)\b(?:\.([^.?|]+))?")
_LAST_PART = re.compile(r" - at `(?:key in )?\$(.*)`$")


class ManifestError(Exception):
    """A manifest that can't be used: file, path in it, what is wrong and what is expected."""


class Places(msgspec.Struct, frozen=True):
    """What stands for the placeholders of a manifest."""

    data: Path
    roots: tuple[Path, ...] = ()
    allow_noop: bool = False


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


class _Noop(Noop, frozen=True, tag="noop", omit_defaults=True, forbid_unknown_fields=True):
    """The benchmark's host without room for spelling mistakes."""


_Endpoint: TypeAlias = _Stdio | _Http | _Execute | _Noop


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A host as a manifest may describe it: what discovery finds out is not for it to say."""

    endpoint: _Endpoint
    name: str = ""
    placement: Placement = Placement.ORCHESTRATOR
    owner: str | None = None
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


class Problem(Exception):
    """What is wrong at a path inside one host."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def load(files: Iterable[Path], places: Places, *, builtins: bool = True) -> tuple[Host, ...]:
    """Read the built-in hosts and the operator's files; an operator's host replaces a built-in one.

    Raises ManifestError for the first thing that is wrong.
    """
    hosts = {host.id: host for host in read(BUILTIN, places)} if builtins else {}
    named: dict[str, Path] = {}
    for path in files:
        for host in read(path, places):
            if host.id in named:
                raise ManifestError(
                    f"{path}: hosts.{host.id}: {named[host.id]} has a host of this name too."
                    " Rename one of them."
                )
            named[host.id] = path
            hosts[host.id] = host
    return tuple(hosts.values())


def read(path: Path, places: Places) -> tuple[Host, ...]:
    """Read one file. Raises ManifestError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestError(f"{path}: it can't be read: {error}") from None
    if unknown := sorted(content.keys() - {"hosts"}):
        raise ManifestError(f"{path}: {unknown[0]}: not known here. Hosts stand under [hosts.ID].")
    hosts = content.get("hosts")
    if not isinstance(hosts, dict):
        raise ManifestError(f"{path}: hosts: expected a table [hosts.ID] for each host")
    return tuple(_host(path, name, raw, places) for name, raw in hosts.items())


def _host(path: Path, name: str, raw: Any, places: Places) -> Host:
    try:
        check_token(name, "the host id")
        entry = _entry(_filled(raw, path.resolve().parent, places))
        _check_kind(entry, places)
        for check in (
            *(_check_identity, _check_web, _check_execute),
            *(_check_task_types, _check_capabilities, _check_roots),
        ):
            check(entry)
    except Rejected as refusal:
        raise ManifestError(f"{path}: hosts.{name}: {refusal.message}") from None
    except Problem as problem:
        where = f"hosts.{name}.{problem.path}".rstrip(".")
        raise ManifestError(f"{path}: {where}: {problem.message}") from None
    builtins = msgspec.to_builtins(entry)
    return msgspec.convert({**builtins, "id": name, "name": entry.name or name}, Host)


def _entry(raw: Any) -> Entry:
    """Convert; each task type on its own, so that an error can name it."""
    if isinstance(raw, dict) and isinstance(types := raw.get("task_types"), dict):
        for name, binding in types.items():
            _convert(binding, TaskBinding, f"task_types.{name}")
    entry: Entry = _convert(raw, Entry, "")
    return entry


def _convert(raw: Any, type_: Any, where: str) -> Any:
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


def _filled(raw: Any, package: Path, places: Places) -> Any:
    """Fill the placeholders in what names places: the endpoint, the roots and the examples."""
    if not isinstance(raw, dict):
        return raw
    values = {
        "package": str(package),
        "bin": str(Path(sys.executable).parent),
        "python": sys.executable,
        "data": str(places.data.absolute()),
        "root": str(places.roots[0].absolute()) if places.roots else NO_ROOT,
    }
    filled = dict(raw)
    if "endpoint" in filled:
        filled["endpoint"] = _replaced(filled["endpoint"], values, "endpoint")
    if isinstance(filled.get("roots"), list):
        filled["roots"] = _replaced(list(_roots(filled["roots"], places)), values, "roots")
    if isinstance(types := filled.get("task_types"), dict):
        filled["task_types"] = {
            name: {**binding, "example": _rooted(binding["example"], values)}
            if isinstance(binding, dict) and "example" in binding
            else binding
            for name, binding in types.items()
        }
    return filled


def _roots(roots: list[Any], places: Places) -> Iterator[Any]:
    for root in roots:
        if root == "{roots}":
            yield from (str(place.absolute()) for place in places.roots)
        else:
            yield root


def _replaced(value: Any, values: Mapping[str, str], where: str) -> Any:
    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(f"{{{name}}}" for name in values)
            raise Problem(where, f"{match[0]} is not known. There are {known}.")
        return values[match[1]]

    return _mapped(value, lambda text: _PLACEHOLDER.sub(fill, text))


def _rooted(value: Any, values: Mapping[str, str]) -> Any:
    """An example may hold any braces; only a whole `{root}` is a placeholder."""
    return _mapped(value, lambda text: values["root"] if text == "{root}" else text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {name: _mapped(item, change) for name, item in value.items()}
    return value


def _check_kind(entry: Entry, places: Places) -> None:
    if isinstance(entry.endpoint, Noop) and not places.allow_noop:
        raise Problem(
            "endpoint.kind", "noop is for benchmarks: set METAMCP_REGISTRY_ALLOW_NOOP=true"
        )


def _check_identity(entry: Entry) -> None:
    if entry.owner is not None:
        check_token(entry.owner, "the owner")
    elif entry.placement is Placement.USER_SPACE:
        raise Problem("owner", "a host in a user's Space needs the user's name")
    if isinstance(entry.endpoint, Stdio) and not entry.endpoint.command:
        raise Problem("endpoint.command", "expected a program to start")


def _check_web(entry: Entry) -> None:
    endpoint = entry.endpoint
    if not isinstance(endpoint, StreamableHttp | Execute):
        return
    try:
        outbound.resolve(endpoint.url, mcp=isinstance(endpoint, StreamableHttp))
    except outbound.Refused as refused:
        raise Problem("endpoint.url", str(refused)) from None
    try:
        outbound.check_headers(endpoint.headers)
    except outbound.Refused as refused:
        raise Problem("endpoint.headers", str(refused)) from None
    if endpoint.bearer_from is not None and not secrets.is_name(endpoint.bearer_from):
        raise Problem("endpoint.bearer_from", f"expected the name of a secret: {secrets.NAME_RULE}")


def _check_execute(entry: Entry) -> None:
    """What only tools have is refused for a host that knows task types instead."""
    if not isinstance(entry.endpoint, Execute):
        return
    why = "a host of the kind execute has no tools. Leave it out."
    if entry.probe.tool is not None or entry.probe.arguments:
        raise Problem("probe.tool", why)
    if entry.callable_tools is not None:
        raise Problem("callable_tools", why)
    if entry.path_arguments:
        raise Problem("path_arguments", why)
    if not entry.task_types:
        raise Problem("task_types", "expected at least one: this kind of host does nothing else")


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
