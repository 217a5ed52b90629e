"""Tables fit the terminal: nothing is lost of ids and names, however narrow it is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from services.cli.show import hosts, results, tasks
from services.cli.show.fitted import GAP, Column, FittedTable, fit
from tests.unit.cli.story import retried

ID = "01932b7e-4f5a-7c3d-9e8f-0a1b2c3d4e5f"
HOST = "a-host-with-a-rather-long-name"
TASK = {"id": ID, "type": "vulnerability_analysis", "status": "succeeded", "host": HOST}
IN_DATASET = TASK | {"task_id": ID, "created_at": "2026", "completed_at": "2026", "size": 1}
RESULT = {
    "task": ID,
    "kind": "pointer",
    "uri": "nats://blobs/u/x",
    "size": 2_000_000,
    "media_type": "application/vnd.oasis.opendocument",
    "created": 1.0,
    "host": HOST,
    "sha256": "a" * 64,
}
HOSTS = {
    "id": HOST,
    "health": {"status": "unhealthy", "reason": "it does not answer " * 9},
    "task_types": {f"type_{number}": {} for number in range(20)},
    "tools": [{"name": "a_tool_with_a_rather_long_name", "description": "It works. " * 20}],
}


def shown(what: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    ("what", "ids"),
    [
        (tasks.tasks([TASK]), [ID]),
        (results.results([RESULT], 1, 2_000_000), [ID]),
        (results.result(RESULT), [ID]),
        (results.dataset_tasks({"dataset": "a/b", "tasks": [IN_DATASET]}), [ID]),
        (hosts.hosts([HOSTS]), [HOST]),
        (hosts.host(HOSTS), [HOST, "a_tool_with_a_rather_long_name"]),
        (tasks.timeline(retried().records), ["task.created", "job.done"]),
    ],
)
def test_ids_and_names_are_whole_on_one_line(
    what: RenderableType, ids: list[str], width: int
) -> None:
    text = shown(what, width)
    for id_ in ids:
        assert id_ in text
    assert all(len(line) <= width for line in text.splitlines())


def test_a_name_that_is_wider_than_the_terminal_is_folded_not_cut() -> None:
    table = FittedTable(Column("id"), Column("state"), Column("more", least=10, drop=1))
    table.add("n" * 70, "up", "words " * 9)
    text = shown(table, 40)
    assert text.count("n") == 70
    assert text.split("n")[-1].split()[:2] == ["up", "words"]


COLUMNS = st.lists(
    st.builds(Column, st.just("c"), least=st.none() | st.integers(1, 20), drop=st.integers(0, 3)),
    min_size=1,
    max_size=7,
)


@given(COLUMNS, st.data(), st.integers(40, 200))
def test_what_fits_is_left_as_it_is_and_what_must_stay_stays(
    columns: list[Column], data: Any, width: int
) -> None:
    sizes = st.integers(1, 150)
    natural = data.draw(st.lists(sizes, min_size=len(columns), max_size=len(columns)))
    kept = fit(natural, columns, width)
    must = [at for at, column in enumerate(columns) if not column.drop]
    least = sum(min(natural[at], columns[at].least or natural[at]) for at in must)
    if not kept:
        assert least + GAP * (len(must) - 1) > width or not must
        return
    assert {at for at, column in enumerate(columns) if not column.drop} <= set(kept)
    assert sum(kept.values()) + GAP * (len(kept) - 1) <= width
    assert all(0 < wide <= natural[at] for at, wide in kept.items())
    if sum(natural) + GAP * (len(natural) - 1) <= width:
        assert kept == dict(enumerate(natural))
    lost = [columns[at].drop for at in range(len(columns)) if at not in kept]
    left = [columns[at].drop for at in kept if columns[at].drop]
    assert not lost or max(left, default=0) <= min(lost), "the first to go were the right ones"
