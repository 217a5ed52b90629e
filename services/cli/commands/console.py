"""The command console: a browser that is signed in as whoever gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from services.cli import browser
from services.cli.client import Api, Target
from services.cli.common import NO_OPTIONS, Exit, Options, run
from services.cli.signed_in import kept_path
from services.cli.target import find_target

PATH = "/api/auth/console-links"
PAGE = "console.html"


def console(
    *,
    print_: Annotated[bool, Parameter(name="--print")] = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Open the console in your browser, signed in as whom commands act here.

    Parameters
    ----------
    print_
        Only print the link; so it is done where there is no screen, too. It is good once, for ten
        minutes: give it to nobody.
    """
    target = find_target(options)
    url, expires_s = run(new_link(target))
    out = options.out
    page = kept_path(options).with_name(PAGE)
    if not (print_ or options.json) and _opened(url, page):
        out.note(f"The console of {target.url} opens in your browser.")
        out.note("If it does not: metamcp console --print")
        return Exit.OK
    out.show({"url": url, "expires_in": expires_s}, Text(url), soft_wrap=True)
    return Exit.OK


async def new_link(target: Target) -> tuple[str, float]:
    """Make a link into the console; for how many seconds it is good. Raises CliError."""
    async with Api(target) as api:
        made = await api.post(PATH)
    return target.url + made["path"], made["expires_in"]


def _opened(url: str, page: Path) -> bool:
    try:
        return browser.on_a_screen() and browser.open_privately(url, page)
    except OSError:
        return False
