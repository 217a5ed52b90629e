"""Commands below `hosts`: add, update, enable, disable, remove, probe, discover."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from services.cli import host_entry as entries
from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.openapi_entry import endpoint
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain, status
from services.foreign.entry import BadEntry

EXAMPLE = "metamcp hosts add NAME https://example.com/mcp, or metamcp hosts add NAME -- COMMAND"
_MOST_FILE = 1024 * 1024

Name = Annotated[str, Parameter(name="NAME")]
Target = Annotated[str, Parameter(name="TARGET", allow_leading_hyphen=True)]
Many = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class Description:
    """What a host is, in options."""

    execute: bool = False
    """The URL answers POST /execute instead of MCP."""
    header: Many = ()
    """With a URL: NAME:VALUE, sent with each request. It stands in the log: no secrets."""
    bearer_from: str | None = None
    """With a URL: name of the secret that is sent as bearer token."""
    env: Many = ()
    """With a command: NAME=VALUE. It stands in the log: no secrets."""
    env_from: Many = ()
    """With a command: a variable that the executor passes on from its own environment."""
    cwd: str | None = None
    """With a command: the folder it runs in."""
    openapi: str | None = None
    """The URL, or a file, of an OpenAPI 3 document: its operations become tools. TARGET is the
    API's base URL then; without it, the document's first server."""
    operation: Many = ()
    """With --openapi: the name of an operation to take, * for any characters; none: all."""
    secret: Many = ()
    """With --openapi: SCHEME=NAME, the name of the secret for a security scheme of the document."""
    task_type: Many = ()
    """With --execute: a task type it serves; give it several times for several."""
    title: str | None = None
    """A name for people."""
    file: Path | None = None
    """Take the description from a JSON or TOML file instead: one host as in a manifest."""

    def entry(self, target: tuple[str, ...]) -> dict[str, Any]:
        """The host's description. Raises CliError."""
        if self.file is not None:
            if target or replace(self, file=None) != NO_DESCRIPTION:
                raise CliError(Exit.USAGE, "--file is all: leave the rest out.", EXAMPLE)
            raw = _read(self.file)
            if not isinstance(raw, dict):
                raise CliError(Exit.USAGE, f"{self.file}: expected one host's description.")
            return raw
        try:
            return entries.described(
                target,
                openapi=endpoint(self.openapi, self.operation, self.secret),
                execute=self.execute,
                headers=self.header,
                bearer_from=self.bearer_from,
                env=self.env,
                env_from=self.env_from,
                cwd=self.cwd,
                task_types=self.task_type,
                title=self.title,
            )
        except BadEntry as bad:
            text = str(bad)
            raise CliError(Exit.USAGE, f"{text[0].upper()}{text[1:]}.", EXAMPLE) from None


NO_DESCRIPTION = Description()


def add(
    name: Name,
    /,
    *target: Target,
    description: Description = NO_DESCRIPTION,
    options: Options = NO_OPTIONS,
) -> int:
    """Register a host: an MCP server or API behind a URL, or, for the operator, a program.

    Parameters
    ----------
    name
        The host's id: your own hosts are USER/NAME, whether you say USER or not.
    target
        Its URL (https://…, or hf://owner/space), or `--` and the command that starts it.
    """
    entry = description.entry(target)
    return _change(options, name, lambda api: api.post(f"/api/mcps/{name}", entry), "registered")


def update(
    name: Name,
    /,
    *target: Target,
    description: Description = NO_DESCRIPTION,
    options: Options = NO_OPTIONS,
) -> int:
    """Replace the description of a host that is there.

    Parameters
    ----------
    name
        The host's id.
    target
        As for `hosts add`.
    """
    entry = description.entry(target)
    return _change(options, name, lambda api: api.put(f"/api/mcps/{name}", entry), "updated")


def enable(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Give a host work and probes, whatever its manifest says."""
    return _change(options, name, lambda api: api.post(f"/api/mcps/{name}/enable"), "enabled")


def disable(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Give a host no more work and no probes, until it is enabled."""
    return _change(options, name, lambda api: api.post(f"/api/mcps/{name}/disable"), "disabled")


def remove(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Take a host away; work that runs there goes to another host or ends."""
    return _change(options, name, lambda api: api.delete(f"/api/mcps/{name}"), "removed")


def probe(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Probe a host now and show how it is."""
    check_ids(host=name)
    return run(_probe(options, name))


def discover(*, options: Options = NO_OPTIONS) -> int:
    """Look at your Spaces now: those that are MCP servers become hosts of yours."""
    return run(_discover(options))


def _read(file: Path) -> Any:
    try:
        data = file.read_bytes()
        if len(data) > _MOST_FILE:
            raise CliError(Exit.USAGE, f"{file} has more than {_MOST_FILE} bytes.")
        if file.suffix == ".toml":
            return tomllib.loads(data.decode())
        return msgspec.json.decode(data)
    except OSError as error:
        raise CliError(Exit.USAGE, f"{file} can't be read: {error.strerror}.") from None
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CliError(Exit.USAGE, f"{file} can't be understood: {error}.") from None


def _change(options: Options, name: str, change: Callable[[Api], Awaitable[Any]], word: str) -> int:
    check_ids(host=name)
    return run(_changed(options, name, change, word))


async def _changed(
    options: Options, name: str, change: Callable[[Api], Awaitable[Any]], word: str
) -> int:
    async with Api(find_target(options)) as api:
        answer = await change(api)
    # A user who says a bare name means a host of his own.
    id_ = answer["host"] if word == "removed" else answer["id"]
    more = "" if word == "removed" else f"; see `metamcp hosts {id_}`"
    options.out.show(answer, Text(f"{id_} {word}{more}"))
    return Exit.OK


async def _probe(options: Options, name: str) -> int:
    async with Api(find_target(options), within_s=120.0) as api:
        found = await api.post(f"/api/mcps/{name}/probe")
    line = Text(f"{plain(name)} ").append_text(status(str(found["status"])))
    line.append(f"  {found.get('latency_ms', 0):.0f} ms", style="dim")
    if reason := found.get("reason"):
        line.append(f"  {plain(reason, 1000)}")
    options.out.show(found, line, soft_wrap=True)
    return Exit.OK if found["status"] in ("healthy", "warning") else Exit.FAILED


async def _discover(options: Options) -> int:
    async with Api(find_target(options), within_s=90.0) as api:
        found = (await api.post("/api/mcps/discover"))["spaces"]
    if not found:
        options.out.show(found, Text("no Spaces; is the account linked? `metamcp accounts`"))
        return Exit.OK
    names = (Column("space"), Column("stage"), Column("host"))
    table = FittedTable(*names, Column("remark", least=14))
    for seen in found:
        table.add(
            plain(seen["space"]),
            plain(seen["stage"]),
            plain(seen.get("host", "")),
            plain(seen.get("problem", ""), 300),
        )
    options.out.show(found, table)
    return Exit.OK
