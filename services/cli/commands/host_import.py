"""The command `hosts import`: the servers of another client's file become hosts.

What may be a secret goes into the folder of secrets, never into a host's description.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from contracts.errors import Rejected
from services.cli import host_entry as entries
from services.cli.client import Api, find_target
from services.cli.commands.host_changes import Many
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.secret_words import asked_value
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain
from services.foreign import reading, servers, shapes
from services.foreign.entry import BadEntry
from services.foreign.servers import Import, Imported
from services.foreign.variables import Surroundings
from services.process.files import create_private, is_private
from services.registry.changes import Acting
from services.registry.commands import described
from services.up.announced import read_announced

MOST_FILE = 4 * 1024 * 1024
"""Bytes of a file to import."""
_OF_PROJECTS = frozenset(
    ".vscode .cursor .roo .zed .gemini .qwen .kiro .junie .idea .continue .amazonq .claude"
    " .windsurf .codex .github .kilocode".split()
)
_GOOD = ("registered", "would be registered", "it is there", "it was there")


def import_(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    secrets: Path | None = None,
    workspace: Path | None = None,
    as_: Annotated[Many, Parameter(name="--as")] = (),
    dry_run: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Register the servers of a file in which another MCP client names them.

    What may be a secret goes into the folder of secrets, and the host refers to it. Values that
    the file does not have are asked for, or taken from --secrets.

    Parameters
    ----------
    file
        JSON (with comments), TOML or YAML: of Claude, Cursor, VS Code, Zed, Gemini, Codex, …
    secrets
        File with lines NAME=VALUE: values of secrets and variables, by the names that --dry-run
        shows.
    workspace
        What `${workspaceFolder}` stands for; else the folder above the editor's own (`.vscode`).
    as_
        NAME=ID: the id of the host that a server becomes; give it several times for several.
    dry_run
        Only show what would be registered; nothing is stored.
    """
    given = _given(secrets)
    try:
        raw = reading.parsed(_bytes(file), file.suffix)
        found = servers.imported(
            raw,
            lambda one: _around(file, workspace, one, given),
            given,
            dict(_renamed(as_)),
            file.resolve().stem,
        )
    except reading.UnreadableFile as error:
        raise CliError(Exit.USAGE, f"{file} can't be understood: {error}.") from None
    except BadEntry as bad:
        raise CliError(Exit.USAGE, f"{file}: {bad}.") from None
    return run(_dry(options, found) if dry_run else _import(options, found))


class _Place:
    """Where values of secrets are put: the data folder, if its gateway is the one that is asked."""

    def __init__(self, options: Options, url: str, me: Mapping[str, Any]) -> None:
        self._folder: Path | None = None
        operator = "admin" in me.get("roles", ())
        self.shown = "secrets" if operator else f"secrets/{me['user']}"
        try:
            here = read_announced(options.folder).url.rstrip("/") == url
        except (OSError, msgspec.DecodeError):
            here = False
        if here and os.access(options.folder, os.W_OK):
            self._folder = options.folder / self.shown

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        return self._folder is not None

    def has(self, name: str) -> bool:
        """Whether there is such a secret already, here or in this environment."""
        return self._folder is not None and (self._folder / name).exists()

    def put(self, name: str, value: str) -> tuple[bool, str]:
        """Whether it was put there now, and what is in the way. What is there stays."""
        assert self._folder is not None
        path = self._folder / name
        try:
            if not path.exists():
                for folder in (self._folder.parent, self._folder):
                    folder.mkdir(exist_ok=True, mode=0o700)
                create_private(path, value.encode() + b"\n")
                return True, ""
            if is_private(path) and path.read_text(encoding="utf-8").strip() == value.strip():
                return False, ""
        except (OSError, UnicodeDecodeError) as error:
            return False, f"the secret {name} can't be written: {error}"
        return False, f"the secret {name} is there with another value: remove {path}, or keep it"

    def take_back(self, names: Iterable[str]) -> None:
        """Remove what was put there for a host that there is not."""
        assert self._folder is not None
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


async def _dry(options: Options, found: Import) -> int:
    """What the gateway says of each; without a gateway what it would say to an operator."""
    done = []
    try:
        async with Api(find_target(options)) as api:
            for one in found.servers:
                done.append(_outcome(one, found, await _checked(api, one)))
    except CliError as error:
        if error.code not in (Exit.UNREACHABLE, Exit.REFUSED) or done:
            raise
        options.out.note(f"checked without the gateway: {error.message}")
        done = [_outcome(one, found, _checked_here(one)) for one in found.servers]
    return _show(options, found, done)


