"""How questions and answers look to people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from contracts.facts import TaskAnswered, TaskAsked
from services.cli.show.fitted import Column, FittedTable
from services.process.visible import visible


def said(fact: TaskAsked | TaskAnswered) -> str:
    """What was asked or answered, in one line."""
    if isinstance(fact, TaskAsked):
        return f"question {fact.q}: {fact.message} (metamcp answer {fact.task})"
    why = f": {fact.reason}" if fact.reason else ""
    return f"question {fact.q}: {fact.action} by {fact.answered_by}{why}"


def table(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What waits for an answer."""
    if not found:
        return Text("nothing waits for an answer of yours", style="dim")
    shown = FittedTable(
        Column("task"),
        Column("user", least=8, drop=2),
        Column("question", least=20),
        Column("until", least=10, drop=1),
    )
    for one in found:
        question = one["question"]
        until = _when(question["expires"])
        shown.add(visible(one["task"]), visible(one["user"]), visible(question["message"]), until)
    return shown


def ask(one: Mapping[str, Any]) -> RenderableType:
    """One question, with all that an answer needs."""
    question = one["question"]
    lines = [Text(visible(question["message"]), style="bold")]
    about = {
        "task": one["task"],
        "user": one["user"],
        "asked for by": one.get("asked_by", ""),
        "host": question.get("host", ""),
        "tool": question.get("tool", ""),
        "input": _input(one),
        "until": _when(question["expires"]),
    }
    lines += [Text(f"  {name}: {visible(str(value))}") for name, value in about.items() if value]
    return Group(*lines)


def _input(one: Mapping[str, Any]) -> str:
    text, whole = str(one.get("input", "")), int(one.get("input_chars", 0))
    more = f" … (cut: it has {whole:,} characters, see `metamcp task`)"
    return text + more if whole > len(text) else text


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
