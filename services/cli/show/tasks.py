"""How facts, tasks, hosts and results look to people. Pure: values in, things rich can print out.

Whatever comes from outside goes through `plain` or a Text, never into console markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Group, RenderableType
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from contracts import facts
from contracts.facts import Outcome, Record
from contracts.route import OF_ANOTHER
from contracts.subjects import parse
from services.cli.show import asks
from services.cli.show.fitted import Column, FittedTable

if TYPE_CHECKING:
    # It checks signatures, and with it comes all of cryptography.
    from services.audit.checks import Check

SHOWN = 160
"""Characters of a message that fit into a table."""
_STATUS_STYLE = {
    "succeeded": "green",
    "healthy": "green",
    "running": "cyan",
    "queued": "yellow",
    "input_required": "bold yellow",
    "warning": "yellow",
    "pending": "dim",
    "unknown": "dim",
    "failed": "red",
    "unhealthy": "red",
    "timed_out": "red",
    "rejected": "red",
    "cancelled": "magenta",
}
_FACT_STYLE = {
    "task.created": "bold",
    "task.cancelled": "magenta",
    "task.routed": "yellow",
    "job.signed": "cyan",
    "job.failed": "red",
    "job.done": "bold green",
}


def plain(value: object, limit: int = SHOWN) -> str:
    """Text that is safe on a terminal: one line, no control characters, cut at `limit`."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(plain(word), style=_STATUS_STYLE.get(word, ""))


