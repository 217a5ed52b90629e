"""Commands that invite people: user invite, user invitations, user uninvite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urljoin

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.commands.token import span
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.people import SHORT, day, one_of
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/auth/invitations"


def invite(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    ttl: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Invite somebody who signs in with an account elsewhere, and print an address to send them.

    Parameters
    ----------
    name
        As whom they come in; an account of this name that is there becomes theirs, too.
    ttl
        How long it is good, such as 12h, at most 30d; without it 7d.
    """
    check_ids(user=name)
    seconds = span(ttl)
    return run(_invite(options, {"user": name} | ({} if seconds is None else {"ttl_s": seconds})))


def invitations(*, options: Options = NO_OPTIONS) -> int:
    """List the invitations that nobody has used yet, oldest first."""
    return run(_list(options))


def uninvite(
    invitation: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS
) -> int:
    """Take an invitation back.

    Parameters
    ----------
    invitation
        Its id or how that begins, see `metamcp user invitations`.
    """
    return run(_withdraw(options, invitation))


async def _invite(options: Options, body: dict[str, Any]) -> int:
    target = find_target(options)
    async with Api(target) as api:
        made = await api.post(PATH, body)
        if not made["urls"]:
            await api.delete(f"{PATH}/{made['id']}")
            hint = "Set up a provider (docs/signin.md), or make an account: metamcp user add NAME"
            raise CliError(Exit.REFUSED, "Nobody signs in with an account elsewhere here.", hint)
    urls = [urljoin(target.url, url) for url in made["urls"]]
    # Alone on stdout: whoever has one of them comes in.
    options.out.show(made | {"urls": urls}, Text("\n".join(urls)), soft_wrap=True)
    one = "it" if len(urls) == 1 else "one of them"
    options.out.note(
        f"Send {one} to {made['user']} and to nobody else: whoever opens it first comes in as"
        f" {made['user']}. It works once, until {day(made['expires'])}, and is not shown again."
    )
    return Exit.OK


async def _list(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found = await _open(api)
    options.out.show(found, _table(found))
    return Exit.OK


async def _withdraw(options: Options, invitation: str) -> int:
    async with Api(find_target(options)) as api:
        chosen = one_of(await _open(api), "id", invitation, "metamcp user invitations")
        gone = await api.delete(f"{PATH}/{chosen['id']}")
    options.out.show(gone, Text(f"{plain(gone['user'])} is invited no more"))
    return Exit.OK


async def _open(api: Api) -> list[Any]:
    found: list[Any] = []
    cursor: int | None = None
    while True:
        page, cursor = await api.page(PATH, cursor=cursor)
        found += page
        if cursor is None:
            return found


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("nobody is invited: see metamcp user invite NAME", style="dim")
    table = FittedTable(
        Column("id"), Column("user", least=8), Column("by", least=8, drop=1), Column("until")
    )
    for one in found:
        table.add(one["id"][:SHORT], plain(one["user"]), plain(one["by"]), day(one["expires"]))
    return table
