"""Manifest files: TOML in, hosts out.

Everything a file can get wrong is found here, and every error names the file and the path in it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import Rejected
from contracts.host import Host
from contracts.ids import check_token
from services.outside.openapi import reading
from services.outside.openapi.reading import BadDocument
from services.outside.openapi.trimming import trimmed
from services.registry.manifests import checks, entries
from services.registry.manifests.entries import Problem

BUILTIN = Path(__file__).parents[1] / "builtin" / "builtin.toml"
NO_ROOT = "/path/to/a/repository"
"""Stands for `{root}` while the operator has named no root."""
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


class ManifestError(Exception):
    """A manifest that can't be used: file, path in it, what is wrong and what is expected."""


class Places(msgspec.Struct, frozen=True):
    """What stands for the placeholders of a manifest."""

    data: Path
    roots: tuple[Path, ...] = ()
    allow_noop: bool = False


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
    if unknown := sorted(content.keys() - {"hosts", "profiles"}):
        raise ManifestError(
            f"{path}: {unknown[0]}: not known here. Hosts stand under [hosts.ID], profiles under"
            " [profiles.NAME]."
        )
    # Profiles are the gateway's to read.
    hosts = content.get("hosts", {} if "profiles" in content else None)
    if not isinstance(hosts, dict):
        raise ManifestError(f"{path}: hosts: expected a table [hosts.ID] for each host")
    return tuple(_host(path, name, raw, places) for name, raw in hosts.items())


def _host(path: Path, name: str, raw: Any, places: Places) -> Host:
    try:
        check_token(name, "the host id")
        folder = path.resolve().parent
        entry = entries.entry_of(_with_document(_filled(raw, folder, places), folder))
        checks.check(entry, allow_noop=places.allow_noop)
    except Rejected as refusal:
        raise ManifestError(f"{path}: hosts.{name}: {refusal.message}") from None
    except Problem as problem:
        where = f"hosts.{name}.{problem.path}".rstrip(".")
        raise ManifestError(f"{path}: {where}: {problem.message}") from None
    return entries.host_of(entry, name)


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
    if isinstance(endpoint := filled.get("endpoint"), dict):
        if isinstance(args := endpoint.get("args"), list):
            endpoint = {**endpoint, "args": list(_spread(args, places))}
        filled["endpoint"] = _replaced(endpoint, values, "endpoint")
    if isinstance(filled.get("roots"), list):
        filled["roots"] = _replaced(list(_spread(filled["roots"], places)), values, "roots")
    if isinstance(types := filled.get("task_types"), dict):
        filled["task_types"] = {
            name: {**binding, "example": _rooted(binding["example"], values)}
            if isinstance(binding, dict) and "example" in binding
            else binding
            for name, binding in types.items()
        }
    return filled


def _with_document(raw: Any, folder: Path) -> Any:
    """With the OpenAPI document that an endpoint names by a path from here. Raises Problem."""
    endpoint = raw.get("endpoint") if isinstance(raw, dict) else None
    if not isinstance(endpoint, dict) or "document_file" not in endpoint:
        return raw
    where, rest = "endpoint.document_file", dict(endpoint)
    name = rest.pop("document_file")
    if rest.get("kind") != "openapi" or "document" in rest or not isinstance(name, str):
        raise Problem(where, "expected a path, in place of `document` of the kind openapi")
    try:
        document = trimmed(
            reading.read((folder / name).read_bytes()), _texts(rest.get("operations"))
        )
    except OSError as error:
        raise Problem(where, f"it can't be read: {error.strerror}") from None
    except BadDocument as why:
        raise Problem(where, str(why)) from None
    return {**raw, "endpoint": {**rest, "document": document}}


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _spread(entries: list[Any], places: Places) -> Iterator[Any]:
    """An entry that is `{roots}` stands for all of them: none, one or several."""
    for entry in entries:
        if entry == "{roots}":
            yield from (str(place.absolute()) for place in places.roots)
        else:
            yield entry


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
