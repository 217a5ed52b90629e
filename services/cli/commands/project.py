"""Commands about projects: project (a list), and create, show, change, archive, members, add,
remove, tasks, results below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.projects import PATH, find_project
from services.cli.show import results as show_results
from services.cli.show import tasks as show_tasks
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

ProjectName = Annotated[str, Parameter(name="PROJECT", help="Its name or id.")]
UserName = Annotated[str, Parameter(name="USER", help="Who.")]
Cursor = Annotated[int | None, Parameter(help="Go on after a page, with the cursor it printed.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Ties:
    """What belongs to a project."""

    description: str | None = None
    """What it is about."""
    repository: str | None = None
    """OWNER/NAME of a repository at GitHub."""
    space: str | None = None
    """OWNER/NAME of a Space at Hugging Face."""
    dataset: str | None = None
    """OWNER/NAME of a Dataset there."""

    def body(self) -> dict[str, Any]:
        """What was said, as the API takes it."""
        return {name: value for name, value in vars(self).items() if value is not None}


NO_TIES = Ties()


def projects(
    *,
    archived: bool = False,
    limit: int = 50,
    cursor: Cursor = None,
    options: Options = NO_OPTIONS,
) -> int:
    """List the projects you are in, newest first.

    Parameters
    ----------
    archived
        Only those that are archived; without it only the others.
    limit
        How many to show.
    """
    return run(_list(options, archived=archived, limit=limit, cursor=cursor))


def create(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    ties: Ties = NO_TIES,
    options: Options = NO_OPTIONS,
) -> int:
    """Make a project, which you own.

    Parameters
    ----------
    name
        What it is called.
    """

    async def work(api: Api) -> int:
        made = await api.post(PATH, {"name": name} | ties.body())
        # Alone on stdout, as other commands take it.
        options.out.show(made, Text(made["id"]), soft_wrap=True)
        return Exit.OK

    return run(_with(options, work))


def show(project: ProjectName, /, *, options: Options = NO_OPTIONS) -> int:
    """Show one project: what belongs to it, its members and quotas."""

    async def work(api: Api) -> int:
        found = await api.get(f"{PATH}/{await find_project(api, project)}")
        options.out.show(found, _one(found))
        return Exit.OK

    return run(_with(options, work))


def change(
    project: ProjectName,
    /,
    *,
    name: str | None = None,
    ties: Ties = NO_TIES,
    quota: tuple[str, ...] = (),
    reopen: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Change a project that you own; what is not named stays.

    Parameters
    ----------
    name
        What it is called from now on.
    quota
        A quota such as open_tasks=100 or tasks_a_day=500, and open_tasks= to have none; can be
        repeated.
    reopen
        It is archived no more.
    """
    quotas = dict(_quota(text) for text in quota)
    wanted = ties.body() | ({"name": name} if name is not None else {})
    wanted |= {"archived": False} if reopen else {}
    if not wanted and not quotas:
        raise CliError(Exit.USAGE, "There is nothing to change.", "See metamcp project change -h")

    async def work(api: Api) -> int:
        path = f"{PATH}/{await find_project(api, project)}"
        if quotas:
            limits = (await api.get(path))["limits"] | quotas
            wanted["limits"] = {name: most for name, most in limits.items() if most is not None}
        changed = await api.patch(path, wanted)
        options.out.show(changed, _one(changed))
        return Exit.OK

    return run(_with(options, work))


def archive(project: ProjectName, /, *, options: Options = NO_OPTIONS) -> int:
    """Let a project take no more tasks; what was done in it stays to be seen."""

    async def work(api: Api) -> int:
        changed = await api.post(f"{PATH}/{await find_project(api, project)}/archive")
        options.out.show(changed, Text(f"{plain(changed['name'])} is archived"))
        return Exit.OK

    return run(_with(options, work))


def members(project: ProjectName, /, *, options: Options = NO_OPTIONS) -> int:
    """List who is in a project."""

    async def work(api: Api) -> int:
        found = await api.get(f"{PATH}/{await find_project(api, project)}/members")
        options.out.show(found, _members(found))
        return Exit.OK

    return run(_with(options, work))


def add(
    project: ProjectName,
    user: UserName,
    /,
    *,
    role: Literal["owner", "editor", "viewer"] = "viewer",
    options: Options = NO_OPTIONS,
) -> int:
    """Take somebody into a project, or give them another role.

    Parameters
    ----------
    role
        viewer sees tasks and results, editor submits besides, owner changes the project.
    """
    check_ids(user=user)

    async def work(api: Api) -> int:
        path = f"{PATH}/{await find_project(api, project)}/members/{user}"
        changed = await api.put(path, {"role": role})
        options.out.show(changed, Text(f"{user} is {role} of {plain(changed['name'])}"))
        return Exit.OK

    return run(_with(options, work))


