"""The table of docs/mcp.md that says what works with which client: each test holds or writes a row.

WRITE_DOCS=1 has what was found written there in place of being compared.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.foreign.clients import ALL, Foreign

PAGE = Path(__file__).parents[3] / "docs" / "mcp.md"
BEGIN, END = "<!-- found by the tests: make clients -->", "<!-- end of what was found -->"
KEY = ("client", "version", "protocol")
COLUMNS = (
    *(
        "lists",
        "calls",
        "progress",
        "long call",
        "found again",
        "tells it gives up",
        "prompts",
        "resources",
    ),
    *("elicitation", "log messages", "after a restart", "OAuth"),
)
UNTRIED = "not tried"
CELLS = {"yes", "no", "early", "handle", "2nd call", UNTRIED}


def read() -> dict[Foreign, dict[str, str]]:
    """What the page says of each client that there is."""
    text = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    keys = len(KEY)
    said = {tuple(row[:keys]): dict(zip(COLUMNS, row[keys:], strict=True)) for row in rows}
    return {one: said[one[:keys]] for one in ALL if one[:keys] in said}


def holds(one: Foreign, found: dict[str, str]) -> None:
    """That the page says of a client what was found; with WRITE_DOCS it will."""
    if os.environ.get("WRITE_DOCS"):
        said = read()
        said[one] = said.get(one, {}) | found
        _write(said)
    said_here = read().get(one, {})
    assert {name: said_here.get(name) for name in found} == found, str(one)


def came_in(name: str, version: str) -> None:
    """That the page says so of a client which has come in by OAuth; `version` is its beginning."""
    those = [one for one in ALL if one.name == name and one.version.startswith(version)]
    assert those, name
    for one in those:
        holds(one, {"OAuth": "yes"})


def _write(said: dict[Foreign, dict[str, str]]) -> None:
    rows = [KEY + COLUMNS, ("---",) * len(KEY + COLUMNS)]
    rows += [
        (*one[: len(KEY)], *(said.get(one, {}).get(name, UNTRIED) for name in COLUMNS))
        for one in ALL
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")
