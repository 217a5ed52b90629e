"""Commands about programs that ask for tokens: clients (a list), clients add, list, remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/clients"


def clients(*, options: Options = NO_OPTIONS) -> int:
    """List the programs that may ask people for tokens, oldest first."""
    return run(_list(options))


def add(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    redirect: tuple[str, ...] = (),
    user: str = "",
    scope: tuple[str, ...] = ("mcp:call",),
    public: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Make a client and print its id, and its secret, once and never again.

    Programs that register themselves, or have a description at an address of their own, need none.

    Parameters
    ----------
    name
        What it is called, for the people who are asked to let it act for them.
    redirect
        Where people are sent back to, such as https://app.example.com/callback. Can be repeated.
    user
        The service that it acts as by itself, with its secret.
    scope
        What it may ask for at most. Can be repeated.
    public
        It has no secret: a program on people's own computers.
    """
    if not redirect and not user:
        hint = "Give --redirect URL, or --user SERVICE for a program that acts by itself."
        raise CliError(Exit.USAGE, "This client could do nothing.", hint)
    if user:
        check_ids(user=user)
    body = {"name": name, "redirects": redirect, "user": user, "scopes": scope, "public": public}
    return run(_add(options, body))


def remove(
    client: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS
) -> int:
    """Remove a client: what people have given it ends within a second, at all gateways.

    Parameters
    ----------
    client
        Its id, see `metamcp clients`.
    """
    check_ids(client=client)
    return run(_remove(options, client))


async def _list(options: Options) -> int:
    found: list[Any] = []
    cursor: int | None = None
    async with Api(find_target(options)) as api:
        while True:
            page, cursor = await api.page(PATH, cursor=cursor)
            found += page
            if cursor is None:
                break
    options.out.show(found, _table(found))
    return Exit.OK


async def _add(options: Options, body: dict[str, Any]) -> int:
    async with Api(find_target(options)) as api:
        made = await api.post(PATH, body)
    secret = made["secret"]
    lines = [made["id"], *([secret] if secret else [])]
    options.out.show(made, Text("\n".join(lines)), soft_wrap=True)
    told = f"Client {plain(made['name'])} may ask for {', '.join(made['scopes'])}."
    if secret:
        told += " The second line is its secret. Keep it: it is not shown again."
    options.out.note(told)
    return Exit.OK


async def _remove(options: Options, client: str) -> int:
    async with Api(find_target(options)) as api:
        gone = await api.delete(f"{PATH}/{client}")
    options.out.show(gone, Text(f"{gone['id']} ({plain(gone['name'])}) is removed"))
    return Exit.OK


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("there are no clients: see metamcp clients add NAME", style="dim")
    table = FittedTable(
        Column("id"),
        Column("name", least=8),
        Column("acts as", least=8),
        Column("scopes", least=8, drop=2),
        Column("made by", least=8, drop=3),
        Column("until", least=10, drop=1),
    )
    for one in found:
        table.add(
            one["id"],
            plain(one["name"]),
            plain(one["user"]) or "people",
            ", ".join(one["scopes"]) or "any",
            plain(one["by"]),
            "removed" if one["expires"] is None else _day(one["expires"]),
        )
    return table


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
