"""Commands about profiles of the MCP server: profiles (a list), and show, set, remove below it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids, read_input
from services.cli.projects import find_project
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/profiles"
EXAMPLE = "For example: metamcp profiles set review --host git --without 'git=git_reset'"

ProfileName = Annotated[str, Parameter(name="PROFILE", help="Its name, as in /mcp/PROFILE.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Whose:
    """Where a profile is; without these it is yours alone."""

    project: str | None = None
    """It is of this project, of which you are an owner."""
    everybody: bool = False
    """It is for everybody; for the role admin."""


NO_WHOSE = Whose()


def profiles(*, options: Options = NO_OPTIONS) -> int:
    """List the profiles that agents can be shown at /mcp/PROFILE: which hosts and tools of all."""
    return run(_list(options))


def show(profile: ProfileName, /, *, whose: Whose = NO_WHOSE, options: Options = NO_OPTIONS) -> int:
    """Show one profile, as it can be changed and given to `set --file`."""
    check_ids(profile=profile)
    return run(_show(options, profile, whose))


def set_(
    profile: ProfileName,
    /,
    *,
    host: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    approve: tuple[str, ...] = (),
    search: bool = False,
    description: str = "",
    file: Path | None = None,
    whose: Whose = NO_WHOSE,
    options: Options = NO_OPTIONS,
) -> int:
    """Set a profile, in the place of what there was under its name.

    Parameters
    ----------
    host
        Id of a host, with `*`; can be repeated. None: all.
    only
        HOST=TOOL: of these hosts only these tools, both with `*`; can be repeated.
    without
        HOST=TOOL: of these hosts all tools but these; can be repeated.
    approve
        Name of a tool, with `*`, that a person has to allow at each call, or `destructive`: all
        that may destroy; can be repeated.
    search
        Agents are not shown hundreds of tools, but those that find, describe and call them.
    description
        What it is for.
    file
        A JSON file with all of it, also other names and descriptions of tools (`changes`).
    """
    check_ids(profile=profile)
    said = {
        "hosts": list(host),
        "only": _by_host(only, "--only"),
        "without": _by_host(without, "--without"),
        "approve": list(approve),
        "tools": "search" if search else None,
        "description": description,
    }
    body = {name: value for name, value in said.items() if value}
    if (file is not None) == bool(body):
        problem = "both a file and options" if body else "nothing that the profile is to have"
        raise CliError(Exit.USAGE, f"There is {problem}.", EXAMPLE)
    return run(_set(options, profile, body if file is None else read_input(str(file)), whose))


def remove(
    profile: ProfileName, /, *, whose: Whose = NO_WHOSE, options: Options = NO_OPTIONS
) -> int:
    """Take a profile away."""
    check_ids(profile=profile)
    return run(_remove(options, profile, whose))


async def _list(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found: list[Any] = await api.get(PATH)
    options.out.show(found, _table(found))
    return Exit.OK


async def _show(options: Options, profile: str, whose: Whose) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(await _path(api, profile, whose))
    options.out.show(found, Text(_as_file(found)), soft_wrap=True)
    return Exit.OK


async def _set(options: Options, profile: str, body: Any, whose: Whose) -> int:
    async with Api(find_target(options)) as api:
        found = await api.put(await _path(api, profile, whose), body)
    options.out.show(found, Text(f"agents are shown it at /mcp/{plain(found['name'])}"))
    return Exit.OK


async def _remove(options: Options, profile: str, whose: Whose) -> int:
    async with Api(find_target(options)) as api:
        found = await api.delete(await _path(api, profile, whose))
    options.out.show(found, Text(f"{plain(found['name'])} is taken away"))
    return Exit.OK


async def _path(api: Api, profile: str, whose: Whose) -> str:
    where: dict[str, str] = {"everybody": "true"} if whose.everybody else {}
    if whose.project is not None:
        where["project"] = await find_project(api, whose.project)
    return f"{PATH}/{profile}" + (f"?{urlencode(where)}" if where else "")


def _by_host(pairs: Iterable[str], option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in pairs:
        host, _, tool = pair.partition("=")
        if not host or not tool:
            raise CliError(Exit.USAGE, f"{plain(pair)} is no HOST=TOOL for {option}.", EXAMPLE)
        found.setdefault(host, []).append(tool)
    return found


def _as_file(found: dict[str, Any]) -> str:
    names = ("hosts", "only", "without", "changes", "approve", "tools", "description")
    body = {name: found[name] for name in names if found[name]}
    # In ASCII, so that a terminal takes no text of others for a command.
    return json.dumps(body, indent=2)


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("no profiles: see metamcp profiles set -h", style="dim")
    table = FittedTable(
        Column("profile"), Column("whose"), Column("hosts", least=8), Column("what for", drop=1)
    )
    for one in found:
        whose = f"project {one['project']}" if one["project"] else one["user"] or "everybody"
        hosts = ", ".join(one["hosts"]) or "all"
        table.add(*map(plain, (one["name"], whose, hosts, one["description"])))
    return table
