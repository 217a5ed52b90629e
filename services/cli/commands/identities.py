"""Commands about the accounts elsewhere that one signs in with: identities (a list), identities
link, list, unlink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urljoin

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.people import SHORT, day, one_of
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/auth/identities"
PROVIDERS = "/api/auth/providers"


def identities(*, options: Options = NO_OPTIONS) -> int:
    """List the accounts elsewhere that you sign in with."""
    return run(_list(options))


def link(
    provider: Annotated[str, Parameter(name="PROVIDER")], /, *, options: Options = NO_OPTIONS
) -> int:
    """Print the address to open in your browser so that you can sign in with one more account.

    Parameters
    ----------
    provider
        github, huggingface, or how the operator calls an OpenID Connect provider.
    """
    return run(_link(options, provider))


def unlink(
    identity: Annotated[str, Parameter(name="IDENTITY")], /, *, options: Options = NO_OPTIONS
) -> int:
    """Sign in with an account elsewhere no more; the last way in stays.

    Parameters
    ----------
    identity
        Its key or how that begins, see `metamcp identities`.
    """
    return run(_unlink(options, identity))


async def _list(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(PATH)
    options.out.show(found, _table(found))
    return Exit.OK


async def _link(options: Options, provider: str) -> int:
    target = find_target(options)
    async with Api(target) as api:
        user = (await api.get("/api/me"))["user"]
        found = await api.get(PROVIDERS)
    way = next((one for one in found if one["name"] == provider), None)
    if way is None:
        names = ", ".join(one["name"] for one in found)
        text = f"Nobody signs in with {plain(provider, 40)} here."
        hint = "The operator has to register this gateway with a provider: see docs/signin.md."
        raise CliError(Exit.REFUSED, text, f"There are: {names}" if names else hint)
    url = f"{urljoin(target.url, way['url'])}?link=true"
    # Alone on stdout, so that it can be opened by another command.
    options.out.show(way | {"url": url}, Text(url), soft_wrap=True)
    options.out.note(f"Open it in your browser, sign in as {user} if it asks, and say yes there.")
    return Exit.OK


async def _unlink(options: Options, identity: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(PATH)
        chosen = one_of(found, "key", identity, "metamcp identities")
        gone = await api.delete(f"{PATH}/{chosen['key']}")
    login = plain(chosen["login"])
    options.out.show(gone, Text(f"You sign in as {login} of {plain(gone['provider'])} no more"))
    if not gone["revoked"]:
        options.out.note("Take this server from the list of applications there, too.")
    return Exit.OK


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("none: see metamcp identities link PROVIDER", style="dim")
    table = FittedTable(
        Column("key"), Column("provider", least=8), Column("account", least=8), Column("linked")
    )
    for one in found:
        table.add(
            one["key"][:SHORT], plain(one["provider"]), plain(one["login"]), day(one["linked"])
        )
    return table
