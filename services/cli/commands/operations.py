"""Commands about operations: one wish about many tasks, by their ids or by a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from contracts.facts import OperationStepped, OperationStopped, Record
from services.cli.bar import count_bar
from services.cli.client import Api, find_target
from services.cli.commands.tagging import tags_of
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.input import check_ids
from services.cli.projects import find_project
from services.cli.show import bulk as render


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen:
    """Which tasks, where none is named."""

    status: tuple[str, ...] = ()
    """Those with this status; can be repeated."""
    type_: Annotated[str | None, Parameter(name="--type")] = None
    """Those of this task type."""
    host: str | None = None
    """Those of this host."""
    tag: tuple[str, ...] = ()
    """Those with this tag: KEY or KEY=VALUE; can be repeated."""
    text: str | None = None
    """Those with this in their type or id."""
    batch: str | None = None
    """Those of this batch."""
    project: str | None = None
    """Those in a project, by its name or id."""

    def filter(self) -> dict[str, Any]:
        """As the API takes it, without the project."""
        wanted = {
            "status": list(self.status) or None,
            "type": self.type_,
            "host": self.host,
            "tag": list(self.tag) or None,
            "text": self.text,
            "batch": self.batch,
        }
        return {name: value for name, value in wanted.items() if value is not None}


@Parameter(name="*")
@dataclass(frozen=True)
class Way:
    """How it is carried out."""

    id: str | None = None
    """The operation's id; sending it twice under one id does it once."""
    wait: bool = False
    """Wait for its end; the exit code is 0 only if nothing failed."""


ALL = Chosen()
NO_WAY = Way()


def operations(*, limit: int = 50, cursor: int | None = None, options: Options = NO_OPTIONS) -> int:
    """List what you have asked of many tasks at once, newest first.

    Parameters
    ----------
    limit
        How many to list.
    cursor
        Go on after a page, with the cursor it printed.
    """
    return run(_list(options, limit, cursor))


async def _list(options: Options, limit: int, cursor: int | None) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        found, following = await api.page("/api/operations", limit=limit, cursor=cursor)
    shown = render.operations(found) if found else Text("no operations", style="dim")
    out.show({"operations": found, "next_cursor": following}, shown)
    if following is not None and not out.as_json:
        out.note(f"more: metamcp operations --cursor {following}")
    return Exit.OK


def show(id_: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS) -> int:
    """Show how far an operation has got, and what failed.

    Parameters
    ----------
    id_
        The operation's id.
    """
    check_ids(operation=id_)
    return run(_show(options, id_))


async def _show(options: Options, id_: str) -> int:
    async with Api(find_target(options)) as api:
        view = await api.get(f"/api/operations/{id_}")
    options.out.show(view, render.operation(view))
    return Exit.OK


def stop(id_: Annotated[str, Parameter(name="ID")], /, *, options: Options = NO_OPTIONS) -> int:
    """Leave undone what an operation has not done yet.

    Parameters
    ----------
    id_
        The operation's id.
    """
    check_ids(operation=id_)
    return run(_stop(options, id_))


async def _stop(options: Options, id_: str) -> int:
    async with Api(find_target(options)) as api:
        answer = await api.post(f"/api/operations/{id_}/stop")
    options.out.show(answer, Text(f"it stops after the part that is under way: {id_}"))
    return Exit.OK


def cancel(
    *ids: Annotated[str, Parameter(name="ID")],
    chosen: Chosen = ALL,
    way: Way = NO_WAY,
    options: Options = NO_OPTIONS,
) -> int:
    """Ask to cancel many tasks: those named, or those that fit the filter and are not over.

    Parameters
    ----------
    ids
        The tasks.
    """
    return ask(options, {"action": "cancel"}, ids, chosen, way)


def again(
    *ids: Annotated[str, Parameter(name="ID")],
    chosen: Chosen = ALL,
    way: Way = NO_WAY,
    options: Options = NO_OPTIONS,
) -> int:
    """Run many tasks again as they were: those named, or those that fit the filter.

    Parameters
    ----------
    ids
        The tasks.
    """
    return ask(options, {"action": "again"}, ids, chosen, way)


def tag(
    *ids: Annotated[str, Parameter(name="ID")],
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    chosen: Chosen = ALL,
    way: Way = NO_WAY,
    options: Options = NO_OPTIONS,
) -> int:
    """Give many tasks these tags, in place of those that they have.

    Parameters
    ----------
    ids
        The tasks.
    set_
        A tag KEY=VALUE; can be repeated. Without any they have none then.
    """
    return ask(options, {"action": "tag", "tags": tags_of(set_)}, ids, chosen, way)


def ask(
    options: Options,
    wanted: dict[str, Any],
    ids: Sequence[str],
    chosen: Chosen = ALL,
    way: Way = NO_WAY,
) -> int:
    """Have something done with many tasks."""
    check_ids(operation=way.id)
    for id_ in ids:
        check_ids(task=id_)
    filter_ = chosen.filter()
    if bool(ids) == bool(filter_ or chosen.project):
        text = "Name tasks, or say which by a filter such as --type or --tag: one of the two."
        raise CliError(Exit.USAGE, text)
    body = wanted | ({"ids": list(ids)} if ids else {"filter": filter_})
    return run(_ask(options, body | ({"id": way.id} if way.id else {}), chosen.project, way))


async def _ask(options: Options, body: dict[str, Any], project: str | None, way: Way) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        if project is not None:
            body["filter"] |= {"project": await find_project(api, project)}
        view = await api.post("/api/operations", body)
        if not way.wait:
            out.show(view, render.operation(view))
            return Exit.OK
        out.note(f"operation {view['id']}")
        await _follow(api, out, view)
        view = await api.get(f"/api/operations/{view['id']}")
    out.show(view, render.operation(view))
    good = view["state"] == "done" and not view["failed"]
    return Exit.OK if good else Exit.FAILED


async def _follow(api: Api, out: Out, view: dict[str, Any]) -> None:
    """Wait until an operation is over."""
    from services.cli.stream import FactStream

    done, total = 0, int(view["total"])
    stream = FactStream(api.target, out.note)
    with count_bar(out, str(view["action"]), total) as moved:
        after = int(view["created_seq"]) - 1
        async for item in stream.follow("operations", after=after):
            if not isinstance(item, Record):
                continue
            fact = item.fact
            if isinstance(fact, OperationStopped) and fact.operation == view["id"]:
                return
            if isinstance(fact, OperationStepped) and fact.operation == view["id"]:
                done += fact.done + fact.failed
                moved(done)
            if done >= total:
                return