def clock(at: float) -> str:
    """Log time as local time of day, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def since(before: float | None, at: float) -> str:
    """Milliseconds from one fact to the next."""
    return "" if before is None else f"+{(at - before) * 1000:,.1f} ms"


def describe(record: Record) -> str:
    """What a fact says, in one line."""
    fact = record.fact
    match fact:
        case facts.TaskCreated():
            text = f"{fact.spec.type}, {fact.spec.priority} priority, for {fact.user}"
            text += f", asked for by {fact.asked_by}" if fact.asked_by else ""
            text += f"; can't be understood: {fact.invalid}" if fact.invalid else ""
        case facts.TaskCancelled():
            text = "cancel was asked for"
        case facts.TaskRouted():
            text = f"attempt {fact.attempt} goes to {fact.route.host}{_score(fact)}"
        case facts.JobSigned():
            text = f"{fact.executor} holds a permit for {fact.host}"
        case facts.JobFailed():
            text = f"attempt {fact.attempt} on {fact.host}: {failure(fact)}"
        case facts.JobDone():
            text = _ending(fact)
        case facts.ResultStored():
            text = f"{fact.pointer.size} bytes at {fact.pointer.uri}"
        case _:
            text = _describe_other(record)
    return plain(text)


def _describe_other(record: Record) -> str:
    fact = record.fact
    match fact:
        case facts.ResultDeleted():
            return fact.reason
        case facts.McpRegistered():
            return f"{fact.host} with {len(fact.spec.tools)} tools, {fact.spec.server}"
        case facts.McpRemoved():
            return f"{fact.host} {fact.reason}"
        case facts.McpHealth():
            why = f"{fact.reason}; it wrote: {fact.said}" if fact.said else fact.reason
            return f"{fact.host} is {fact.status} ({fact.latency_ms:.0f} ms) {why}"
        case facts.McpPreferred():
            if fact.weight is None:
                return f"{fact.user} takes back the preference for {fact.host}"
            return f"{fact.user} gives {fact.host} {fact.weight}"
        case facts.TaskTagged():
            return f"{fact.tagged_by}: {tags_line(fact.tags)}"
        case facts.TaskAsked() | facts.TaskAnswered():
            return asks.said(fact)
        case facts.OperationStarted():
            return f"{fact.action} {fact.total} tasks, part {fact.k} of {fact.parts}"
        case facts.OperationStepped():
            return f"part {fact.k}: {fact.done} done, {fact.failed} failed"
        case facts.Unknown():
            return f"can't be read by this release: {fact.why}"
        case _:
            return parse(record.subject).last


def _score(fact: facts.TaskRouted) -> str:
    score = next((c.score for c in fact.route.candidates if c.host == fact.route.host), None)
    of = len(fact.route.candidates)
    return "" if score is None else f" (score {score:.3f}, {of} candidate{'s' * (of != 1)})"


def failure(fact: facts.JobFailed) -> str:
    """How an attempt failed, and whether an answer was kept."""
    kept = f", answer of {fact.result.size} bytes" if fact.result is not None else ""
    return f"{fact.kind}{kept}: {fact.message}"


def _ending(fact: facts.JobDone) -> str:
    text = str(fact.outcome) + (
        f", given again from {given_from(fact.from_)}" if fact.from_ else ""
    )
    if fact.host:
        text += f" on {fact.host}"
    if fact.elapsed_ms:
        text += f", the call took {fact.elapsed_ms:,.1f} ms"
    if fact.result is not None:
        text += f", result of {fact.result.size} bytes"
    if fact.error is not None:
        text += f": {fact.error.code}: {fact.error.message}"
    return text


def given_from(from_: str) -> str:
    """Whose result was given again, in words."""
    return "a task of another user" if from_ == OF_ANOTHER else from_


def fact_style(record: Record) -> str:
    """The colour of a fact."""
    if isinstance(record.fact, facts.JobDone) and record.fact.outcome is not Outcome.SUCCEEDED:
        return "bold red"
    return _FACT_STYLE.get(parse(record.subject).type, "dim")


def fact_line(record: Record, before: float | None, *, task: bool = True) -> Text:
    """A fact as one line: time, distance from the one before, type, task, what it says."""
    parsed = parse(record.subject)
    line = Text(no_wrap=False)
    line.append(f"{clock(record.at)} ", style="dim")
    line.append(f"{since(before, record.at):>14}  ", style="dim")
    line.append(f"{parsed.type:<15}", style=fact_style(record))
    if task and parsed.task:
        line.append(f" {parsed.task}", style="blue")
    line.append(f"  {describe(record)}")
    return line


def timeline(records: Sequence[Record]) -> FittedTable:
    """All facts of a task with the time between them."""
    table = FittedTable(
        Column("seq", right=True, drop=2),
        Column("time", drop=1),
        Column("since", right=True, drop=3),
        Column("fact"),
        Column("what", least=20),
    )
    before: float | None = None
    for record in records:
        kind = Text(parse(record.subject).type, style=fact_style(record))
        times = (str(record.seq), clock(record.at), since(before, record.at))
        table.add(*(Text(part, style="dim") for part in times), kind, describe(record))
        before = record.at
    return table


def task_head(view: Mapping[str, Any]) -> Text:
    """A task's name, status and host in one line."""
    line = Text()
    line.append(f"{plain(view.get('id', ''))} ", style="bold")
    line.append(f"{plain(view.get('type', ''))} ")
    line.append_text(status(str(view.get("status", ""))))
    if view.get("host"):
        line.append(f" on {plain(view['host'])}")
    for word, name in (("asked for by", "asked_by"), ("in project", "project")):
        if view.get(name):
            line.append(f"\n{word} ", style="dim").append(plain(view[name]))
    for word, name in (("repeats", "again"), ("in batch", "batch")):
        if view.get(name):
            line.append(f"\n{word} ", style="dim").append(plain(view[name]))
    if view.get("tags"):
        line.append("\n").append_text(tags_line(view["tags"]))
    if view.get("from"):
        line.append("\ngiven again from ", style="dim").append(plain(given_from(view["from"])))
    if view.get("waiting"):
        line.append("\nwaiting: ", style="yellow").append(plain(view["waiting"], 2000))
    error = view.get("error") or view.get("last_failure")
    if error:
        line.append(f"\n{plain(error.get('code', ''))}: ", style="red")
        line.append(plain(error.get("message", ""), 2000))
    return line


def tags_line(tags: Mapping[str, str]) -> Text:
    """Tags of a task in one line."""
    told = ", ".join(f"{plain(key)}={plain(value)}" for key, value in tags.items())
    return Text("tags ", style="dim").append(told or "none", style="not dim")


def counts(counted: Mapping[str, Any]) -> Text:
    """How many tasks there are, by status."""
    line = Text(f"{counted['total']:,}{' or more' if counted['more'] else ''}", style="bold")
    for word, count in counted["by_status"].items():
        line.append(f"\n{count:>9,}  ").append_text(status(word))
    return line


