"""From words of a command line, or another client's `mcpServers` file, to a host's description.

Pure. What looks like a secret never becomes part of it: all of it stands in the log.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

_URL = re.compile(r"(https?|hf)://", re.IGNORECASE)
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE
)
_CREDENTIALS = frozenset(
    "authorization proxy-authorization x-api-key api-key x-auth-token x-access-token".split()
)
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")
_TYPES = {"http", "streamable-http", "streamablehttp", "streamable_http"}
_OURS = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")


class BadEntry(Exception):
    """What can't become a host; the message says why and what to do."""


class Imported(msgspec.Struct, frozen=True, omit_defaults=True):
    """One server of a file."""

    name: str
    host: str = ""
    """The id it gets."""
    entry: dict[str, Any] = {}
    """Empty: it can't be imported."""
    problem: str = ""
    needs: tuple[str, ...] = ()
    """Secrets whose values were left out: variables of the executor's environment."""
    bearer: str = ""
    """Name of the secret to be put in place for this host; its value was left out."""


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
) -> dict[str, Any]:
    """The description of a host behind a URL, or of a program. Raises BadEntry."""
    if not target:
        raise BadEntry("expected a URL, or `--` and a command")
    if is_url(target):
        if any(env) or any(env_from) or cwd:
            raise BadEntry("--env, --env-from and --cwd are for programs, not for a URL")
        endpoint: dict[str, Any] = {"kind": "execute" if execute else "http", "url": target[0]}
        endpoint |= _present(
            headers=dict(_pairs(headers, ":", "--header")), bearer_from=bearer_from
        )
    else:
        if execute or any(headers) or bearer_from:
            raise BadEntry("--execute, --header and --bearer-from are for a URL, not for a program")
        endpoint = {"kind": "stdio", "command": target[0], "args": list(target[1:])}
        endpoint |= _present(env=dict(_pairs(env, "=", "--env")), env_from=list(env_from), cwd=cwd)
    types: dict[str, Any] = {name: {} for name in task_types}
    if types and not execute:
        raise BadEntry("--task-type is for --execute; a host with tools needs steps: see --file")
    if execute and not types:
        raise BadEntry("--execute needs at least one --task-type: such a host does nothing else")
    return {"endpoint": endpoint} | _present(name=title, task_types=types)


def imported(raw: Any) -> list[Imported]:
    """The servers of a file with `mcpServers` (Claude, Cursor, …) or `servers` (VS Code).

    Raises BadEntry for what is no such file.
    """
    servers = None
    if isinstance(raw, dict):
        servers = raw.get("mcpServers", raw.get("servers"))
    if not isinstance(servers, dict):
        raise BadEntry('expected a JSON object with "mcpServers" (or VS Code\'s "servers")')
    return [_imported(str(name), server) for name, server in servers.items()]


def _imported(name: str, server: Any) -> Imported:
    host = _OTHER.sub("-", name).strip("-")[:64]
    if not host:
        return Imported(name, problem="its name has no letters: rename it")
    if not isinstance(server, dict):
        return Imported(name, host, problem="expected an object")
    try:
        found = _remote(name, host, server) if "url" in server else _local(name, host, server)
    except BadEntry as bad:
        return Imported(name, host, problem=str(bad))
    if server.get("disabled") is True:
        found = msgspec.structs.replace(found, entry={**found.entry, "enabled": False})
    return found


def _remote(name: str, host: str, server: Mapping[str, Any]) -> Imported:
    kind = str(server.get("type", "http")).lower()
    if kind not in _TYPES:
        raise BadEntry(f"its transport {kind!r} is not spoken: streamable HTTP is")
    headers = server.get("headers", {})
    if not isinstance(headers, dict):
        raise BadEntry("headers: expected an object")
    plain = {str(k): str(v) for k, v in headers.items() if str(k).lower() not in _CREDENTIALS}
    endpoint: dict[str, Any] = {"kind": "http", "url": str(server["url"])}
    endpoint |= _present(headers=plain)
    bearer = ""
    if len(plain) < len(headers):
        bearer = _OTHER.sub("_", host).replace("-", "_").upper() + "_TOKEN"
        endpoint["bearer_from"] = bearer
    return Imported(name, host, {"name": name, "endpoint": endpoint}, bearer=bearer)


def _local(name: str, host: str, server: Mapping[str, Any]) -> Imported:
    command, args, env = server.get("command"), server.get("args", []), server.get("env", {})
    if not isinstance(command, str) or not command:
        raise BadEntry("it has neither a `command` nor a `url`")
    if not isinstance(args, list) or not isinstance(env, dict):
        raise BadEntry("args: expected a list; env: expected an object")
    secret = [str(key) for key, value in env.items() if _secret(str(key), str(value))]
    plain = {str(key): str(value) for key, value in env.items() if str(key) not in secret}
    endpoint: dict[str, Any] = {"kind": "stdio", "command": command}
    endpoint |= _present(
        args=[str(arg) for arg in args], env=plain, env_from=secret, cwd=server.get("cwd")
    )
    return Imported(name, host, {"name": name, "endpoint": endpoint}, needs=tuple(secret))


def _secret(key: str, value: str) -> bool:
    return _SECRET.search(key) is not None or _OURS.search(value) is not None


def shown(entry: Mapping[str, Any]) -> str:
    """An endpoint in one line."""
    endpoint = entry.get("endpoint", {})
    if "url" in endpoint:
        return str(endpoint["url"])
    return shlex.join([str(endpoint.get("command", "")), *map(str, endpoint.get("args", ()))])


def _pairs(texts: Iterable[str], separator: str, option: str) -> Iterable[tuple[str, str]]:
    for text in texts:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise BadEntry(f"{option} {text[:40]!r}: expected NAME{separator}VALUE")
        yield name.strip(), value.strip()


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
