"""Commands about accounts at other services and sign-ins at hosts: link, unlink, accounts.

A token comes from a prompt, a file or standard input, never as an argument.
"""

from __future__ import annotations

import getpass
import re
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter
from rich.text import Text

from contracts.account import Provider
from services.cli.client import Api, Target, find_target
from services.cli.commands import link_hosts
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.input import STDIN
from services.cli.show import results as render
from services.cli.show.tasks import plain

CHECK_S = 120.0
"""How long the gateway may take: it asks the provider."""
_MOST = 4096
_WORD = re.compile(r"[\x21-\x7e]+")
_PAGES = {
    Provider.HUGGINGFACE: "https://huggingface.co/settings/tokens (a token that may write)",
    Provider.GITHUB: "https://github.com/settings/tokens",
}
_WRITING = {"write", "admin", "repo.write"}
_EXAMPLE = "metamcp link huggingface, or metamcp link huggingface --token-file FILE"

Name = Annotated[str, Parameter(name="PROVIDER|HOST")]
Hidden = Parameter(show=False)


def link(
    provider: Name,
    /,
    *given: Annotated[str, Hidden],
    token: Annotated[str | None, Hidden] = None,
    token_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    scope: tuple[str, ...] = (),
    options: Options = NO_OPTIONS,
) -> int:
    """Link your account at Hugging Face or GitHub, by a token, or sign in at a host that asks.

    Parameters
    ----------
    provider
        huggingface or github; without --token-file you are asked for a token. Or a host that wants
        you to sign in: the address to open in a browser is printed, and this waits until you have.
    token_file
        A file with the token; - reads it from standard input.
    scope
        At a host: ask for this too. May be given several times.
    """
    if provider not in set(Provider) and not given and token is None and token_file is None:
        return run(_link_host(options, link_hosts.check_host(provider), scope))
    which = _provider(provider)
    if given or token is not None:
        raise CliError(
            Exit.USAGE,
            "A token is never an argument: others see it in the list of processes.",
            f"Make a new one, then {_EXAMPLE.replace('huggingface', which)}",
        )
    target = find_target(options)
    return run(_link(options.out, target, which, _token(options.out, which, token_file)))


def unlink(provider: Name, /, *, options: Options = NO_OPTIONS) -> int:
    """Forget the token of an account, or your sign-in at a host.

    Parameters
    ----------
    provider
        huggingface or github, or a host.
    """
    if provider not in set(Provider):
        return run(_unlink_host(options, link_hosts.check_host(provider)))
    return run(_unlink(options, _provider(provider)))


def accounts(*, check: bool = False, options: Options = NO_OPTIONS) -> int:
    """List the accounts you have linked, and the hosts at which you are signed in.

    Parameters
    ----------
    check
        Ask each provider whose the token is now; the exit code is 0 only if all are accepted.
    """
    return run(_accounts(options, check=check))


def _provider(text: str) -> Provider:
    try:
        return Provider(text)
    except ValueError:
        # What was typed is not shown: it may be a token in the wrong place.
        names = ", ".join(Provider)
        raise CliError(
            Exit.USAGE, "There is no such provider.", f"Providers: {names}. {_EXAMPLE}"
        ) from None


def _token(out: Out, provider: Provider, file: Path | None) -> str:
    """The token as one word. Raises CliError, never with it."""
    found = _Source("what was typed", _asked(out, provider)) if file is None else _read(file)
    text = found.text.strip()
    if not _WORD.fullmatch(text):
        raise CliError(
            Exit.USAGE,
            f"There is no token in {found.where}: expected one word, as the provider shows it.",
            f"Make one: {_PAGES[provider]}",
        )
    return text


class _Source(NamedTuple):
    where: str
    text: str


def _asked(out: Out, provider: Provider) -> str:
    if not sys.stdin.isatty():
        raise CliError(
            Exit.USAGE,
            "There is no terminal to ask for the token.",
            "Name a file with --token-file FILE, or --token-file - for standard input.",
        )
    out.note(f"Make a token: {_PAGES[provider]}")
    try:
        with warnings.catch_warnings():
            # Rather not at all than with an echo.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass("Token (it is not shown): ")
    except (EOFError, getpass.GetPassWarning):
        raise CliError(
            Exit.USAGE, "The token can't be read without an echo.", "Use --token-file FILE."
        ) from None


def _read(file: Path) -> _Source:
    where = "standard input" if str(file) == STDIN else str(file)
    try:
        if str(file) == STDIN:
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(_MOST + 1)
    except OSError as error:
        raise CliError(Exit.USAGE, f"{file} can't be read: {error.strerror}.") from None
    if len(data) > _MOST:
        raise CliError(Exit.USAGE, f"{where} has more than {_MOST} bytes: that is no token.")
    return _Source(where, data.decode("ascii", "replace"))


async def _link(out: Out, target: Target, provider: Provider, token: str) -> int:
    async with Api(target, within_s=CHECK_S) as api:
        account = await api.put(f"/api/accounts/{provider}", {"token": token})
    scopes = account.get("scopes", ())
    said = f" ({', '.join(scopes)})" if scopes else ""
    out.show(account, Text(plain(f"{provider}: {account['name']} is linked{said}", 300)))
    if provider is Provider.HUGGINGFACE and scopes and not _WRITING & set(scopes):
        out.note("This token can't write: results and Spaces need one that can.")
    return Exit.OK


async def _link_host(options: Options, host: str, scopes: tuple[str, ...]) -> int:
    async with Api(find_target(options)) as api:
        words = tuple(word for one in scopes for word in one.split())
        return await link_hosts.link(options, host, words, api)


async def _unlink_host(options: Options, host: str) -> int:
    async with Api(find_target(options)) as api:
        return await link_hosts.unlink(options, host, api)


async def _unlink(options: Options, provider: Provider) -> int:
    async with Api(find_target(options), within_s=CHECK_S) as api:
        answer = await api.delete(f"/api/accounts/{provider}")
    word = "is linked no more" if answer["linked"] else "was not linked"
    options.out.show(answer, Text(f"{provider} {word}"))
    return Exit.OK


async def _accounts(options: Options, *, check: bool) -> int:
    async with Api(find_target(options), within_s=CHECK_S) as api:
        found: list[dict[str, Any]] = await api.get("/api/accounts")
        if check:
            found = [await _checked(api, account) for account in found]
        for link in await link_hosts.linked(api):
            found.append(link | ({"check": link["broken"] or "ok"} if check else {}))
    options.out.show(found, render.accounts(found, checked=check))
    failed = any(account.get("check", "ok") != "ok" for account in found)
    return Exit.FAILED if failed else Exit.OK


async def _checked(api: Api, account: dict[str, Any]) -> dict[str, Any]:
    """The account as the provider says it is now; `check` is `ok`, or what is wrong."""
    try:
        now = await api.get(f"/api/accounts/{account['provider']}", check=True)
    except CliError as error:
        return account | {"check": error.message}
    return dict(now) | {"check": "ok"}
