"""Commands about accounts: user (a list) and user add, show, change, disable, enable, delete,
password."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.secret_words import (
    asked_password,
    new_password,
    password_from_stdin,
    random_password,
)
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/users"
Name = Annotated[str, Parameter(name="NAME", help="The user's name.")]
Display = Parameter(help="How the person wants to be called.")
Email = Parameter(help="Their address.")
Roles = tuple[Literal["user", "auditor", "admin"], ...]


def users(*, limit: int | None = None, options: Options = NO_OPTIONS) -> int:
    """List the accounts, those changed longest ago first.

    Parameters
    ----------
    limit
        At most so many; without it all.
    """
    return run(_list(options, limit))


def show(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Show one account."""
    check_ids(user=name)
    return run(_show(options, name))


def add(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    admin: bool = False,
    role: Roles = (),
    display: Annotated[str, Display] = "",
    email: Annotated[str, Email] = "",
    service: bool = False,
    no_password: bool = False,
    password_stdin: bool = False,
    again: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Make an account. You are asked for its password; without a terminal one is made and printed.

    Parameters
    ----------
    name
        What the user is called in every task.
    admin
        Keeps accounts, tokens and hosts; the same as --role admin.
    role
        auditor reads everybody's tasks, admin works for everybody. Can be repeated.
    service
        A program: it has tokens, and no password.
    no_password
        They come in otherwise, by a token or with an account elsewhere.
    password_stdin
        Read the password from the first line of standard input.
    again
        Also if a user of this name was deleted, whose tasks and results become theirs.
    """
    check_ids(user=name)
    typed, made = _first(name, stdin=password_stdin, none=service or no_password)
    body = {
        "name": name,
        "password": typed or made,
        "roles": sorted({*role, *(("admin",) if admin else ())}),
        "display": display,
        "email": email,
        "service": service,
        "again": again,
    }
    return run(_add(options, body, made))


def change(
    name: Name,
    /,
    *,
    display: Annotated[str | None, Display] = None,
    email: Annotated[str | None, Email] = None,
    role: Roles | None = None,
    end_everything: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Change an account; what is not named stays.

    Parameters
    ----------
    role
        All roles they are to have; `user` alone takes the others away. Can be repeated.
    end_everything
        End all their sessions, tokens and grants, everywhere.
    """
    check_ids(user=name)
    fields: dict[str, Any] = {"display": display, "email": email, "roles": role or None}
    body = {key: value for key, value in fields.items() if value is not None}
    if end_everything:
        body["end_everything"] = True
    if not body:
        raise CliError(Exit.USAGE, "Nothing is to be changed.", "See `metamcp user change --help`.")
    return run(_change(options, name, body, "is changed"))


def disable(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Let a user in no more: tokens, sessions and streams end everywhere within a second."""
    check_ids(user=name)
    return run(_change(options, name, {"disabled": True}, "is disabled"))


def enable(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Let a user in again, who has to sign in anew; what has ended stays ended."""
    check_ids(user=name)
    return run(_change(options, name, {"disabled": False}, "is enabled"))


def delete(name: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Delete an account. Its tasks and results stay, and nobody gets its name by accident."""
    check_ids(user=name)
    return run(_delete(options, name))


def password(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    password_stdin: bool = False,
    remove: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Change your own password, or as admin that of NAME, whose sessions all end.

    Parameters
    ----------
    name
        Somebody else; without it, yourself.
    password_stdin
        Read the new password from the first line of standard input; your own old one stands in
        the line before.
    remove
        Take it away: they come in otherwise from now on.
    """
    if name is None:
        if remove:
            raise CliError(Exit.USAGE, "Whose password is to be taken away?", "Name the user.")
        old, new = _own(password_stdin=password_stdin)
        return run(_own_password(options, {"old": old, "new": new}))
    check_ids(user=name)
    if remove:
        return run(_set_password(options, name, None))
    chosen = password_from_stdin() if password_stdin else new_password(name)
    return run(_set_password(options, name, chosen))


def _first(name: str, *, stdin: bool, none: bool) -> tuple[str | None, str | None]:
    """The first password of somebody: the one that was typed, or one that is made."""
    if stdin:
        return password_from_stdin(), None
    if none:
        return None, None
    return (new_password(name), None) if sys.stdin.isatty() else (None, random_password())


def _own(*, password_stdin: bool) -> tuple[str, str]:
    if password_stdin:
        return password_from_stdin(), password_from_stdin()
    return asked_password("Your password as it is (it is not shown): "), new_password("yourself")


async def _list(options: Options, limit: int | None) -> int:
    found: list[Any] = []
    cursor: int | None = None
    async with Api(find_target(options)) as api:
        while limit is None or len(found) < limit:
            most = None if limit is None else min(1000, limit - len(found))
            page, cursor = await api.page(PATH, limit=most, cursor=cursor)
            found += page
            if cursor is None:
                break
    options.out.show(found, _table(found))
    return Exit.OK


async def _show(options: Options, name: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(f"{PATH}/{name}")
    options.out.show(found, _table([found]))
    return Exit.OK


async def _add(options: Options, body: dict[str, Any], made: str | None) -> int:
    async with Api(find_target(options)) as api:
        found = await api.post(PATH, body)
    out = options.out
    out.note(f"User {found['name']} ({_roles(found)}) is made.")
    if made is None:
        out.show(found, _table([found]))
    else:
        # Alone on stdout, so that it can go where it belongs without passing a screen.
        out.show(found | {"password": made}, Text(made), soft_wrap=True)
        out.note("That is the password: keep it, it is not shown again.")
    return Exit.OK


async def _change(options: Options, name: str, body: dict[str, Any], done: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.patch(f"{PATH}/{name}", body)
    options.out.show(found, Text(f"{plain(found['name'])} {done}"))
    return Exit.OK


async def _delete(options: Options, name: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.delete(f"{PATH}/{name}")
    options.out.show(found, Text(f"{plain(found['name'])} is deleted"))
    return Exit.OK


async def _set_password(options: Options, name: str, chosen: str | None) -> int:
    async with Api(find_target(options)) as api:
        found = await api.post(f"{PATH}/{name}/password", {"password": chosen})
    done = "has no password any more" if chosen is None else "has another password"
    options.out.show(found, Text(f"{plain(found['user'])} {done}; all their sessions have ended"))
    return Exit.OK


async def _own_password(options: Options, body: dict[str, str]) -> int:
    async with Api(find_target(options)) as api:
        found = await api.post("/api/auth/password", body)
    options.out.show(found, Text("Your password is changed; your other sessions have ended"))
    return Exit.OK


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("no accounts: see metamcp user add NAME --admin", style="dim")
    table = FittedTable(
        Column("name"),
        Column("roles", least=8),
        Column("state", least=8),
        Column("display", least=8, drop=2),
        Column("email", least=12, drop=1),
        Column("last signed in", least=10, drop=3),
    )
    for entry in found:
        table.add(
            plain(entry["name"]),
            _roles(entry),
            _state(entry),
            plain(entry["display"]),
            plain(entry["email"]),
            _day(entry["seen"]),
            style="dim" if entry["disabled"] else "",
        )
    return table


def _state(entry: Any) -> str:
    if entry["disabled"]:
        return "disabled"
    return "service" if entry["service"] else "password" if entry["has_password"] else "no password"


def _roles(entry: Any) -> str:
    return ", ".join(entry["roles"]) or "user"


def _day(at: float) -> str:
    if not at or at > time.time() + 86_400:
        return "never"
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