def tasks(views: Iterable[Mapping[str, Any]], *, user: bool = False) -> FittedTable:
    """A list of tasks; `user`: of several users, so that it says whose each is."""
    table = FittedTable(
        Column("task"),
        *([Column("user")] if user else []),
        Column("type"),
        Column("status"),
        Column("host", drop=1),
        Column("attempt", drop=4),
        Column("tags", drop=3),
        Column("created", drop=2),
    )
    for view in views:
        created = float(view.get("created_at", 0))
        table.add(
            plain(view.get("id", "")),
            *([plain(view.get("user", ""))] if user else []),
            plain(view.get("type", "")),
            status(str(view.get("status", ""))),
            plain(view.get("host", "")),
            str(view.get("attempt", 0) or ""),
            plain(", ".join(f"{k}={v}" if v else k for k, v in view.get("tags", {}).items()), 60),
            datetime.fromtimestamp(created, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        )
    return table


def checks(found: Iterable[Check]) -> Table:
    """The checks of an audit or of the doctor."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        mark = Text("ok", style="green") if check.ok else Text("FAILED", style="bold red")
        table.add_row(mark, Text(check.name, style="bold"), Text(plain(check.detail, 2000)))
    return table


def result(value: Any) -> RenderableType:
    """A result as an MCP host gave it: its kept outputs, else its content."""
    if isinstance(value, Mapping) and isinstance(value.get("outputs"), Mapping):
        parts: list[RenderableType] = []
        for name, output in value["outputs"].items():
            parts += [Text(f"\n{plain(name)}", style="bold"), _output(output)]
        return Group(*parts)
    return _output(value)


def unwrap(output: Any) -> Any:
    """What a tool answered: its structured value, else its text, read as JSON where it is JSON."""
    if not isinstance(output, Mapping) or "content" not in output:
        return output
    structured = output.get("structured")
    if structured is not None:
        alone = isinstance(structured, Mapping) and set(structured) == {"result"}
        return structured["result"] if alone else structured
    texts = [part.get("text", "") for part in output["content"] if part.get("type") == "text"]
    if len(texts) != len(output["content"]):
        return output["content"]
    try:
        return msgspec.json.decode("".join(texts))
    except msgspec.DecodeError:
        return "\n".join(texts)


def _output(output: Any) -> RenderableType:
    if isinstance(output, Mapping) and output.get("is_error") is True:
        return _refusal(output)
    value = unwrap(output)
    if isinstance(value, str):
        return _lines_of(value)
    for form in (_rows, _pairs):
        if (table := form(value)) is not None:
            return table
    return JSON(json.dumps(value, default=str))


def _lines_of(text: str) -> Text:
    return Text("".join(c if c.isprintable() or c == "\n" else " " for c in text))


def _refusal(output: Mapping[str, Any]) -> Group:
    """All that a tool has answered with an error: what it says, and what it holds besides."""
    parts: list[RenderableType] = []
    for item in output.get("content") or ():
        text = item.get("text") if isinstance(item, Mapping) else None
        parts.append(_lines_of(text) if isinstance(text, str) else JSON(json.dumps(item)))
    if output.get("structured") is not None:
        parts.append(JSON(json.dumps(output["structured"])))
    return Group(*parts)


def _pairs(value: Any) -> Table | None:
    """A flat mapping of names to plain values, or to lists of them."""
    if not isinstance(value, Mapping) or not value:
        return None
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, item in value.items():
        items = item if isinstance(item, list) else [item]
        if not all(isinstance(one, str | int | float | bool | None) for one in items):
            return None
        table.add_row(plain(name), plain(", ".join(map(_word, items)), 1000))
    return table


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rows(value: Any) -> Table | None:
    """Symbols as a table: a mapping of kind to a list of things with a name and a place."""
    if not isinstance(value, Mapping) or not value:
        return None
    if not all(isinstance(items, list) for items in value.values()):
        return None
    found = [(kind, item) for kind, items in value.items() for item in items]
    if not found or not all(isinstance(i, Mapping) and "name" in i for _, i in found):
        return None
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "name", "lines"):
        table.add_column(name)
    for kind, item in sorted(found, key=lambda pair: _lines(pair[1])):
        table.add_row(plain(kind), plain(item["name"], 80), _place(item))
    return table


def _place(item: Mapping[str, Any]) -> str:
    return "-".join(dict.fromkeys(map(str, _lines(item))))


def _lines(item: Mapping[str, Any]) -> tuple[int, ...]:
    """First and last line, counted from 1; empty if it doesn't say."""
    where = item.get("location")
    if not isinstance(where, Mapping):
        return ()
    ends = [where.get(name) for name in ("start", "end")]
    rows = [end.get("row") for end in ends if isinstance(end, Mapping)]
    return tuple(row + 1 for row in rows if isinstance(row, int))