async def _checked(api: Api, one: Imported) -> str:
    if one.problem:
        return one.problem
    try:
        answer = await api.post(f"/api/mcps/{one.host}/check", one.entry)
    except CliError as error:
        if error.code is Exit.UNREACHABLE:
            raise
        return error.message
    return "would be registered" if answer["new"] else "it is there"


def _checked_here(one: Imported) -> str:
    if one.problem:
        return one.problem
    data = msgspec.json.encode(one.entry)
    try:
        described(one.host, data, Acting("local", True), allow_private=True, allow_noop=False)
    except Rejected as refused:
        return refused.message
    return "would be registered"


async def _import(options: Options, found: Import) -> int:
    target = find_target(options)
    async with Api(target) as api:
        me = await api.get("/api/me")
        place = _Place(options, target.url, me)
        values = found.values | _asked(found, place)
        found = msgspec.structs.replace(found, values=values)
        done = [
            _outcome(one, found, await _registered(api, one, values, place), place)
            for one in found.servers
        ]
    return _show(options, found, done)


def _asked(found: Import, place: _Place) -> dict[str, str]:
    """Values that only whoever sits there knows; without a terminal nobody is asked."""
    if not place.here:
        return {}
    missing = dict.fromkeys(name for one in found.servers for name in one.needs)
    asked = {
        name: asked_value(name)
        for name in missing
        if name not in found.values and name not in os.environ and not place.has(name)
    }
    return {name: value for name, value in asked.items() if value}


async def _registered(api: Api, one: Imported, values: Mapping[str, str], place: _Place) -> str:
    """Put the secrets in their place, then register the host: its first probe needs them."""
    if one.problem:
        return one.problem
    checked = await _checked(api, one)
    if checked not in _GOOD:
        return checked
    put: list[str] = []
    for name in one.needs if place.here else ():
        if name in values:
            new, problem = place.put(name, values[name])
            if problem:
                place.take_back(put)
                return problem
            put += [name] if new else []
    try:
        await api.post(f"/api/mcps/{one.host}", one.entry)
    except CliError as error:
        if put:
            place.take_back(put)
        if error.code is Exit.UNREACHABLE:
            raise
        return error.message
    return "registered" if checked == "would be registered" else "it was there"


def _outcome(
    one: Imported, found: Import, outcome: str, place: _Place | None = None
) -> dict[str, Any]:
    to_do = []
    shown = place.shown if place else "secrets"
    for name in one.needs if outcome in _GOOD else ():
        known = name in found.values
        if place is None:
            source = "its value goes" if known else "put its value"
            to_do.append(f"{name}: {source} into {shown}/{name}")
        elif not (place.here and (known or place.has(name))):
            to_do.append(f"put the value of {name} into {shown}/{name} of the data folder")
    return {
        "server": one.name,
        "host": one.host,
        "entry": one.entry,
        "outcome": outcome,
        "to_do": "; ".join(to_do),
        "secrets": list(one.needs),
        "notes": list(one.notes),
    }


def _show(options: Options, found: Import, done: list[dict[str, Any]]) -> int:
    table = FittedTable(
        Column("server"),
        Column("host"),
        Column("endpoint", least=20, drop=1),
        Column("outcome", least=14),
        Column("to do", least=14),
    )
    for one, outcome in zip(found.servers, done, strict=True):
        said = "; ".join([outcome["outcome"], *one.notes])
        table.add(
            plain(one.name),
            plain(one.host),
            plain(entries.shown(one.entry) if one.entry else "", 200),
            plain(said, 400),
            plain(outcome["to_do"], 400),
        )
    options.out.show(done, table)
    return Exit.OK if all(one["outcome"] in _GOOD for one in done) else Exit.FAILED


def _around(
    file: Path, workspace: Path | None, one: shapes.Named, given: Mapping[str, str]
) -> Surroundings:
    folder = file.resolve().parent
    project = workspace
    if project is None and one.folder:
        project = Path(one.folder)
    if project is None and folder.name in _OF_PROJECTS:
        project = folder.parent
    if project is None and file.name == ".mcp.json":
        project = folder
    return Surroundings(
        folder, Path.home(), project.resolve() if project else None, one.inputs, given
    )


def _given(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        return reading.variables(reading.decoded(_bytes(file)))
    except reading.UnreadableFile as error:
        raise CliError(Exit.USAGE, f"{file} can't be understood: {error}.") from None


def _renamed(pairs: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in pairs:
        name, found, host = text.rpartition("=")
        if not found or not name or not host:
            raise CliError(Exit.USAGE, f"--as {text[:80]!r}: expected NAME=ID.")
        yield name, host


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_FILE + 1)
    except OSError as error:
        raise CliError(Exit.USAGE, f"{file} can't be read: {error.strerror}.") from None
    if len(data) > MOST_FILE:
        raise CliError(Exit.USAGE, f"{file} has more than {MOST_FILE} bytes.")
    return data
