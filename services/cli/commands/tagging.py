"""The commands `tag` and `again`: change the tags of a task, and have one run once more."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from services.cli.answers import AS_USUAL, Shown
from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.follow import finish
from services.cli.input import check_ids, read_input, read_value
from services.cli.show.tasks import tags_line


def tags_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Tags written as KEY=VALUE. Raises CliError."""
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not key or not sign:
            raise CliError(Exit.USAGE, f"{pair!r} is no tag.", "Write KEY=VALUE, such as run=7.")
        found[key] = value
    return found


def tag(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *pairs: Annotated[str, Parameter(name="KEY=VALUE")],
    remove: tuple[str, ...] = (),
    options: Options = NO_OPTIONS,
) -> int:
    """Set tags of a task, also after its end; without any, show those that it has.

    Parameters
    ----------
    id_
        The task's id.
    pairs
        Tags that it is to have besides those that it has.
    remove
        The key of a tag that it is not to have any more; can be repeated.
    """
    check_ids(task=id_)
    return run(_tag(options, id_, tags_of(pairs), remove))


async def _tag(options: Options, task: str, new: dict[str, str], remove: tuple[str, ...]) -> int:
    async with Api(find_target(options)) as api:
        view = await api.get(f"/api/tasks/{task}")
        tags = {key: value for key, value in view.get("tags", {}).items() if key not in remove}
        tags |= new
        if new or remove:
            tags = (await api.put(f"/api/tasks/{task}/tags", {"tags": tags}))["tags"]
    options.out.show({"task": task, "tags": tags}, tags_line(tags))
    return Exit.OK


def again(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    input_: Annotated[str | None, Parameter(name="--input", allow_leading_hyphen=True)] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    new_id: Annotated[str | None, Parameter(name="--id")] = None,
    wait: bool = False,
    shown: Shown = AS_USUAL,
    options: Options = NO_OPTIONS,
) -> int:
    """Create a task like one of yours, with some fields another way.

    Parameters
    ----------
    id_
        The id of the task that is repeated.
    input_
        Another input: a JSON object, a file with one, or - for standard input.
    set_
        Another value of a field, FIELD=VALUE, such as host=git-mcp, fresh=true or timeout_s=60;
        null: as where nothing is said. Can be repeated.
    new_id
        The new task's id; the same again under it creates it once.
    wait
        Show it until it is over, print its result; the exit code is 0 only for success.
    """
    check_ids(task=id_, id=new_id)
    edits: dict[str, Any] = {}
    for pair in set_:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            hint = "Write FIELD=VALUE, such as host=git-mcp."
            raise CliError(Exit.USAGE, f"{pair!r} sets nothing.", hint)
        edits[name] = read_value(value)
    if input_ is not None:
        edits["input"] = read_input(input_)
    if new_id is not None:
        edits["id"] = new_id
    return run(_again(options, id_, edits, shown, wait=wait))


async def _again(
    options: Options, task: str, edits: dict[str, Any], shown: Shown, *, wait: bool
) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        view = await api.post(f"/api/tasks/{task}/again", edits)
        if wait:
            return await finish(api, out, str(view["id"]), shown)
    out.show({"task": view["id"], "again": task}, Text(str(view["id"])))
    return Exit.OK
