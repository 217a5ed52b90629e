"""Commands about tokens of the API: token (a list), token add, token list, token revoke."""

from __future__ import annotations

import re
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
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/tokens"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw])")


def tokens(*, user: str | None = None, options: Options = NO_OPTIONS) -> int:
    """List your tokens, or as admin all, oldest first; the tokens themselves nobody can show again.

    Parameters
    ----------
    user
        Only those of this user.
    """
    check_ids(user=user)
    return run(_list(options, user))


def add(
    user: Annotated[str | None, Parameter(name="USER")] = None,
    /,
    *,
    scope: tuple[str, ...] = (),
    role: tuple[Literal["user", "auditor", "admin"], ...] = (),
    ttl: str | None = None,
    note: str = "",
    options: Options = NO_OPTIONS,
) -> int:
    """Issue a token for yourself, or as admin for a user, and print it, once and never again.

    Parameters
    ----------
    user
        Whose tasks, hosts and results it opens; without it, yours. It need not have an account.
    scope
        What the token is good for, such as tasks:read or mcp:call; without it all that its user
        may do. Can be repeated.
    role
        What it may do besides: auditor reads everybody's tasks, admin works for everybody. Can be
        repeated.
    ttl
        How long it is good, such as 12h or 90d; without it until it is revoked.
    note
        What it is for.
    """
    check_ids(user=user)
    body = {
        "user": user,
        "roles": role,
        "scopes": scope or None,
        "ttl_s": span(ttl),
        "note": note,
    }
    return run(_add(options, body))


def revoke(token: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS) -> int:
    """End a token: within a second no gateway takes it any more.

    Parameters
    ----------
    token
        Its id, see `metamcp token list`; not the token itself.
    """
    # Whoever takes the one for the other must not have the token stand in an address.
    if token.startswith("mtm_"):
        hint = "See `metamcp token list`."
        raise CliError(Exit.USAGE, "That is a token; its id is needed.", hint)
    check_ids(token=token)
    return run(_revoke(options, token))


def span(text: str | None) -> float | None:
    """Read a length of time as seconds. Raises CliError."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip())
    if found is None or not float(found[1]):
        hint = "Write it like 30m, 12h, 90d or 52w."
        raise CliError(Exit.USAGE, f"{text!r} is no length of time.", hint)
    return float(found[1]) * _UNITS[found[2]]


async def _list(options: Options, user: str | None) -> int:
    found: list[Any] = []
    cursor: int | None = None
    async with Api(find_target(options)) as api:
        while True:
            page, cursor = await api.page(PATH, user=user, cursor=cursor)
            found += page
            if cursor is None:
                break
    options.out.show(found, _table(found, time.time()))
    return Exit.OK


async def _add(options: Options, body: dict[str, Any]) -> int:
    async with Api(find_target(options)) as api:
        made = await api.post(PATH, body)
    # Alone on stdout, so that it can go where it belongs without passing a screen.
    options.out.show(made, Text(made["token"]), soft_wrap=True)
    until = "until it is revoked" if made["expires"] is None else f"until {_day(made['expires'])}"
    options.out.note(
        f"Token {made['id']} of {made['user']} ({_roles(made)}) is good {until}."
        " Keep it: it is not shown again."
    )
    return Exit.OK


async def _revoke(options: Options, token: str) -> int:
    async with Api(find_target(options)) as api:
        gone = await api.delete(f"{PATH}/{token}")
    options.out.show(gone, Text(f"{gone['id']} of {plain(gone['user'])} is revoked"))
    if not gone.get("everywhere", True):
        options.out.note(
            "NATS takes no change now: other gateways, and this one after a restart, still take it"
            " until NATS does."
        )
    return Exit.OK


def _table(found: Sequence[Any], now: float) -> RenderableType:
    if not found:
        return Text("no tokens were issued: see metamcp token add", style="dim")
    table = FittedTable(
        Column("id"),
        Column("user"),
        Column("roles", least=8),
        Column("scopes", least=8, drop=4),
        Column("created", least=10, drop=3),
        Column("expires", least=10, drop=1),
        Column("note", least=12, drop=2),
    )
    for entry in found:
        ends = entry["expires"]
        over = ends is not None and ends <= now
        expires = "never" if ends is None else _day(ends) + (" (over)" if over else "")
        table.add(
            entry["id"],
            plain(entry["user"]),
            _roles(entry),
            _scopes(entry),
            _day(entry["created"]),
            expires,
            plain(entry["note"]),
            style="dim" if over else "",
        )
    return table


def _roles(entry: Any) -> str:
    return ", ".join(entry["roles"]) or "user"


def _scopes(entry: Any) -> str:
    found = entry.get("scopes")
    return "all" if found is None else ", ".join(found)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
