"""The command prefer: how much tasks of yours should go to which host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.commands.hosts import no_host
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/preferences"
EXAMPLE = "metamcp prefer HOST 0.5, or metamcp prefer HOST --clear"


def prefer(
    host: Annotated[str | None, Parameter(name="HOST")] = None,
    weight: Annotated[float | None, Parameter(name="WEIGHT", allow_leading_hyphen=True)] = None,
    /,
    *,
    clear: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Say how much you want tasks to go to a host; without HOST, list what you have said.

    Parameters
    ----------
    host
        The host's id, see `metamcp hosts`.
    weight
        0 (avoid) to 1 (prefer).
    clear
        Take it back: how the host has done for you counts again.
    """
    check_ids(host=host)
    if host is None:
        if clear:
            raise CliError(Exit.USAGE, "--clear needs a host.", EXAMPLE)
        return run(_list(options))
    if clear == (weight is not None):
        problem = "both a weight and --clear" if clear else "neither a weight nor --clear"
        raise CliError(Exit.USAGE, f"There is {problem}.", EXAMPLE)
    if weight is not None and not 0 <= weight <= 1:
        raise CliError(Exit.USAGE, f"The weight is {weight:g}: expected 0 to 1.", EXAMPLE)
    return run(_say(options, host, weight))


async def _list(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found: list[Any] = await api.get(PATH)
    options.out.show(found, _table(found))
    return Exit.OK


async def _say(options: Options, host: str, weight: float | None) -> int:
    async with Api(find_target(options)) as api:
        try:
            answer = await _change(api, host, weight)
        except CliError as error:
            if error.code is Exit.REFUSED:
                every: list[Any] = await api.get("/api/mcps")
                if not any(
                    host in (entry["id"], entry["id"].rpartition("/")[2]) for entry in every
                ):
                    raise no_host(host, every) from error
            raise
    said = "has no preference any more" if weight is None else f"has the preference {weight:g}"
    options.out.show(answer, Text(f"{answer['host']} {said}"))
    return Exit.OK


async def _change(api: Api, host: str, weight: float | None) -> Any:
    """Set the weight, None takes it back; the answer is what holds now."""
    path = f"{PATH}/{host}"
    return await (api.delete(path) if weight is None else api.put(path, {"weight": weight}))


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text(f"no preferences: see {EXAMPLE}", style="dim")
    table = FittedTable(Column("host"), Column("preference", right=True), Column("since", drop=1))
    for entry in found:
        since = datetime.fromtimestamp(entry["since"], UTC).astimezone()
        weight = f"{entry['weight']:g}"
        table.add(plain(entry["host"]), weight, since.isoformat(" ", "seconds"))
    return table
