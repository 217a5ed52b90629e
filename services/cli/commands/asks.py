"""Commands about what tasks ask of people: asks, answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, printable, run
from services.cli.input import check_ids, read_input
from services.cli.show import asks as render

PATH = "/api/asks"
PAGE = 500
EXAMPLE = "metamcp answer TASK --accept, or metamcp answer TASK --decline --reason 'not today'"


@Parameter(name="*")
@dataclass(frozen=True)
class AnswerGiven:
    """What the answer is."""

    accept: bool = False
    """Yes; implied by fields and by --content."""
    decline: bool = False
    """No: a task that waits for approval is rejected; a host that has asked is told."""
    cancel: bool = False
    """Neither: a task that waits for approval is cancelled; a host that has asked is told."""
    reason: str = ""
    """With --decline or --cancel: why."""
    content: str | None = None
    """With --accept: the answer as a JSON object, a file with it, or - for standard input."""

    def action(self, fields: Sequence[str]) -> str | None:
        """The one that was chosen; None: none was. Raises CliError."""
        given = self.content is not None or bool(fields)
        chosen = [name for name in ("accept", "decline", "cancel") if getattr(self, name)]
        if given and "accept" not in chosen:
            chosen.append("accept")
        if len(chosen) > 1:
            text = f"{' and '.join(chosen)} are answers that exclude each other."
            raise CliError(Exit.USAGE, text, EXAMPLE)
        if self.content is not None and fields:
            raise CliError(Exit.USAGE, "There is both --content and FIELD=VALUE.", EXAMPLE)
        if self.reason and chosen == ["accept"]:
            raise CliError(Exit.USAGE, "--reason goes with --decline or --cancel.", EXAMPLE)
        return chosen[0] if chosen else None


NOTHING = AnswerGiven()


def asks(*, limit: int = 50, cursor: int | None = None, options: Options = NO_OPTIONS) -> int:
    """List the questions that wait for you: of your own tasks, and what you may allow others.

    Parameters
    ----------
    limit
        At most so many.
    cursor
        Go on after a page, with the cursor it printed.
    """
    return run(_asks(options, limit, cursor))


async def _asks(options: Options, limit: int, cursor: int | None) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        found, following = await api.page(PATH, limit=limit, cursor=cursor)
    out.show({"asks": found, "next_cursor": following}, render.table(found))
    if following is not None and not out.as_json:
        out.note(f"more: metamcp asks --cursor {following}")
    return Exit.OK


def answer(
    task: Annotated[str, Parameter(name="TASK")],
    fields: Annotated[tuple[str, ...], Parameter(name="FIELD=VALUE")] = (),
    /,
    *,
    said: AnswerGiven = NOTHING,
    user: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Answer what a task asks: yes, no, or what is wanted; at a terminal you are asked.

    Parameters
    ----------
    task
        The task's id, see `metamcp asks`.
    fields
        Fields of the answer; what is no text by the question's schema is JSON.
    user
        Whose task it is, if several users have one of this id.
    """
    check_ids(task=task, user=user)
    action = said.action(fields)
    if action is None and not sys.stdin.isatty():
        raise CliError(Exit.USAGE, "There is no answer, and no terminal to ask at.", EXAMPLE)
    return run(_answer(options, task, user, said, fields, action))


async def _answer(
    options: Options,
    task: str,
    user: str | None,
    said: AnswerGiven,
    fields: Sequence[str],
    action: str | None,
) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        one = await _find(api, task, user)
        question = one["question"]
        schema = question.get("schema", {})
        body: dict[str, Any] = {"q": question["q"], "reason": said.reason}
        if action is None:
            body["action"], body["content"] = _asked(out, one)
        elif said.content is not None:
            body |= {"action": action, "content": read_input(said.content)}
        else:
            content = _content(fields, schema) if action == "accept" else {}
            body |= {"action": action, "content": content}
        whose = {"user": one["user"]}
        answer = await api.post(f"/api/tasks/{task}/answer", body, **whose)
    out.show(answer, Text(f"{task}: {answer['action']}"))
    return Exit.OK


async def _find(api: Api, task: str, user: str | None) -> Mapping[str, Any]:
    """The question of a task. Raises CliError."""
    cursor: int | None = None
    while True:
        found, cursor = await api.page(PATH, limit=PAGE, cursor=cursor)
        for one in found:
            if one["task"] == task and user in (None, one["user"]):
                return one  # type: ignore[no-any-return]
        if cursor is None:
            text = f"Task {task} waits for no answer of yours."
            raise CliError(Exit.REFUSED, text, "`metamcp asks` lists what does.")


def _content(fields: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The answer that FIELD=VALUE make up, and what else has a default. Raises CliError."""
    content: dict[str, Any] = {}
    every = schema.get("properties")
    for field in every if isinstance(every, Mapping) else ():
        if "default" in (found := _field(schema, field)):
            content[field] = found["default"]
    for text in fields:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CliError(Exit.USAGE, f"{text!r} is no FIELD=VALUE.", "For example: city=Ulm")
        content[name] = _value(value, _field(schema, name))
    return content


def _field(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    fields = schema.get("properties")
    found = fields.get(name) if isinstance(fields, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _value(text: str, field: Mapping[str, Any]) -> Any:
    """A value as its schema wants it: text as it is, all else as JSON, if it is any."""
    if field.get("type", "string") == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _asked(out: Out, one: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Ask at the terminal: what to answer, and each field. Raises CliError."""
    out.errors.print(render.ask(one))
    words = {"y": "accept", "n": "decline", "c": "cancel"}
    word = words.get(_line("answer: y (yes), n (no), c (cancel)? ").strip().lower()[:1])
    if word is None:
        raise CliError(Exit.USAGE, "That was neither y, n nor c: nothing was answered.", EXAMPLE)
    content: dict[str, Any] = {}
    schema = one["question"].get("schema", {})
    fields = schema.get("properties") if word == "accept" else None
    for name in fields if isinstance(fields, Mapping) else ():
        field = _field(schema, name)
        about = field.get("description") or field.get("title") or field.get("type") or ""
        usual = [found] if (found := field.get("default")) is not None else []
        shown = f" {printable(msgspec.json.encode(usual).decode())}" if usual else ""
        if text := _line(f"{printable(str(name))} ({printable(str(about))}){shown}: "):
            content[name] = _value(text, field)
        elif usual:
            content[name] = usual[0]
    return word, content


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().rstrip("\r\n")
