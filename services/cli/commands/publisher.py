"""Commands about outside publishers: publisher (a list), publisher add, list, remove, rotate."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from contracts.errors import Rejected
from contracts.publisher import Publisher
from services.bus.bus import Bus, ConnectFailed, Credentials
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain
from services.process.files import write_private
from services.up import nats_config
from services.up import publishers as known
from services.up.nats_config import ServerPlan
from services.up.plan import UpState, read_state

EFFECT_S = 20.0
"""How long a running server has to take a change over."""
_POLL_S = 0.1

Name = Annotated[str, Parameter(name="NAME")]
Known = Annotated[str, Parameter(name="NAME", help="See `metamcp publisher list`.")]
Config = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="For a NATS server of your own: the file to write its accounts to.",
    ),
]


def publishers(*, options: Options = NO_OPTIONS) -> int:
    """List the outside services that may publish tasks on NATS, and as whom."""
    with _told():
        listed = known.read(options.folder)
    rows = [_row(options.folder, one) for one in listed]
    options.out.show(rows, _table(rows))
    return Exit.OK


def add(name: Name, /, *, user: str, config: Config = None, options: Options = NO_OPTIONS) -> int:
    """Let an outside service publish tasks as a user; say where its credentials are.

    Parameters
    ----------
    name
        What it is called, also by NATS; several may publish for one user.
    user
        As whom: its tasks, results and quotas are this user's.
    """
    check_ids(publisher=name, user=user)
    with _changing(options, config):
        login = known.add(options.folder, name, user)
        return run(_effective(options, config, Publisher(name, user), login))


def rotate(name: Known, /, *, config: Config = None, options: Options = NO_OPTIONS) -> int:
    """Give a publisher a new password: the old one is refused, and its connections end."""
    check_ids(publisher=name)
    with _changing(options, config):
        before = known.read_credentials_of(options.folder, name)
        login = known.rotate(options.folder, name)
        one = next(one for one in known.read(options.folder) if one.name == name)
        return run(_effective(options, config, one, login, before))


def remove(name: Known, /, *, config: Config = None, options: Options = NO_OPTIONS) -> int:
    """Let a service publish no more: its connections end, and its password is refused."""
    check_ids(publisher=name)
    with _changing(options, config):
        before = known.read_credentials_of(options.folder, name)
        known.remove(options.folder, name)
        return run(_removed(options, config, name, before))


async def _effective(
    options: Options,
    config: Path | None,
    one: Publisher,
    login: Credentials,
    before: Credentials | None = None,
) -> int:
    state = await _taken_over(options, config, login, before)
    row = _row(options.folder, one)
    nats = {"nats_url": state.nats_url} if state else {}
    shown = {**row, "login": {"user": login.user, "password": login.password}, **nats}
    options.out.show(shown, Text(row["credentials"]), soft_wrap=True)
    options.out.note(f"{one.name} publishes as {one.user}. {_when(config, state)}")
    return Exit.OK


async def _removed(
    options: Options, config: Path | None, name: str, before: Credentials | None
) -> int:
    state = await _taken_over(options, config, None, before)
    known.forget(options.folder, name)
    options.out.show({"name": name, "removed": True}, Text(f"{name} publishes no more"))
    options.out.note(_when(config, state))
    return Exit.OK


def _when(config: Path | None, state: UpState | None) -> str:
    if config is not None:
        return (
            f"Its accounts are in {config} (they hold passwords): have the server read them with"
            " `nats-server --signal reload=PID`, and again a second later: a new one's imports hold"
            " from then on. No other connection ends."
        )
    if state is None:
        return "It holds from the next `metamcp up` in this data folder on."
    return "The running server has taken it over."


async def _taken_over(
    options: Options, config: Path | None, now: Credentials | None, before: Credentials | None
) -> UpState | None:
    """Wait until the embedded server, if it runs, takes the new login and refuses the old one.

    For a server of one's own write its accounts. Raises CliError.
    """
    if config is not None:
        _write_accounts(options.folder, config)
        return None
    state = read_state(options.folder)
    if state is None:
        return None
    deadline = time.monotonic() + EFFECT_S
    while not (_served(options.folder) and await _holds(state.nats_url, now, before)):
        if time.monotonic() > deadline:
            log_file = options.folder / "nats" / "server.log"
            raise CliError(
                Exit.FAILED,
                f"The NATS server has not taken the change over within {EFFECT_S:g} s.",
                f"See {log_file}; say it again, or start `metamcp up` anew.",
            )
        await asyncio.sleep(_POLL_S)
    return state


def _served(data: Path) -> bool:
    """Whether `metamcp up` says that its server works by the list."""
    return known.served(data) == known.read(data)


async def _holds(url: str, now: Credentials | None, before: Credentials | None) -> bool:
    if before is not None and before != now and await _accepted(url, before) is not False:
        return False
    return now is None or await _accepted(url, now) is True


async def _accepted(url: str, login: Credentials) -> bool | None:
    """Whether the server takes this login; None: it does not answer."""
    try:
        bus = await Bus.connect(url, name="metamcp-publisher", credentials=login, wait=2.0)
    except ConnectFailed as error:
        return False if "refuses these credentials" in str(error) else None
    await bus.close()
    return True


def _write_accounts(data: Path, path: Path) -> None:
    """The accounts of a server of one's own: publishers' passwords, and those of the roles from the
    server's environment. Raises CliError."""
    listed = known.read(data)
    logins = {one.name: known.read_credentials_of(data, one.name) for one in listed}
    plan = ServerPlan(
        port=0,
        store_dir=Path(),
        credentials={name: login for name, login in logins.items() if login is not None},
        publishers=listed,
        passwords_from_env=True,
    )
    text = "# Written by `metamcp publisher`; include it in the server's configuration.\n"
    write_private(path, (text + nats_config.accounts(plan)).encode())


