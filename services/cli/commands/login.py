"""Commands of who is asking: login, logout, whoami, sessions."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urljoin

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from contracts.scopes import SCOPES
from services.cli.client import Api, Target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.secret_words import asked_password, password_from_stdin
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain
from services.cli.signed_in import forget, keep, kept_for, kept_path
from services.cli.target import find_place, find_target

SESSIONS = "/api/auth/sessions"


def login(
    *,
    user: str | None = None,
    password_stdin: bool = False,
    device: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Sign in to a gateway with your password; commands act as you then, until `metamcp logout`.

    Parameters
    ----------
    user
        Your name; without it you are asked.
    password_stdin
        Read the password from the first line of standard input.
    device
        Print an address and a code: you sign in there, with any browser, and type the code.
    """
    place = find_place(options)
    if device:
        if user is not None or password_stdin:
            raise CliError(Exit.USAGE, "With --device you say in the browser who you are.")
        return run(_login_elsewhere(options, place))
    name = user if user is not None else _asked_name(password_stdin=password_stdin)
    check_ids(user=name)
    if password_stdin:
        password = password_from_stdin()
    else:
        password = asked_password(f"Password of {name} at {place.url} (it is not shown): ")
    return run(_login(options, place, {"user": name, "password": password}))


def allow(code: Annotated[str, Parameter(name="CODE")], /, *, options: Options = NO_OPTIONS) -> int:
    """Let a program in as yourself that shows this code, such as `metamcp login --device`.

    Parameters
    ----------
    code
        What it shows.
    """
    return run(_allow(options, code))


def logout(*, options: Options = NO_OPTIONS) -> int:
    """End your session at a gateway and forget its tokens."""
    return run(_logout(options, find_place(options)))


def whoami(*, options: Options = NO_OPTIONS) -> int:
    """Show as whom commands act here, and by what."""
    return run(_whoami(options))


def sessions(*, user: str | None = None, options: Options = NO_OPTIONS) -> int:
    """List your sessions, the one used last first.

    Parameters
    ----------
    user
        Those of somebody else; for admins.
    """
    check_ids(user=user)
    return run(_sessions(options, user))


def end(session: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS) -> int:
    """End a session: within a second no gateway takes what it was given.

    Parameters
    ----------
    session
        Its id, see `metamcp sessions`.
    """
    check_ids(session=session)
    return run(_end(options, session))


def _asked_name(*, password_stdin: bool) -> str:
    if password_stdin or not sys.stdin.isatty():
        raise CliError(Exit.USAGE, "Who is to be signed in?", "Say --user NAME.")
    try:
        return input("User: ").strip()
    except EOFError:
        raise CliError(Exit.USAGE, "No name was given.") from None


async def _login_elsewhere(options: Options, place: Target) -> int:
    async with Api(place) as api:
        asked = await api.post("/api/auth/device")
        where = urljoin(place.url, asked["verification_uri_complete"])
        options.out.note(f"Open {where} and let in the code {asked['user_code']}.")
        until = time.monotonic() + asked["expires_in"]
        while time.monotonic() < until:
            body = {"device_code": asked["device_code"]}
            decided = await api.post("/api/auth/device/token", body)
            if decided["state"] == "refused":
                raise CliError(Exit.REFUSED, "It was refused.")
            if decided["state"] == "allowed":
                return _keep(options, place, decided["session"])
            await asyncio.sleep(asked["interval"])
    raise CliError(Exit.REFUSED, "Nobody has let it in within the time.", "Try again.")


async def _allow(options: Options, code: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.post("/api/auth/device/allow", {"user_code": code})
    text = f"let in: {plain(found['agent'])} at {plain(found['address'])}"
    options.out.show(found, Text(text))
    return Exit.OK


async def _login(options: Options, place: Target, body: dict[str, Any]) -> int:
    async with Api(place) as api:
        given = await api.post("/api/auth/login", body)
    return _keep(options, place, given)


def _keep(options: Options, place: Target, given: dict[str, Any]) -> int:
    keep(options, place.url, given)
    shown = {"user": given["user"], "url": place.url, "session": given["session"]}
    options.out.show(shown, Text(f"signed in as {plain(given['user'])} at {place.url}"))
    options.out.note(f"Your session is kept in {kept_path(options)}.")
    if options.settings.token:
        options.out.note("METAMCP_TOKEN is set: commands show that, not this session.")
    return Exit.OK


async def _logout(options: Options, place: Target) -> int:
    if kept_for(options, place.url) is None:
        raise CliError(Exit.REFUSED, f"Nobody is signed in at {place.url} here.")
    try:
        target = find_target(options, signed_in_only=True)
        async with Api(target) as api:
            await api.post("/api/auth/logout")
        ended = True
    except CliError as error:
        # It may be over already. Whatever the gateway says, it is forgotten here.
        options.out.note(f"The gateway did not end it: {error.message}")
        ended = error.code is Exit.REFUSED
    forget(options, place.url)
    shown = {"url": place.url, "ended": ended}
    options.out.show(shown, Text(f"signed out at {place.url}"))
    return Exit.OK if ended else Exit.UNREACHABLE


async def _whoami(options: Options) -> int:
    target = find_target(options)
    kept = kept_for(options, target.url)
    if options.settings.token:
        by = "METAMCP_TOKEN"
    elif kept is not None:
        by = "metamcp login"
    else:
        by = "the data folder's token"
    async with Api(target) as api:
        found = await api.get("/api/me")
    shown = found | {"by": by, "url": target.url}
    roles = ", ".join(found["roles"]) or "user"
    scopes = "all" if len(found["scopes"]) == len(SCOPES) else ", ".join(found["scopes"])
    text = f"{plain(found['user'])} ({roles}) at {target.url}, by {by}; scopes: {scopes}"
    options.out.show(shown, Text(text))
    return Exit.OK


async def _sessions(options: Options, user: str | None) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(SESSIONS, user=user)
    options.out.show(found, _table(found))
    return Exit.OK


async def _end(options: Options, session: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.delete(f"{SESSIONS}/{session}")
    options.out.show(found, Text(f"{session} is over"))
    return Exit.OK


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("no sessions: see metamcp login", style="dim")
    table = FittedTable(
        Column("id"),
        Column("method", least=8),
        Column("address", least=8),
        Column("client", least=8, drop=1),
        Column("used", least=10, drop=3),
        Column("ends", least=10, drop=2),
    )
    for entry in found:
        table.add(
            entry["id"] + (" (this one)" if entry["current"] else ""),
            plain(entry["method"]),
            plain(entry["address"]),
            plain(entry["agent"]),
            _day(entry["used"]),
            _day(entry["expires"]),
            style="bold" if entry["current"] else "",
        )
    return table


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
