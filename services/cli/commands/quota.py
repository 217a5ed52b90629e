"""Commands about quotas: quota, quota show, quota set, quota unset."""

from __future__ import annotations

import re
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.commands.blobs import budgets
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.tasks import plain

TRIES = 5
"""How often a change is made again because somebody else was quicker."""
_NUMBER = re.compile(r"([0-9_,]{1,24})([KMG]iB)?")
_UNITS = {None: 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PAIR = re.compile(r"([a-z_]{1,40})=(.+)")


def show(
    user: Annotated[str | None, Parameter(name="USER")] = None,
    /,
    *,
    options: Options = NO_OPTIONS,
) -> int:
    """Show what a user may have and do, and what is used of it; without USER yourself.

    Parameters
    ----------
    user
        Another user; for the role admin.
    """
    check_ids(user=user)
    return run(_show(options, user))


def set_(
    user: Annotated[str, Parameter(name="USER")],
    limits: Annotated[tuple[str, ...], Parameter(name="NAME=N")],
    /,
    *,
    options: Options = NO_OPTIONS,
) -> int:
    """Give a user other numbers than everybody has; for the role admin.

    Parameters
    ----------
    user
        Whose they are.
    limits
        Such as tasks_a_day=500, hosts=3 or stored_bytes=10GiB. Others that were set stay. Of what
        is counted in a time, 0 means no limit.
    """
    check_ids(user=user)
    if not limits:
        raise CliError(Exit.USAGE, "There is nothing to set.", "Write it like hosts=3.")
    return run(_change(options, user, dict(map(pair, limits)), ()))


def unset(
    user: Annotated[str, Parameter(name="USER")],
    names: Annotated[tuple[str, ...], Parameter(name="NAME")] = (),
    /,
    *,
    options: Options = NO_OPTIONS,
) -> int:
    """Give a user the same numbers as everybody again: those that are named, or all.

    Parameters
    ----------
    user
        Whose they are.
    names
        Such as tasks_a_day; none: all.
    """
    check_ids(user=user)
    return run(_change(options, user, {}, names) if names else _clear(options, user))


def pair(text: str) -> tuple[str, int]:
    """Read NAME=N. Raises CliError."""
    found = _PAIR.fullmatch(text.strip())
    number = found and _NUMBER.fullmatch(found[2])
    if not found or not number or not number[1].strip("_,"):
        hint = "Write it like hosts=3 or stored_bytes=10GiB."
        raise CliError(Exit.USAGE, f"{text!r} is no NAME=N.", hint)
    return found[1], int(re.sub("[_,]", "", number[1])) * _UNITS[number[2]]


async def _show(options: Options, user: str | None) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get("/api/me" if user is None else _path(user))
    options.out.show(found, _quotas(found))
    return Exit.OK


async def _change(
    options: Options, user: str, limits: dict[str, int], gone: tuple[str, ...]
) -> int:
    async with Api(find_target(options)) as api:
        for left in reversed(range(TRIES)):
            known = await api.get(_path(user))
            if unset := sorted(set(gone) - known["limits"].keys()):
                text = f"{unset[0]} was not set for {user}."
                raise CliError(Exit.REFUSED, text, "See `metamcp quota show`.")
            merged = {n: v for n, v in known["limits"].items() if n not in gone} | limits
            body = {"limits": merged, "revision": known["revision"]}
            try:
                found = await api.put(_path(user), body)
                break
            except CliError:
                now = await api.get(_path(user))
                if not left or now["revision"] == known["revision"]:
                    raise
    options.out.show(found, _quotas(found))
    return Exit.OK


async def _clear(options: Options, user: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.delete(_path(user))
    options.out.show(found, _quotas(found))
    return Exit.OK


def _path(user: str) -> str:
    return f"/api/users/{user}/quota"


def _quotas(found: Any) -> RenderableType:
    own = found.get("limits", found.get("exceptions"))
    said = ", ".join(f"{plain(name)}={most}" for name, most in own.items())
    head = f"{plain(found['user'])}: {said or 'the same as everybody'}"
    if by := found.get("by"):
        head += f", set by {plain(by)}"
    return Group(Text(head), budgets(found))
