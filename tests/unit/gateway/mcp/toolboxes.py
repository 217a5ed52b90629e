"""700 tools of 50 hosts, named and described as such servers have them, and questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from contracts.host import Host, Stdio, Tool

FOLDER = Path(__file__).parent / "search"
_TOOL = re.compile(r"([\w-]+)\((.*?)\): (.+)")


def hosts() -> list[Host]:
    """Their lines: `# ID | NAME | INSTRUCTIONS`, and `TOOL(ARGUMENTS): DESCRIPTION` below."""
    text = "\n".join(path.read_text() for path in sorted(FOLDER.glob("hosts_*.txt")))
    return [host(part) for part in text.split("# ")[1:]]


def host(text: str) -> Host:
    head, *lines = text.strip().splitlines()
    id_, name, instructions = (part.strip() for part in head.split("|"))
    tools = tuple(tool(line) for line in lines if line.strip())
    return Host(id=id_, name=name, endpoint=Stdio("x"), instructions=instructions, tools=tools)


def tool(line: str) -> Tool:
    found = _TOOL.fullmatch(line)
    assert found, line
    named = filter(None, found[2].split(", "))
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in named}}
    return Tool(found[1], found[3], schema)


def questions() -> Iterator[tuple[str, set[tuple[str, str]]]]:
    """Each with the tools that are right answers."""
    for line in (FOLDER / "questions.txt").read_text().splitlines():
        question, _, answers = line.partition(" -> ")
        pairs = (answer.partition("/") for answer in answers.split())
        yield question, {(id_, name) for id_, _, name in pairs}
