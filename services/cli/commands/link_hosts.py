"""Signing in at hosts that ask for OAuth: the part of `metamcp link` that has a browser do it."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from rich.text import Text

from contracts.account import Provider
from services.cli import browser
from services.cli.client import Api
from services.cli.common import CliError, Exit, Options
from services.cli.show.tasks import plain

LOOK_S = 1.0
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"(hf|gh[a-z]|github_pat|sk|xox[a-z]|glpat)[_-]|.*[A-Za-z0-9]{28}")


def check_host(text: str) -> str:
    """A host's id. Raises CliError, which never shows what may be a token in the wrong place."""
    if not _HOST.fullmatch(text) or _TOKEN.match(text):
        providers = ", ".join(Provider)
        hint = f"Providers: {providers}. Hosts: see `metamcp hosts`. Or: metamcp link huggingface"
        raise CliError(Exit.USAGE, "There is no such provider or host.", hint)
    return text


async def link(options: Options, host: str, scopes: tuple[str, ...], api: Api) -> int:
    """Show where to sign in, and wait until it is done."""
    path, out = f"/api/mcps/{host}/link", options.out
    before = await api.get(path)
    begun = await api.post(path, {"scopes": list(scopes)})
    url = str(begun["authorize_url"])
    out.note(f"Sign in with your browser: {url}")
    show_in_browser(url)
    while time.time() < begun["expires"]:
        now = await api.get(path)
        if now["linked"] and now["linked_at"] != before["linked_at"]:
            said = f" ({', '.join(now['scopes'])})" if now["scopes"] else ""
            out.show(now, Text(plain(f"you are signed in at {now['host']}{said}", 300)))
            return Exit.OK
        await asyncio.sleep(LOOK_S)
    raise CliError(
        Exit.FAILED,
        f"Nobody has signed in at {plain(begun['host'], 140)} in time.",
        f"Begin anew: metamcp link {plain(begun['host'], 140)}",
    )


async def unlink(options: Options, host: str, api: Api) -> int:
    """Forget one's tokens for a host."""
    answer = await api.delete(f"/api/mcps/{host}/link")
    word = "you were not signed in" if not answer["linked"] else "you are signed in no more"
    ended = ", and the tokens were ended there" if answer["revoked"] else ""
    out = options.out
    out.show(answer, Text(plain(f"at {answer['host']} {word}{ended}", 300)))
    return Exit.OK


async def linked(api: Api) -> list[dict[str, Any]]:
    """The hosts at which one is signed in."""
    found: list[dict[str, Any]] = await api.get("/api/links")
    return found


def show_in_browser(url: str) -> None:
    """Open a page, where somebody sits before a screen."""
    if browser.on_a_screen() and url.startswith(("https://", "http://")):
        browser.open_page(url)
