"""The command `access`: who came in and who was kept out, listed or followed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.http import httpx
from services.cli.input import check_ids, moment
from services.cli.show.tasks import plain
from services.process.backoff import delay

PATH = "/api/access"
MINE = "/api/me/access"
PLACE = "Metamcp-Cursor"
PAGE = 500
DAY_S = 86_400.0
SILENCE_S = 60.0
"""After so much of it a connection is taken for cut; the gateway says something every 15 s."""
_FIRST_S, _LAST_S = 0.2, 5.0
_STYLES = {"refused": "red", "failed": "red"}


def access(
    *,
    follow: Annotated[bool, Parameter(name="--follow")] = False,
    mine: Annotated[bool, Parameter(name="--mine")] = False,
    user: str | None = None,
    kind: str | None = None,
    outcome: str | None = None,
    since: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Show who came in and who was kept out, oldest first; for the roles auditor and admin.

    Parameters
    ----------
    follow
        Show what is new until Ctrl-C, also after a restart of the gateway.
    mine
        What is about your own account; everybody may see that.
    user
        Only events about this user.
    kind
        Only events of this kind, such as sign_in, denied or token.issued.
    outcome
        Only events that ended so: ok, refused or failed.
    since
        From when on: a time, or an age such as 12h or 7d. Without it the last 24 hours; with
        --follow only what is new.
    """
    check_ids(user=user)
    begins = moment(since)
    if mine and (follow or user or kind or outcome):
        hint = "Leave out --follow, --user, --kind and --outcome."
        raise CliError(Exit.USAGE, "--mine goes with --since alone.", hint)
    wanted = {"user": user, "kind": kind, "outcome": outcome}
    if follow:
        return run(_follow(options, wanted | {"since": begins}))
    start = time.time() - DAY_S if begins is None else begins
    return run(_list(options, MINE if mine else PATH, wanted | {"since": start}))


async def _list(options: Options, path: str, wanted: dict[str, Any]) -> int:
    out, cursor, found = options.out, None, 0
    async with Api(find_target(options)) as api:
        while True:
            page, cursor = await api.page(path, limit=PAGE, cursor=cursor, **wanted)
            found += len(page)
            for line in page:
                _show(out, line)
            if cursor is None:
                break
    if not found:
        out.note("Nothing of that was noted; see --since.")
    return Exit.OK


async def _follow(options: Options, wanted: dict[str, Any]) -> int:
    out = options.out
    async for line in AccessFeed(options, wanted, out.note).lines():
        _show(out, line)
    return Exit.OK


class AccessFeed:
    """Events as they are noted. After a cut it goes on behind the last one that has come."""

    def __init__(
        self, options: Options, wanted: dict[str, Any], note: Callable[[str], object]
    ) -> None:
        """`note` is told about cuts."""
        self._options = options
        self._wanted = {name: value for name, value in wanted.items() if value is not None}
        self._note = note
        self._place: int | None = None
        self._failures = 0

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Yield them for ever. Raises CliError: at the first try, or when it is refused."""
        while True:
            try:
                async for line in self._once():
                    yield line
                why = "it has closed the connection"
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
            except CliError as error:
                if error.code is not Exit.UNREACHABLE or self._place is None:
                    raise
                why = error.message
            self._failures += 1
            if self._failures == 1:
                self._note(f"The gateway is gone ({why}); this goes on when it is back.")
            await asyncio.sleep(delay(self._failures, _FIRST_S, _LAST_S, random.random()))

    async def _once(self) -> AsyncIterator[dict[str, Any]]:
        params = self._wanted if self._place is None else self._wanted | {"cursor": self._place}
        path = f"{PATH}/follow?{httpx.QueryParams(params)}"
        # Looked up each time: a gateway that was started again may have another address.
        async with (
            Api(find_target(self._options), within_s=SILENCE_S) as api,
            api.stream(path, {}) as answer,
        ):
            if self._place is None:
                self._place = int(answer.headers[PLACE])
            self._failures = 0
            async for text in answer.aiter_lines():
                if text:
                    line: dict[str, Any] = msgspec.json.decode(text)
                    yield line
                    self._place = line["seq"]


def _show(out: Out, line: dict[str, Any]) -> None:
    if out.as_json:
        out.line(line)
        return
    what = [line["time"], f"{line['kind']:<16}", f"{line['outcome']:<8}", line["user"] or "-"]
    more = [line["subject"], line["reason"], line["method"], line["address"]]
    by = [f"by {line['asked_by']}"] if line["asked_by"] not in ("", line["user"]) else []
    details = [f"{name}={value}" for name, value in line["details"].items()]
    text = " ".join(plain(part) for part in (*what, *more, *by, *details) if part)
    out.console.print(Text(text, style=_STYLES.get(line["outcome"], "")), soft_wrap=True)
