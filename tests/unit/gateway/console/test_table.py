"""The list of tasks in the browser: in order, by its filter, and bounded, whatever comes when."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from services.gateway.console.assets import WEB
from tests.support.node import node

SLACK = 1000


def tabled(steps: list[dict[str, Any]], status: str, most: int, at: list[int]) -> dict[str, Any]:
    """What the console's module makes of rows and facts, after the steps of these numbers."""
    script = Path(__file__).with_name("table.mjs")
    ran = subprocess.run(
        [node(), str(script), str(WEB / "table.js")],
        input=json.dumps({"status": status, "most": most, "steps": steps, "at": at}).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr.decode()
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def stories(chosen: random.Random, tasks: int) -> list[dict[str, Any]]:
    """Facts of many tasks, mixed up as in a log."""
    left = {
        f"t{n}": [
            {"type": "task.created", "spec": {"type": "x", "input": {"n": n}}},
            {"type": "job.signed", "attempt": 1, "host": "h"},
            {"type": "job.done", "outcome": chosen.choice(["failed", "succeeded"]), "result": {}},
        ]
        for n in range(tasks)
    }
    told: list[dict[str, Any]] = []
    while left:
        task = chosen.choice(list(left)[:20])
        event = {"task": task, "user": "u"} | left[task].pop(0)
        told.append({"seq": len(told) + 1, "at": 1.0, "event": event})
        if not left[task]:
            del left[task]
    return told


def expected(told: list[dict[str, Any]], status: str) -> list[list[Any]]:
    """The same, found the slow way."""
    rows: dict[str, Any] = {}
    for one in told:
        event = one["event"]
        if event["type"] == "task.created":
            rows[event["task"]] = (one["seq"], "pending")
        else:
            now = "running" if event["type"] == "job.signed" else event["outcome"]
            rows[event["task"]] = (rows[event["task"]][0], now)
    newest = sorted(rows.items(), key=lambda item: -item[1][0])
    return [[task, now, None, None] for task, (_, now) in newest if status in ("", now)]


def test_facts_in_any_place_of_the_list_keep_its_order_and_filter() -> None:
    for seed, status in enumerate(("", "running", "failed")):
        told = stories(random.Random(seed), 60)
        # Some facts come again, as they do after a cut, and a page of the API in between.
        page = {"id": "t5", "status": "pending", "seq": 1, "created_seq": 0}
        steps = [*told[:100], *told[60:100], page, *told[100:]]
        last = len(steps) - 1
        found = tabled(steps, status, 1000, [99, 139, last])
        after = {int(number): rows for number, rows in found["after"].items()}
        assert after[last] == expected(told, status)
        assert after[99] == after[139] == expected(told[:100], status)
        assert not found["full"]


def test_of_the_oldest_no_more_are_kept_than_is_said() -> None:
    told = [
        {"seq": n, "at": 1.0, "event": {"type": "task.created", "task": f"t{n}", "spec": {}}}
        for n in range(1, 1200)
    ]
    old = {"id": "old", "status": "pending", "seq": 5000, "created_seq": 3}
    again = {"seq": 5001, "at": 2.0, "event": {"type": "job.signed", "task": "t2", "host": "h"}}
    steps = [*told, old, again]
    found = tabled(steps, "", 50, [len(steps) - 1])
    ((_, rows),) = found["after"].items()
    shown = [row[0] for row in rows]
    assert found["longest"] == 50 + SLACK
    assert len(shown) == found["kept"] <= 50 + SLACK
    assert shown[0] == "t1199"
    assert found["full"]
    assert "old" not in shown