def remove(project: ProjectName, user: UserName, /, *, options: Options = NO_OPTIONS) -> int:
    """Put somebody out of a project, or leave it; their own tasks stay theirs."""
    check_ids(user=user)

    async def work(api: Api) -> int:
        left = await api.delete(f"{PATH}/{await find_project(api, project)}/members/{user}")
        options.out.show(left, Text(f"{user} is not in {plain(project)} any more"))
        return Exit.OK

    return run(_with(options, work))


def tasks(
    project: ProjectName,
    /,
    *,
    status: str | None = None,
    type_: Annotated[str | None, Parameter(name="--type")] = None,
    limit: int = 50,
    cursor: Cursor = None,
    options: Options = NO_OPTIONS,
) -> int:
    """List the tasks of a project, newest first, whoever sent them.

    Parameters
    ----------
    status
        Only those with this status.
    type_
        Only those of this task type.
    limit
        How many to show.
    """

    async def work(api: Api) -> int:
        path = f"{PATH}/{await find_project(api, project)}/tasks"
        given = {"status": status, "type": type_, "limit": limit, "cursor": cursor}
        found, following = await api.page(path, **given)
        answer = {"tasks": found, "next_cursor": following}
        rows = show_tasks.tasks(found, user=True) if found else Text("no tasks", style="dim")
        options.out.show(answer, rows)
        _more(options, f"tasks {project}", following)
        return Exit.OK

    return run(_with(options, work))


def results(
    project: ProjectName,
    /,
    *,
    limit: int = 50,
    cursor: Cursor = None,
    options: Options = NO_OPTIONS,
) -> int:
    """List the results of a project's tasks, the newest task first.

    Parameters
    ----------
    limit
        Of how many tasks that are over, at most 100.
    """

    async def work(api: Api) -> int:
        path = f"{PATH}/{await find_project(api, project)}/results"
        found, following = await api.page(path, limit=limit, cursor=cursor)
        answer = {"results": found, "next_cursor": following}
        rows = show_results.of_users(found) if found else Text("no results", style="dim")
        options.out.show(answer, rows)
        _more(options, f"results {project}", following)
        return Exit.OK

    return run(_with(options, work))


async def _with(options: Options, work: Callable[[Api], Awaitable[int]]) -> int:
    async with Api(find_target(options)) as api:
        return await work(api)


async def _list(options: Options, **params: Any) -> int:
    async with Api(find_target(options)) as api:
        found, following = await api.page(PATH, **params)
    answer = {"projects": found, "next_cursor": following}
    options.out.show(answer, _table(found))
    _more(options, "list", following)
    return Exit.OK


def _more(options: Options, command: str, following: int | None) -> None:
    if following is not None and not options.out.as_json:
        options.out.note(f"more: metamcp project {command} --cursor {following}")


def _quota(text: str) -> tuple[str, int | None]:
    name, equals, most = text.partition("=")
    if not name or not equals or (most and not most.isdecimal()):
        example = "Write it like --quota tasks_a_day=500"
        raise CliError(Exit.USAGE, f"{plain(text)} is no quota.", example)
    return name, int(most) if most else None


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("no projects: see metamcp project create NAME", style="dim")
    table = FittedTable(
        Column("id"),
        Column("name", least=8),
        Column("repository", drop=1),
        Column("members", right=True, drop=3),
        Column("created", drop=2),
    )
    for entry in found:
        table.add(
            plain(entry["id"]),
            plain(entry["name"]),
            plain(entry["repository"]),
            str(len(entry["members"])),
            _day(entry["created"]),
            style="dim" if entry["archived"] else "",
        )
    return table


def _members(found: Sequence[Any]) -> RenderableType:
    table = FittedTable(Column("user"), Column("role"))
    for entry in found:
        table.add(plain(entry["user"]), plain(entry["role"]))
    return table


def _one(found: Any) -> RenderableType:
    table = FittedTable(Column(""), Column("", least=12), header=False)
    limits = found["limits"]
    used = {"open_tasks": found["open_tasks"], "tasks_a_day": found["tasks_today"]}
    rows = {
        "name": found["name"] + (" (archived)" if found["archived"] else ""),
        "id": found["id"],
        "about": found["description"],
        "repository": found["repository"],
        "space": found["space"],
        "dataset": found["dataset"],
        "created": _day(found["created"]),
        **{
            f"{role}s": ", ".join(one["user"] for one in found["members"] if one["role"] == role)
            for role in ("owner", "editor", "viewer")
        },
        **{
            name: f"{count}" + (f" of {limits[name]}" if name in limits else "")
            for name, count in used.items()
        },
    }
    for name, value in rows.items():
        if value:
            table.add(name, plain(value, 2000))
    return table


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
