"""From one server as another client describes it to a host's description.

Pure, but for `envFile`, which names a file.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts import references
from services.foreign import reading, shapes
from services.foreign.entry import BadEntry
from services.foreign.secrecy import SecretKeeper
from services.foreign.shapes import Named
from services.foreign.variables import Resolver, Surroundings, secret_name

_OTHER = re.compile(r"[^A-Za-z0-9_-]+")
_HTTP = frozenset("http https remote streamablehttp url".split())
_LOCAL = frozenset("stdio local command".split())
_SSE = (
    "speaks HTTP with SSE, of 2024: ask the server's maker for a URL of streamable HTTP, or import"
    " it as a program, `npx mcp-remote URL`"
)
_ORIGIN = re.compile(r"[a-z]+://[^/?#]*", re.IGNORECASE)
_BEARER = re.compile(r"bearer\s+\{secret:(\w+)\}", re.IGNORECASE)
_NO_NEWS = frozenset(
    "alwaysAllow autoApprove description dev icon id name title version source gallery trust type"
    " transportType tags metadata category author homepage comment note bundled display_name"
    " connectionTimeout sandboxEnabled".split()
)
_HERE = frozenset(
    "command cmd args arguments env environment envs env_vars env_keys envFile cwd workingDirectory"
    " working_directory url serverUrl server_url httpUrl http_url uri baseUrl base_url headers"
    " http_headers env_http_headers bearer_token_env_var authorization_token disabled enabled"
    " isActive transport entry_point mcp_config path settings platform_overrides".split()
)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WINDOWS = frozenset({"cmd", "cmd.exe"})


class Imported(msgspec.Struct, frozen=True, omit_defaults=True):
    """One server of a file."""

    name: str
    host: str = ""
    """The id it gets."""
    entry: dict[str, Any] = {}
    """Empty: it can't be imported."""
    problem: str = ""
    needs: tuple[str, ...] = ()
    """Names of the secrets that it refers to."""
    notes: tuple[str, ...] = ()
    """What was decided, and what was left out."""


class Import(msgspec.Struct, frozen=True):
    """What a file comes to."""

    servers: tuple[Imported, ...]
    values: dict[str, str]
    """Of secrets, as far as they are known. Never to be shown."""

    def __repr__(self) -> str:
        return f"Import({len(self.servers)} servers)"


def imported(
    raw: Any,
    around: Callable[[Named], Surroundings],
    given: Mapping[str, str],
    renamed: Mapping[str, str],
    stem: str = "server",
) -> Import:
    """The servers of a file. Raises BadEntry for what is no such file.

    `given`: values of secrets; `renamed`: ids by the servers' names.
    """
    found = shapes.servers(raw, stem)
    if not found:
        raise BadEntry(
            'it names no servers: expected "mcpServers", "servers" or what other clients write'
        )
    values: dict[str, str] = {}
    known: dict[str, Imported] = {}
    servers = []
    for named in found:
        one = _imported(named, around(named), values, renamed)
        before = known.get(one.host)
        if before is not None and one.entry:
            if before.entry.get("endpoint") == one.entry["endpoint"]:
                continue
            text = f"its id would be {one.host}, as that of {before.name!r}"
            one = Imported(one.name, one.host, problem=f"{text}: choose one, --as '{one.name}=ID'")
        elif one.entry:
            known[one.host] = one
        servers.append(one)
    needed = {name for one in servers for name in one.needs}
    values = {name: value for name, value in {**values, **given}.items() if name in needed}
    return Import(tuple(servers), values)


def _imported(
    named: Named, around: Surroundings, values: dict[str, str], renamed: Mapping[str, str]
) -> Imported:
    name, server = named.name, named.server
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    host = renamed.get(name) or _OTHER.sub("-", plain).strip("-")[:64]
    if not host:
        return Imported(name, problem=f"its name has no letters A-Z: choose one, --as '{name}=ID'")
    if not isinstance(server, dict):
        return Imported(name, host, problem="expected an object")
    taken = dict(values)
    try:
        found = _Server(name, host, shapes.flat(server), around, taken).described()
    except BadEntry as bad:
        return Imported(name, host, problem=str(bad))
    values.update(taken)
    return found


