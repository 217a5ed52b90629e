"""Commands about GitHub with your linked account: user, repos, create, ls, cat, put, branches."""

from __future__ import annotations

import base64
import codecs
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlencode

import msgspec
from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.bar import bar
from services.cli.client import Api, find_target
from services.cli.commands.download import ToFile, ToStream, download
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.input import STDIN
from services.cli.show import repositories as render
from services.cli.show.tasks import plain
from services.process.visible import visible

GITHUB_S = 180.0
"""How long the gateway may take: it asks GitHub, several times if need be."""
PAGE, BIG_PAGE = 30, 100
MOST = 10_000
"""Rows that --all shows at most."""
MOST_PUT = 10 * 1024 * 1024
"""Bytes of a file that is written."""
PART = 256 * 1024
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9_.-]{1,100}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

Repository = Annotated[str, Parameter(name="OWNER/NAME")]
Inside = Annotated[str, Parameter(name="PATH", allow_leading_hyphen=True)]
Rendered: TypeAlias = Callable[[Sequence[Any]], RenderableType]


@Parameter(name="*")
@dataclass(frozen=True)
class Pages:
    """How much of a list is shown."""

    limit: int | None = None
    """How many to show, 30 if not given and at most 100."""
    cursor: int | None = None
    """Go on after a page, with the cursor it printed; with the same limit."""
    every: Annotated[bool, Parameter(name="--all")] = False
    """All pages, up to 10000 rows."""


ONE_PAGE = Pages()


def github(*, options: Options = NO_OPTIONS) -> int:
    """Say whose your linked account at GitHub is; below it, its repositories and files."""
    return run(_user(options))


def user(*, options: Options = NO_OPTIONS) -> int:
    """Say whose your linked account at GitHub is, as GitHub says it now."""
    return run(_user(options))


def repos(
    *,
    sort: Literal["updated", "created", "pushed", "full_name"] = "updated",
    direction: Literal["asc", "desc"] | None = None,
    pages: Pages = ONE_PAGE,
    options: Options = NO_OPTIONS,
) -> int:
    """List your repositories at GitHub, and those you work on with others.

    Parameters
    ----------
    sort
        By what they are in order.
    direction
        Without one, names go up and times go down.
    """
    asked = {"sort": sort, "direction": direction}
    return run(_listed(options, "/api/github/repos", asked, pages, render.repositories))


