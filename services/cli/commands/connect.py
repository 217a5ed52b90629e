"""The command `connect`: what to write into other programs so that they come in at the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.show.tasks import plain

Many = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=False)]


def connect(
    client: Annotated[str | None, Parameter(name="CLIENT")] = None,
    /,
    *,
    host: Many = (),
    profile: str | None = None,
    search: bool = False,
    oauth: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Print what to write into other programs so that they use this gateway: all, or one.

    TOKEN stands where a token goes; `metamcp token add` makes one.

    Parameters
    ----------
    client
        claude-code, claude-desktop, vscode, cursor, codex, gemini, inspector, fastmcp, curl,
        websocket or nats.
    host
        Only the tools of this host, with `*` for any characters; can be repeated.
    profile
        Only what this profile shows, see `metamcp profiles`.
    search
        Tools are searched for instead of being listed.
    oauth
        No token: the client signs its user in, where it can.
    """
    if host and profile:
        raise CliError(
            Exit.USAGE, "Give hosts or a profile, not both.", "metamcp connect --host git"
        )
    asked: dict[str, Any] = {"hosts": ",".join(host) or None, "profile": profile}
    asked |= {"search": "true"} if search else {}
    asked |= {"auth": "oauth"} if oauth else {}
    return run(_connect(options, client, asked))


async def _connect(options: Options, client: str | None, asked: dict[str, Any]) -> int:
    target = find_target(options)
    async with Api(target) as api:
        found = await api.get("/api/connect", origin=target.url, **asked)
    pieces: Sequence[Mapping[str, Any]] = found["pieces"]
    if client is None:
        options.out.show(found, Group(*map(_headed, pieces)), soft_wrap=True)
        return Exit.OK
    one = next((piece for piece in pieces if piece["client"] == client), None)
    if one is None:
        names = ", ".join(str(piece["client"]) for piece in pieces)
        raise CliError(Exit.USAGE, f"{plain(client)} is no client that is known.", names)
    options.out.note(plain(f"for {one['where']}. {one['note']}".strip(), 1000))
    options.out.show(one, Text(str(one["text"])), soft_wrap=True)
    return Exit.OK


def _headed(piece: Mapping[str, Any]) -> Text:
    text = Text.assemble((str(piece["title"]), "bold"), f"  {piece['client']}: {piece['where']}\n")
    text.append(f"{piece['text']}\n")
    if piece["note"]:
        text.append(f"{piece['note']}\n", style="dim")
    return text
