"""How hosts, task types and findings of the doctor look to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain, status

State = Literal["ok", "failed", "off"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing the doctor looked at."""

    name: str
    state: State
    """`off`: not there, and that may be right."""
    detail: str
    hint: str = ""
    """How to get it."""


def hosts(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """All hosts with their health."""
    if not found:
        return Text("no hosts yet: the registry may still be starting them", style="dim")
    table = FittedTable(
        Column("host"),
        Column("health"),
        Column("ms", right=True, drop=2),
        Column("tools", right=True, drop=3),
        Column("slots", right=True, drop=4),
        Column("sessions", drop=5),
        Column("task types", least=20, drop=1),
        Column("reason", least=14),
    )
    for entry in found:
        health = entry.get("health", {})
        table.add(
            Text(plain(entry["id"]), style="bold" if entry.get("enabled", True) else "dim strike"),
            status(str(health.get("status", "unknown"))),
            f"{health.get('latency_ms', 0):.0f}",
            str(len(entry.get("tools", ()))),
            str(entry.get("limits", {}).get("max_concurrency", 4)),
            _sessions(entry),
            plain(", ".join(entry.get("task_types", {}))),
            plain(_reason(health)),
        )
    return table


def _reason(health: Mapping[str, Any]) -> str:
    """Why a host is as it is; of one nobody has heard of yet, what it may be busy with."""
    if reason := str(health.get("reason", "")):
        said = health.get("said", "")
        return f"{reason}; it wrote: {said}" if said else reason
    starting = health.get("status", "unknown") == "unknown"
    return "starting: no answer yet; the first start of some installs them" if starting else ""


def host(entry: Mapping[str, Any]) -> RenderableType:
    """One host with its tools."""
    health = entry.get("health", {})
    head = Text(plain(entry["id"]), style="bold")
    head.append(f"  {plain(entry.get('name', ''))}  ", style="")
    head.append_text(status(str(health.get("status", "unknown"))))
    head.append(f"  {plain(_reason(health), 1000)}", style="dim")
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(entry):
        facts.add_row(name, value)
    tools = FittedTable(
        Column("tool"), Column("what it does", least=20, drop=1), Column("read only", drop=2)
    )
    for tool in entry.get("tools", ()):
        first = str(tool.get("description", "")).strip().partition("\n")[0]
        read_only = {True: "yes", False: "no"}.get(tool.get("read_only"), "")
        tools.add(Text(plain(tool["name"]), style="cyan"), plain(first, 100), read_only)
    return Group(head, facts, Text(), tools)


def _facts(entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    endpoint = entry.get("endpoint", {})
    where = endpoint.get("url") or " ".join(
        [endpoint.get("command", ""), *endpoint.get("args", ())]
    )
    yield "endpoint", plain(f"{endpoint.get('kind', '')} {where}".strip(), 300)
    if entry.get("server"):
        protocol = entry.get("protocol", "")
        yield "server", plain(entry["server"] + (f", MCP {protocol}" if protocol else ""))
    if entry.get("owner"):
        yield "owner", plain(entry["owner"])
    if entry.get("source", "manifest") != "manifest":
        yield "from", plain(entry["source"])
    if sessions := _sessions(entry):
        yield "sessions", f"{sessions}: {_SHARING.get(sessions, '')}"
    yield "probe", _probe(entry)
    for name in entry.get("task_types", {}):
        yield "task type", plain(name)
    for capability in entry.get("capabilities", ()):
        version = capability.get("version", "1.0.0")
        parameters = ", ".join(capability.get("parameters", ()))
        yield "capability", plain(f"{capability['name']} {version} {parameters}")


_SHARING = {
    "shared": "all users' tasks are in the same ones",
    "user": "each user has one, and no other user's task is in it",
    "task": "each attempt has one, which ends with it",
}


def _sessions(entry: Mapping[str, Any]) -> str:
    """Who shares sessions; empty for a host that has none."""
    has = entry.get("endpoint", {}).get("kind") in ("stdio", "http")
    return plain(entry.get("sessions", "user")) if has else ""


def _probe(entry: Mapping[str, Any]) -> str:
    """What a probe of this host proves."""
    if entry.get("endpoint", {}).get("kind") == "execute":
        return "asks for /health"
    if entry.get("endpoint", {}).get("kind") == "openapi":
        tool = entry.get("probe", {}).get("tool")
        return f"reads its document and calls {plain(tool) if tool else 'its base URL'}"
    if tool := entry.get("probe", {}).get("tool"):
        return f"lists its tools and calls {plain(tool)}"
    return "lists its tools only: a `probe` with a cheap call of a tool would also show broken ones"


def logs(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What a host has written on stderr; of several executors, one after the other."""
    text = Text()
    for log in found:
        if len(found) > 1:
            text.append(f"on {plain(log['instance'])}:\n", style="bold")
        for line in log["lines"]:
            shown = str(line).expandtabs()
            text.append(plain(shown, len(shown)), style="dim" if shown[:4] == "--- " else "")
            text.append("\n")
    text.rstrip()
    return text


def types(found: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Task types, each with a command that works."""
    parts: list[RenderableType] = []
    for name, entry in found.items():
        head = Text(plain(name), style="bold")
        head.append(f"  {plain(entry.get('summary', ''))}  ")
        for k, (id_, health) in enumerate(entry["hosts"].items()):
            head.append(", " if k else "on ", style="dim")
            head.append(plain(id_)).append(" (").append_text(status(health)).append(")")
        example = msgspec.json.encode(entry.get("example", {})).decode()
        quoted = "'" + example.replace("'", "'\\''") + "'"
        words = f"{plain(name)} {plain(quoted, len(quoted))}"
        command = Text(f"  metamcp submit {words} --wait", style="cyan")
        parts += [head, command, Text()]
    return Group(*parts[:-1])


def findings(found: Iterable[Finding]) -> RenderableType:
    """What the doctor found, and how to get what is missing."""
    table = Table(box=None, pad_edge=False, show_header=False)
    styles = {"ok": "green", "failed": "bold red", "off": "yellow"}
    for finding in found:
        detail = Text(plain(finding.detail, 500))
        if finding.hint and finding.state != "ok":
            detail.append(f"\n{plain(finding.hint, 500)}", style="cyan")
        mark = Text(finding.state, style=styles[finding.state])
        table.add_row(mark, Text(finding.name, style="bold"), detail)
    return table
