"""From words of a command line to a host's description.

Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.foreign.entry import BadEntry

_URL = re.compile(r"(https?|hf)://", re.IGNORECASE)


def is_url(target: Sequence[str]) -> bool:
    """Whether these words are a URL and no command."""
    return len(target) == 1 and _URL.match(target[0]) is not None


def described(
    target: Sequence[str],
    *,
    execute: bool = False,
    headers: Iterable[str] = (),
    bearer_from: str | None = None,
    env: Iterable[str] = (),
    env_from: Iterable[str] = (),
    cwd: str | None = None,
    task_types: Iterable[str] = (),
    title: str | None = None,
    openapi: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The description of a host behind a URL, or of a program. Raises BadEntry.

    `openapi`: more of the endpoint of an API, see `services.cli.openapi_entry`.
    """
    if openapi is not None and not target:
        if not openapi["url"]:
            raise BadEntry("the document names no server with a host: give the base URL as TARGET")
        target = [openapi["url"]]
    if not target:
        raise BadEntry("expected a URL, or `--` and a command")
    if is_url(target):
        if any(env) or any(env_from) or cwd:
            raise BadEntry("--env, --env-from and --cwd are for programs, not for a URL")
        if execute and openapi is not None:
            raise BadEntry("--execute and --openapi are two kinds of hosts")
        endpoint: dict[str, Any] = {"kind": "execute" if execute else "http"}
        endpoint |= {**(openapi or {}), "url": target[0]}
        endpoint |= _present(headers=dict(pairs(headers, ":", "--header")), bearer_from=bearer_from)
    else:
        if execute or openapi is not None or any(headers) or bearer_from:
            raise BadEntry(
                "--execute, --openapi, --header and --bearer-from are for a URL, not for a program"
            )
        endpoint = {"kind": "stdio", "command": target[0], "args": list(target[1:])}
        endpoint |= _present(env=dict(pairs(env, "=", "--env")), env_from=list(env_from), cwd=cwd)
    types: dict[str, Any] = {name: {} for name in task_types}
    if types and not execute:
        raise BadEntry("--task-type is for --execute; a host with tools needs steps: see --file")
    if execute and not types:
        raise BadEntry("--execute needs at least one --task-type: such a host does nothing else")
    return {"endpoint": endpoint} | _present(name=title, task_types=types)


def shown(entry: Mapping[str, Any]) -> str:
    """An endpoint in one line."""
    endpoint = entry.get("endpoint", {})
    if "url" in endpoint:
        return str(endpoint["url"])
    return shlex.join([str(endpoint.get("command", "")), *map(str, endpoint.get("args", ()))])


def pairs(texts: Iterable[str], separator: str, option: str) -> Iterable[tuple[str, str]]:
    """What options such as NAME=VALUE say. Raises BadEntry."""
    for text in texts:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise BadEntry(f"{option} {text[:40]!r}: expected NAME{separator}VALUE")
        yield name.strip(), value.strip()


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