def create(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    description: str = "",
    public: bool = False,
    empty: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Make a repository of your account at GitHub.

    Parameters
    ----------
    name
        Its name, without your account's.
    description
        What it is for.
    public
        Everybody may see it; else only you.
    empty
        Without a first commit, for one that you push.
    """
    if not _NAME.fullmatch(name):
        raise CliError(
            Exit.USAGE,
            f"{name[:100]!r} is no name of a repository.",
            "Write it without your account's name: metamcp github create my-app",
        )
    wanted = {
        "name": name,
        "description": description,
        "private": not public,
        "auto_init": not empty,
    }
    return run(_create(options, wanted))


def ls(
    repository: Repository,
    path: Annotated[str, Parameter(name="PATH", allow_leading_hyphen=True)] = "",
    /,
    *,
    ref: str | None = None,
    pages: Pages = ONE_PAGE,
    options: Options = NO_OPTIONS,
) -> int:
    """List what lies in a folder of a repository.

    Parameters
    ----------
    repository
        The repository.
    path
        The folder; without one, the topmost.
    ref
        Branch, tag or commit; else the default branch.
    """
    url = f"{_url(repository)}/contents"
    asked = {"path": path or None, "ref": ref}
    return run(_listed(options, url, asked, pages, render.entries))


def cat(
    repository: Repository,
    path: Inside,
    /,
    *,
    ref: str | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Print a file of a repository, or write it to a file; with --json, in base64.

    Parameters
    ----------
    repository
        The repository.
    path
        The file in it.
    ref
        Branch, tag or commit; else the default branch.
    output
        Write it here, as it is.
    """
    asked = {"path": path} | ({"ref": ref} if ref is not None else {})
    return run(_cat(options, _url(repository), path, asked, output))


def put(
    repository: Repository,
    path: Inside,
    file: Annotated[Path, Parameter(name="FILE", allow_leading_hyphen=True)],
    /,
    *,
    message: Annotated[str | None, Parameter(name=["--message", "-m"])] = None,
    branch: str = "",
    create_from: str = "",
    sha: str = "",
    options: Options = NO_OPTIONS,
) -> int:
    """Write a file of a repository, with a commit; the same content again makes none.

    Parameters
    ----------
    repository
        The repository.
    path
        The file in it.
    file
        Where the content is; - reads it from standard input.
    message
        Of the commit.
    branch
        Where it is written; else the default branch.
    create_from
        Make the branch here if it is not there: a branch, tag or commit, HEAD for the default
        branch.
    sha
        Write only if this is what is there, as `ls` and `cat --json` show it.
    """
    content = _content(file)
    wanted = {
        "content": base64.b64encode(content).decode(),
        "message": f"Update {path}" if message is None else message,
        "branch": branch,
        "create_from": create_from,
        "sha": sha,
    }
    return run(_put(options, f"{_url(repository)}/file", path, wanted))


def branches(
    repository: Repository, /, *, pages: Pages = ONE_PAGE, options: Options = NO_OPTIONS
) -> int:
    """List the branches of a repository, each with its newest commit.

    Parameters
    ----------
    repository
        The repository.
    """
    url = f"{_url(repository)}/branches"
    return run(_listed(options, url, {}, pages, render.branches))


def _url(repository: str) -> str:
    if not _REPO.fullmatch(repository) or repository.endswith(("/.", "/..")):
        raise CliError(
            Exit.USAGE,
            f"{repository[:200]!r} is no repository.",
            "Write OWNER/NAME, see `metamcp github repos`.",
        )
    return f"/api/github/repos/{repository}"


def _content(file: Path) -> bytes:
    try:
        if str(file) == STDIN:
            data = sys.stdin.buffer.read(MOST_PUT + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MOST_PUT + 1)
    except OSError as error:
        raise CliError(Exit.USAGE, f"{file} can't be read: {error.strerror}.") from None
    if len(data) > MOST_PUT:
        text = f"{file} has more than {MOST_PUT} bytes, which is the most that is written."
        raise CliError(Exit.USAGE, text, "Push it with git.")
    return data


async def _user(options: Options) -> int:
    async with Api(find_target(options), within_s=GITHUB_S) as api:
        found = await api.get("/api/github/user")
    options.out.show(found, render.person(found))
    return Exit.OK


async def _create(options: Options, wanted: dict[str, Any]) -> int:
    async with Api(find_target(options), within_s=GITHUB_S) as api:
        made = await api.post("/api/github/repos", wanted)
    line = Text(plain(f"{made['full_name']} is made: {made['url']}", 300))
    options.out.show(made, line, soft_wrap=True)
    return Exit.OK


async def _listed(
    options: Options, url: str, asked: dict[str, Any], pages: Pages, rendered: Rendered
) -> int:
    out = options.out
    asked |= {"limit": pages.limit or (BIG_PAGE if pages.every else PAGE)}
    async with Api(find_target(options), within_s=GITHUB_S) as api:
        found, following = await api.page(url, **asked, cursor=pages.cursor)
        while pages.every and following is not None and len(found) < MOST:
            more, following = await api.page(url, **asked, cursor=following)
            found += more
    if out.as_json:
        out.line({"found": found, "next_cursor": following})
    else:
        out.console.print(rendered(found))
        if following is not None:
            out.note(f"more: --limit {asked['limit']} --cursor {following}")
    return Exit.OK


async def _cat(
    options: Options, url: str, path: str, asked: dict[str, str], output: Path | None
) -> int:
    out = options.out
    async with Api(find_target(options), within_s=GITHUB_S) as api:
        if out.as_json and output is None:
            out.line(await api.get(f"{url}/file", **asked))
            return Exit.OK
        raw = f"{url}/file?{urlencode(asked | {'raw': 'true'})}"
        if output is not None and str(output) != STDIN:
            await _to_file(api, out, raw, path, output)
            return Exit.OK
        if output is None and sys.stdout.isatty():
            screen = ToTerminal()
            await download(api, raw, screen, lambda at, size: None)
            screen.finish()
        else:
            with bar(out, plain(path, 40), shown=not sys.stdout.isatty()) as moved:
                await download(api, raw, ToStream(sys.stdout.buffer), moved)
    sys.stdout.flush()
    return Exit.OK


async def _to_file(api: Api, out: Out, raw: str, path: str, output: Path) -> None:
    try:
        with contextlib.closing(ToFile(output)) as sink, bar(out, plain(path, 40)) as moved:
            await download(api, raw, sink, moved)
            sink.finish()
    except OSError as error:
        raise CliError(Exit.FAILED, f"{output} can't be written: {error.strerror}.") from None
    if out.as_json:
        out.line({"path": path, "file": str(output), "size": sink.at, "sha256": sink.sha256()})
    else:
        out.note(f"{sink.at} bytes written to {output}")


async def _put(options: Options, url: str, path: str, wanted: dict[str, Any]) -> int:
    body = msgspec.json.encode(wanted)
    async with Api(find_target(options), within_s=GITHUB_S) as api:
        with bar(options.out, f"sending {plain(path, 40)}") as moved:

            async def parts() -> AsyncIterator[bytes]:
                for at in range(0, len(body), PART):
                    yield body[at : at + PART]
                    moved(min(at + PART, len(body)), len(body))

            raw = f"{url}?{urlencode({'path': path})}"
            found = await api.put_parts(raw, parts(), len(body), "application/json")
    options.out.show(found, render.written(found), soft_wrap=True)
    return Exit.OK


class ToTerminal(ToStream):
    """Shows text to people: what would play with the terminal is shown as escapes."""

    def __init__(self) -> None:
        super().__init__(sys.stdout.buffer)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._last = "\n"

    def write(self, data: bytes) -> None:
        """Show what follows. Raises CliError for what is no text."""
        if b"\0" in data:
            raise CliError(
                Exit.USAGE, "The file is no text.", "Write it to a file with -o FILE, or pipe it."
            )
        self._show(self._text.decode(data))
        self._count(data)

    def finish(self) -> None:
        """End the last line."""
        self._show(self._text.decode(b"", final=True))
        if self._last != "\n":
            self._show("\n")

    def _show(self, text: str) -> None:
        self._last = text[-1:] or self._last
        lines = "\n".join(map(visible, text.split("\n")))
        self._stream.write(lines.encode())
