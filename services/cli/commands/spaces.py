"""Commands about your Spaces at Hugging Face: spaces, and create, deploy, restart below it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.show import results as render
from services.cli.show.tasks import plain

HUB_S = 300.0
"""How long the gateway may take: it asks Hugging Face, several times if need be."""
POLL_S = 2.0
WAIT_S = 1800.0
"""A build that takes longer is left alone."""
LOOKS = 2
"""So many times a stage must be seen in a row: the first may be that of the files before."""
MISSES = 5
"""So many times in a row the gateway or Hugging Face may give no answer."""
_SETTLED = ("RUNNING", "SLEEPING")
_ENDED = ("PAUSED", "STOPPED", "DELETING")
_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")

Repo = Annotated[str, Parameter(name="OWNER/NAME")]


def spaces(
    space: Annotated[str | None, Parameter(name="OWNER/NAME")] = None,
    /,
    *,
    options: Options = NO_OPTIONS,
) -> int:
    """Show your Spaces at Hugging Face and which host each is, or one Space.

    Parameters
    ----------
    space
        Only this one, in detail.
    """
    if space is not None:
        _check(space)
    return run(_spaces(options, space))


def create(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    sdk: Literal["docker", "gradio", "static"] = "docker",
    template: str | None = None,
    hardware: str | None = None,
    public: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Make a Space of your account; one of this name that is there is left as it is.

    Parameters
    ----------
    name
        Its name, without your account's.
    sdk
        What it is built with.
    template
        A Space whose files it begins with: OWNER/NAME.
    hardware
        In Hugging Face's words, for example cpu-basic or t4-small.
    public
        Everybody may see it; else only you.
    """
    if not _NAME.fullmatch(name):
        raise CliError(
            Exit.USAGE,
            f"{name[:96]!r} is no name of a Space.",
            "Write it without your account's name: metamcp spaces create my-tools",
        )
    wanted = {"sdk": sdk, "template": template, "hardware": hardware, "private": not public}
    return run(_create(options, name, wanted))


