"""A task is sent from the console, with files of the reader's machine."""

from __future__ import annotations

import json
from pathlib import Path

from contracts.facts import McpRegistered, TaskCreated
from contracts.host import Host, StreamableHttp, TaskBinding
from contracts.task import Priority
from services.process.ids import new_id
from tests.support.browser import Looking
from tests.unit.gateway.world import World

BINDING = TaskBinding(
    summary="Reads files",
    example={"files": {"a.txt": "a"}, "depth": 2},
    input_schema={"type": "object", "properties": {"files": {"type": "object"}}},
)


async def test_files_and_folders_are_sent_with_a_task(
    one: World, looking: Looking, tmp_path: Path
) -> None:
    endpoint = StreamableHttp("https://h.example/mcp")
    spec = Host(id="h1", name="Files", endpoint=endpoint, task_types={"t.files": BINDING})
    await one.append(McpRegistered(id=new_id(), by="test", host="h1", k=1, spec=spec))
    await one.settled()
    page = looking.page
    await looking.go("/submit")
    await page.select_option("select[data-search]", "t.files")
    big = {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": b"\xff" * 100_000}
    small = {"name": "b.txt", "mimeType": "text/plain", "buffer": "ä".encode()}
    await page.set_input_files("input[type=file][multiple]", [small, big])  # type: ignore[list-item]
    await page.wait_for_selector("text=2 files, 97.7 KiB")
    for name in ("src/deep/c.txt", "src/.git/config", "src/node_modules/m/index.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("c")
    await page.set_input_files("input[type=file][webkitdirectory]", tmp_path / "src")
    await page.wait_for_selector("text=2 files of .git, node_modules")
    await page.click("text=More")
    await page.select_option("select[name=priority]", "high")
    await page.fill("input[name=deadline]", "2")
    await page.click("button.yes")
    await page.wait_for_url("**/console/tasks/*")
    task = page.url.rpartition("/")[2]
    created = await one.log.at(await one.log.head())
    assert created is not None
    fact = created.fact
    assert isinstance(fact, TaskCreated)
    assert (fact.user, fact.task, fact.spec.type) == (looking.user, task, "t.files")
    assert (fact.spec.priority, fact.spec.deadline_s) == (Priority.HIGH, 120)
    sent = json.loads(bytes(fact.spec.input))
    files = sent["files"]
    assert (sent["depth"], files["src/deep/c.txt"], len(files)) == (2, "c", 3)
    assert files["b.txt"] == "ä"
    assert (files["big.bin"]["kind"], files["big.bin"]["size"]) == ("pointer", 100_000)
