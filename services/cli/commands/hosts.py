"""Commands about hosts: hosts, types, call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.live import Live

from contracts.facts import Record
from contracts.host import Host
from contracts.task import MCP_CALL, serves
from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.follow import create, finish
from services.cli.input import check_ids, check_seconds, read_input
from services.cli.show import hosts as render

CALL_EXAMPLE = {"tool": "NAME", "arguments": {}}


def hosts(
    id_: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    watch: bool = False,
    log: bool = False,
    lines: int | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Show the hosts and how healthy they are, or one host with its tools.

    Parameters
    ----------
    id_
        Only this host, in detail.
    watch
        Keep showing it, as health changes, until Ctrl-C.
    log
        Show what the host has written on stderr instead; for the role admin.
    lines
        With --log: so many lines, 200 if not given and at most 1000.
    """
    check_ids(host=id_)
    if not log:
        if lines is not None:
            raise CliError(Exit.USAGE, "--lines is for --log.", "metamcp hosts ID --log --lines 50")
        return run(_hosts(options, id_, watch=watch))
    if id_ is None or watch:
        problem = "needs a host" if id_ is None else "can't be watched"
        raise CliError(Exit.USAGE, f"--log {problem}.", "metamcp hosts ID --log")
    return run(_log(options, id_, lines))


async def _hosts(options: Options, host: str | None, *, watch: bool) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        found = await _found(api, host)
        if not watch:
            out.show(found if host is None else found[0], _rendered(found, host))
            return Exit.OK
        return await _watch(api, out, host, found)


async def _log(options: Options, host: str, lines: int | None) -> int:
    async with Api(find_target(options)) as api:
        try:
            found: list[Any] = await api.get(f"/api/mcps/{host}/log", lines=lines)
        except CliError as error:
            if error.code is Exit.REFUSED:
                await _found(api, host)
            raise
    options.out.show(found, render.logs(found), soft_wrap=True)
    return Exit.OK


async def _watch(api: Api, out: Out, host: str | None, found: list[Any]) -> int:
    from services.cli.stream import FactStream

    stream = FactStream(api.target, out.note)
    with Live(_rendered(found, host), console=out.console, auto_refresh=False) as live:
        async for item in stream.follow("hosts"):
            if isinstance(item, Record):
                found = await _found(api, host)
                if out.as_json:
                    out.line(found)
                else:
                    live.update(_rendered(found, host), refresh=True)
    return Exit.UNREACHABLE


async def _found(api: Api, host: str | None) -> list[Any]:
    if host is None:
        every: list[Any] = await api.get("/api/mcps")
        return every
    try:
        return [await api.get(f"/api/mcps/{host}")]
    except CliError as error:
        if error.code is Exit.REFUSED:
            raise no_host(host, await api.get("/api/mcps")) from error
        raise


def no_host(host: str, every: Sequence[Mapping[str, Any]]) -> CliError:
    """The error of a host that isn't there; it names those that are."""
    names = ", ".join(str(entry["id"]) for entry in every) or "none"
    return CliError(Exit.REFUSED, f"There is no host {host}.", f"Hosts: {names}")


def _rendered(found: Sequence[Mapping[str, Any]], host: str | None) -> Any:
    return render.hosts(found) if host is None else render.host(found[0])


def types(*, options: Options = NO_OPTIONS) -> int:
    """List what tasks can be asked for, with an input that works and the hosts that serve it."""
    return run(_types(options))


async def _types(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found = task_types(await api.get("/api/mcps"))
    options.out.show(found, render.types(found), soft_wrap=True)
    return Exit.OK


def task_types(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Task types by name: summary, example, schema of the input, and who serves it how well."""
    every: dict[str, dict[str, Any]] = {}
    for entry in found:
        for name, binding in entry.get("task_types", {}).items():
            known = every.setdefault(name, {"summary": "", "example": {}})
            for field in ("summary", "example", "input_schema"):
                known[field] = known.get(field) or binding.get(field, {})
    every[MCP_CALL] = {
        "summary": "Call one tool of a host directly; see `metamcp call`",
        "example": CALL_EXAMPLE,
    }
    hosts = {entry["id"]: msgspec.convert(entry, Host) for entry in found}
    health = {entry["id"]: entry.get("health", {}).get("status", "unknown") for entry in found}
    for name, known in every.items():
        known["hosts"] = {id_: health[id_] for id_, host in hosts.items() if serves(host, name)}
    return dict(sorted(every.items()))


def call(
    host: Annotated[str, Parameter(name="HOST")],
    tool: Annotated[str, Parameter(name="TOOL")],
    arguments: Annotated[str, Parameter(name="JSON", allow_leading_hyphen=True)] = "{}",
    /,
    *,
    timeout: float | None = None,
    fresh: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Call a tool of a host as a task, wait, and print what it answers.

    Parameters
    ----------
    host
        The host's id, see `metamcp hosts`.
    tool
        The tool's name, see `metamcp hosts ID`.
    arguments
        The tool's arguments: a JSON object, a file with it, or - for standard input.
    timeout
        Seconds the call may take.
    fresh
        Have it called, also where an earlier answer could be given again.
    """
    check_ids(host=host)
    check_seconds(timeout=timeout)
    given = read_input(arguments)
    wanted: dict[str, Any] = {"type": MCP_CALL, "host": host, "max_attempts": 1}
    wanted |= {"timeout_s": timeout} if timeout is not None else {}
    wanted |= {"fresh": True} if fresh else {}
    return run(_call(options, wanted, tool, given))


async def _call(
    options: Options, wanted: dict[str, Any], tool: str, arguments: dict[str, Any]
) -> int:
    async with Api(find_target(options)) as api:
        found = await _found(api, wanted["host"])
        _check_tool(found[0], tool)
        task = await create(api, wanted, {"tool": tool, "arguments": arguments})
        return await finish(api, options.out, task)


def _check_tool(entry: Mapping[str, Any], tool: str) -> None:
    tools = [str(known["name"]) for known in entry.get("tools", ())]
    if tools and tool not in tools:
        names = ", ".join(tools)
        raise CliError(Exit.REFUSED, f"Host {entry['id']} has no tool {tool}.", f"Tools: {names}")