class _Server:
    def __init__(
        self,
        name: str,
        host: str,
        server: Mapping[str, Any],
        around: Surroundings,
        values: dict[str, str],
    ) -> None:
        self._name, self._host, self._server, self._around = name, host, server, around
        self._values = values
        self._variables = Resolver(around)
        self._keeper = SecretKeeper(host, values)

    def described(self) -> Imported:
        """The host. Raises BadEntry."""
        server = self._server
        kind = str(server.get("type") or server.get("transport") or "").lower()
        kind = re.sub("[^a-z]", "", str(server.get("transportType") or kind).lower())
        url, command = shapes.url_of(server), shapes.command_of(server)
        if kind in ("sse", "websocket", "ws"):
            raise BadEntry(f"its transport {kind!r} is not spoken: it {_SSE}")
        if kind and kind not in _HTTP | _LOCAL and not (url or command):
            raise BadEntry(f"{kind!r} is a kind of the other client's own, and no MCP server")
        if kind and kind not in _HTTP | _LOCAL:
            raise BadEntry(f"its transport {kind!r} is not spoken: stdio and streamable HTTP are")
        remote = url is not None and not (kind in _LOCAL and command)
        endpoint = self._remote(url, kind) if remote else self._local(command)
        endpoint = _each(endpoint, self._keeper.everywhere)
        entry: dict[str, Any] = {"name": self._name, "endpoint": endpoint}
        if not self._enabled():
            entry["enabled"] = False
        return Imported(
            self._name, self._host, entry, needs=_needs(endpoint), notes=tuple(self._notes())
        )

    def _enabled(self) -> bool:
        server = self._server
        off = _switched(server.get("disabled"))
        on = [_switched(server[key]) for key in ("enabled", "isActive") if key in server]
        return not off and all(one is not False for one in on)

    def _notes(self) -> list[str]:
        left = sorted(str(key) for key in self._server.keys() - _HERE - _NO_NEWS)
        return self._variables.notes + ([f"left out: {', '.join(left)[:200]}"] if left else [])

    def _remote(self, url: Any, kind: str) -> dict[str, Any]:
        if not isinstance(url, str):
            raise BadEntry("url: expected a text")
        text = self._variables.text("url", url.strip())
        origin = _ORIGIN.match(text)
        if references.named(origin[0] if origin else text[:1] + text):
            text = self._variables.text("url", url.strip(), plain=True)
        if not kind and text.partition("?")[0].rstrip("/").endswith("/sse"):
            raise BadEntry(f'it {_SSE}. If it speaks streamable HTTP there, write "type": "http"')
        text, login = self._keeper.url(text)
        headers = self._headers()
        if login:
            headers.setdefault("Authorization", login)
        endpoint: dict[str, Any] = {"kind": "http", "url": text}
        for name, value in list(headers.items()):
            if name.lower() == "authorization" and (sent := _BEARER.fullmatch(value.strip())):
                endpoint["bearer_from"] = sent[1]
                del headers[name]
        return endpoint | _present(headers=headers)

    def _headers(self) -> dict[str, str]:
        server = self._server
        found: dict[str, str] = {}
        for key in ("headers", "http_headers"):
            for name, value in _texts(key, server.get(key)).items():
                found[name] = self._keeper.header(
                    name, self._variables.text(f"{key}.{name}", value)
                )
        for name, value in _texts("env_http_headers", server.get("env_http_headers")).items():
            found[name] = references.reference(secret_name_of(value))
        if sent := server.get("bearer_token_env_var"):
            found["Authorization"] = f"Bearer {references.reference(secret_name_of(str(sent)))}"
        if sent := server.get("authorization_token"):
            text = self._variables.text("authorization_token", str(sent))
            found["Authorization"] = self._keeper.header("Authorization", f"Bearer {text}")
        return found

    def _local(self, command: Any) -> dict[str, Any]:
        server = self._server
        assigned: dict[str, str] = {}
        given = _words(server.get("args", server.get("arguments")))
        words = [str(one) for one in command] if isinstance(command, list) else [command]
        if not command or not isinstance(words[0], str) or not words[0]:
            raise BadEntry("it has neither a `command` nor a `url`")
        if not given and len(words) == 1 and " " in words[0] and not self._there(words[0]):
            words = _split(words[0])
        while len(words) > 1 and (said := _ASSIGNED.fullmatch(words[0])):
            assigned[said[1]] = said[2]
            words = words[1:]
        words += given
        if words[0].lower() in _WINDOWS and len(words) > 2 and words[1].lower() == "/c":
            words = words[2:]
        program = self._variables.text("command", words[0], plain=True)
        program = re.sub(r"(?<=\w)\.(?:cmd|exe)$", "", program)
        env = self._env(assigned)
        args = [self._variables.text(f"args[{at}]", one) for at, one in enumerate(words[1:])]
        args = self._keeper.arguments(program, args, env)
        cwd = server.get("cwd") or server.get("workingDirectory") or server.get("working_directory")
        if cwd is not None:
            cwd = self._variables.text("cwd", str(cwd), plain=True)
        endpoint: dict[str, Any] = {"kind": "stdio", "command": program}
        passed = [
            str(one.get("name") if isinstance(one, dict) else one)
            for one in _list(server, "env_vars")
        ]
        passed += _passed_on(program, args, env)
        return endpoint | _present(args=args, env=env, env_from=passed, cwd=cwd)

    def _env(self, found: dict[str, str]) -> dict[str, str]:
        server = self._server
        if file := server.get("envFile"):
            found |= self._of_file(self._variables.text("envFile", str(file), plain=True))
        for key in ("env", "environment", "envs"):
            found |= _texts(key, server.get(key))
        env = {}
        for name, value in found.items():
            env[name] = self._keeper.variable(name, self._variables.text(f"env.{name}", value))
        return env | {
            str(name): references.reference(secret_name_of(str(name)))
            for name in _list(server, "env_keys")
        }

    def _there(self, path: str) -> bool:
        return self._around.folder is not None and Path(path).exists()

    def _of_file(self, path: str) -> dict[str, str]:
        if self._around.folder is None:
            text = "is read where it lies: by `metamcp hosts import`, or write its lines into `env`"
            raise BadEntry(f"envFile {path} {text}")
        try:
            return reading.variables(reading.decoded((self._around.folder / path).read_bytes()))
        except OSError as error:
            raise BadEntry(f"envFile {path} can't be read: {error.strerror}") from None
        except reading.UnreadableFile as error:
            raise BadEntry(f"envFile {path} can't be understood: {error}") from None