def deploy(
    space: Repo,
    /,
    *,
    create: bool = False,
    no_wait: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Put the Space kit into a Space, wait until it runs, and make it a host of yours.

    Parameters
    ----------
    space
        The Space.
    create
        Make it first, if it isn't there.
    no_wait
        Don't wait: it becomes a host when it is next looked for.
    """
    _check(space)
    return run(_deploy(options, space, create=create, wait=not no_wait))


def restart(space: Repo, /, *, factory: bool = False, options: Options = NO_OPTIONS) -> int:
    """Start a Space anew, also one that is paused.

    Parameters
    ----------
    space
        The Space.
    factory
        Build it anew as well.
    """
    _check(space)
    return run(_restart(options, space, factory=factory))


def _check(space: str) -> None:
    if not _REPO.fullmatch(space):
        raise CliError(
            Exit.USAGE, f"{space[:96]!r} is no Space.", "Write OWNER/NAME, see `metamcp spaces`."
        )


async def _spaces(options: Options, space: str | None) -> int:
    async with Api(find_target(options), within_s=HUB_S) as api:
        if space is not None:
            view = await api.get(f"/api/spaces/{space}")
            options.out.show(view, render.space(view), soft_wrap=True)
            return Exit.OK
        found: list[Any] = await api.get("/api/spaces")
    options.out.show(found, render.spaces(found))
    return Exit.OK


async def _create(options: Options, name: str, wanted: dict[str, Any]) -> int:
    async with Api(find_target(options), within_s=HUB_S) as api:
        view = await _made(api, name, wanted)
    line = Text(plain(f"{view['repo']} is there: {view['page']}", 300))
    options.out.show(view, line, soft_wrap=True)
    return Exit.OK


async def _made(api: Api, name: str, wanted: dict[str, Any]) -> Any:
    given = {key: value for key, value in wanted.items() if value is not None}
    return await api.post("/api/spaces", {"name": name} | given)


async def _restart(options: Options, space: str, *, factory: bool) -> int:
    async with Api(find_target(options), within_s=HUB_S) as api:
        view = await api.post(f"/api/spaces/{space}/restart", {"factory": factory})
    line = Text(plain(f"{space} is started anew; it is {view['stage'] or 'not begun'} now", 300))
    options.out.show(view, line, soft_wrap=True)
    return Exit.OK


async def _deploy(options: Options, space: str, *, create: bool, wait: bool) -> int:
    out = options.out
    async with Api(find_target(options), within_s=HUB_S) as api:
        if create:
            await _mine(api, space)
            await _made(api, space.partition("/")[2], {"sdk": "docker"})
        view = await api.post(f"/api/spaces/{space}/deploy")
        if not wait:
            text = f"{space} is deployed and built now; see `metamcp spaces {space}`"
            out.show(view, Text(text), soft_wrap=True)
            return Exit.OK
        view = await _settled(api, out, space)
        view["host"] = host = await _host(api, out, space, str(view["stage"]))
    line = Text(plain(f"{space} is {view['stage']}: host {host}; see `metamcp hosts {host}`", 300))
    out.show(view, line, soft_wrap=True)
    return Exit.OK


async def _mine(api: Api, space: str) -> None:
    """Refuse to make a Space of somebody else."""
    name = str((await api.get("/api/accounts/huggingface"))["name"])
    owner, _, wanted = space.partition("/")
    if owner.casefold() != name.casefold():
        raise CliError(
            Exit.REFUSED,
            f"Your account is {plain(name)}: a Space of {owner} can't be made with it.",
            f"metamcp spaces deploy {plain(name)}/{wanted} --create",
        )


async def _settled(api: Api, out: Out, space: str) -> dict[str, Any]:
    """Wait until the Space runs, or would with the first task. Raises CliError."""
    end = time.monotonic() + WAIT_S
    stage, looks, misses = "", 0, 0
    with _showing(out, space) as show:
        while time.monotonic() < end:
            await asyncio.sleep(POLL_S)
            try:
                view: dict[str, Any] = await api.get(f"/api/spaces/{space}")
            except CliError as error:
                misses += 1
                if error.code is not Exit.UNREACHABLE or misses == MISSES:
                    raise
                continue
            misses = 0
            looks = looks + 1 if view["stage"] == stage else 1
            stage = str(view["stage"])
            show(stage)
            if looks >= LOOKS and _over(space, view):
                return view
    raise CliError(
        Exit.FAILED,
        f"{space} is still {plain(stage) or 'unknown'} after {WAIT_S / 60:.0f} minutes.",
        f"It goes on without you: see `metamcp spaces {space}`.",
    )


def _over(space: str, view: dict[str, Any]) -> bool:
    """Whether it runs or sleeps. Raises CliError if it never will by itself."""
    stage, page = str(view["stage"]), plain(view.get("page", ""), 300)
    if stage.endswith("_ERROR"):
        why = plain(view.get("error") or "Hugging Face does not say why", 500)
        raise CliError(Exit.FAILED, f"{space} is {plain(stage)}: {why}", f"Its log is at {page}")
    if stage in _ENDED:
        raise CliError(
            Exit.FAILED,
            f"{space} is {stage}, and does not start by itself.",
            f"metamcp spaces restart {space}",
        )
    return stage in _SETTLED


@contextlib.contextmanager
def _showing(out: Out, space: str) -> Iterator[Callable[[str], None]]:
    """Show the stage on stderr: live on a terminal, else each new one as a line."""
    words = TextColumn("{task.description}", markup=False)
    live = Progress(
        SpinnerColumn(),
        words,
        TimeElapsedColumn(),
        console=out.errors,
        transient=True,
        disable=not out.errors.is_terminal,
    )
    last = ""

    def show(stage: str) -> None:
        nonlocal last
        live.update(waiting, description=plain(f"{space} is {stage}"))
        if stage != last and not out.errors.is_terminal:
            out.note(plain(f"{space} is {stage}"))
        last = stage

    with live:
        waiting = live.add_task(f"{space} is deployed", total=None)
        yield show


async def _host(api: Api, out: Out, space: str, stage: str) -> str:
    """Have Spaces looked for now; the host that this one is. Raises CliError if it is none."""
    found = (await api.post("/api/mcps/discover"))["spaces"]
    seen: dict[str, Any] = next(
        (one for one in found if one["space"].casefold() == space.casefold()), {}
    )
    problem = plain(seen.get("problem", ""), 500)
    if not seen.get("host"):
        raise CliError(
            Exit.FAILED,
            f"{space} is {plain(stage)}, but no host of yours: {problem or 'it was not found'}",
            "Look again with `metamcp hosts discover`.",
        )
    if problem:
        out.note(f"{space}: {problem}")
    return str(seen["host"])