@contextlib.contextmanager
def _changing(options: Options, config: Path | None) -> Iterator[None]:
    """What is checked before anything is changed. Raises CliError."""
    state, folder = read_state(options.folder), options.folder
    if config is None and state and state.credentials != str(folder / "credentials"):
        hint = "Name the file that its configuration includes, with --config."
        raise CliError(Exit.USAGE, f"The NATS server at {state.nats_url} is your own.", hint)
    if config is not None and not config.parent.is_dir():
        raise CliError(Exit.USAGE, f"There is no folder {config.parent}.")
    with _told(), known.changing(folder):
        yield


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what goes wrong into words. Raises CliError."""
    try:
        yield
    except known.PublishersUnreadable as error:
        raise CliError(Exit.FAILED, f"{error}.", "Mend it, or take it away.") from None
    except known.PublishersBusy as error:
        raise CliError(Exit.FAILED, _sentence(error), "Try again.") from None
    except known.NoPublisher as error:
        hint = "See `metamcp publisher list`."
        raise CliError(Exit.REFUSED, _sentence(error), hint) from None
    except known.PublisherTaken as error:
        raise CliError(Exit.REFUSED, _sentence(error)) from None
    except Rejected as error:
        raise CliError(Exit.USAGE, f"{error.message}.") from None
    except OSError as error:
        raise CliError(Exit.FAILED, f"The data folder can't be used: {error}.") from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _row(data: Path, one: Publisher) -> dict[str, Any]:
    path = str(known.credentials_file(data, one.name))
    return {"name": one.name, "user": one.user, "credentials": path}


def _table(rows: Sequence[dict[str, Any]]) -> RenderableType:
    if not rows:
        return Text("nobody: see metamcp publisher add NAME --user USER", style="dim")
    table = FittedTable(Column("name"), Column("user"), Column("credentials", least=16, drop=1))
    for row in rows:
        table.add(plain(row["name"]), plain(row["user"]), row["credentials"])
    return table