def secret_name_of(variable: str) -> str:
    """The name of the secret that a variable's name stands for."""
    return variable if references.is_name(variable) else secret_name(variable)


def _needs(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    texts: list[str] = []
    _each(endpoint, lambda text: texts.append(text) or text)  # type: ignore[func-returns-value]
    found = [name for text in texts for name in references.named(text)]
    if sent := endpoint.get("bearer_from"):
        found.append(sent)
    return tuple(dict.fromkeys(found))


def _each(endpoint: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The endpoint with each text changed that may hold references."""
    found = dict(endpoint)
    for key in ("args", "env", "headers", "url"):
        value = found.get(key)
        if isinstance(value, list):
            found[key] = [change(one) for one in value]
        elif isinstance(value, dict):
            found[key] = {name: change(one) for name, one in value.items()}
        elif isinstance(value, str):
            found[key] = change(value)
    return found


def _passed_on(program: str, args: list[str], env: Mapping[str, str]) -> list[str]:
    """Variables that a container is given from ours, and the file does not set."""
    if program.rpartition("/")[2] not in ("docker", "podman", "nerdctl"):
        return []
    named = [args[at + 1] for at, arg in enumerate(args[:-1]) if arg in ("-e", "--env")]
    return [one for one in named if references.is_name(one) and one not in env]


def _texts(where: str, value: Any) -> dict[str, str]:
    """Names and values, whatever the file's writer took for a text. Raises BadEntry."""
    if isinstance(value, list):
        mark = ":" if where == "headers" else "="
        pairs = [str(one).partition(mark) for one in value]
        value = {name.strip(): text.strip() for name, _, text in pairs}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadEntry(f"{where}: expected an object")
    found = {str(name): _text(f"{where}.{name}", one) for name, one in value.items()}
    return {name: text for name, text in found.items() if text is not None}


def _text(where: str, value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            raise BadEntry(f"{where}: expected a text")


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        raise BadEntry("args: expected a list")
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadEntry("args: expected a list")
    found = [_text(f"args[{at}]", one) for at, one in enumerate(value)]
    return [one for one in found if one is not None]


def _list(server: Mapping[str, Any], key: str) -> list[Any]:
    value = server.get(key)
    return value if isinstance(value, list) else []


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadEntry(f"command: {error}") from None


def _switched(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
