"""How an engine's process is run, with programs in its place that misbehave in real ways."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.base import EngineFailed
from tests.unit.executor.world import moment


async def run(script: str, folder: Path, stdin: bytes = b"") -> child.Output:
    return await child.run(["/bin/sh", "-c", script], folder, stdin=stdin)


async def test_what_a_program_writes_and_says_is_kept(tmp_path: Path) -> None:
    output = await run("cat; pwd; echo 'no  such' rule >&2; exit 3", tmp_path, b"given\n")
    assert output == child.Output(3, f"given\n{tmp_path}\n".encode(), "no such rule")


async def test_much_noise_on_the_side_holds_nothing_up(tmp_path: Path) -> None:
    output = await run("yes noise | head -c 1000000 >&2; echo done", tmp_path)
    assert (output.code, output.stdout) == (0, b"done\n")


async def test_a_program_that_reads_nothing_of_much_input_ends_well(tmp_path: Path) -> None:
    assert (await run("exit 0", tmp_path, b"x" * 1_000_000)).code == 0


async def test_one_that_never_ends_is_ended_and_keeps_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "BATCH_S", 0.5)
    output = await run("echo first; sleep 600 & wait", tmp_path)
    assert output.stdout == b"first\n"
    assert output.problem == ("timeout", "it took longer than 0.5 s")


async def test_one_that_writes_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_OUTPUT", 1 << 20)
    output = await run("exec yes", tmp_path)
    assert output.problem == ("engine_failed", "more than 1 MiB of output")


async def test_memory_has_a_bound(tmp_path: Path) -> None:
    assert (await run("ulimit -v", tmp_path)).stdout == b"%d\n" % (child.SHARE.memory >> 10)
    assert child.SHARE.memory * child.SHARE.at_once <= child.machine_memory() * 3 // 4


@pytest.mark.parametrize(
    ("gib", "processors", "at_once", "each"),
    [(1, 2, 1, 0.75), (4, 2, 1, 3), (8, 2, 2, 3), (24, 2, 2, 4), (16, 16, 6, 2), (256, 8, 8, 4)],
)
def test_all_engines_together_leave_a_machine_something(
    gib: int, processors: int, at_once: int, each: float
) -> None:
    found = child.Share.of(gib << 30, processors)
    assert found == child.Share(at_once, int(each * (1 << 30)))


async def test_all_children_of_a_cancelled_run_are_ended(tmp_path: Path) -> None:
    begun = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {begun}.new; mv {begun}.new {begun}; wait"
    running = asyncio.create_task(run(script, tmp_path))
    async with asyncio.timeout(30):
        while not begun.exists():
            assert not running.done()
            await moment()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    grandchild = int(begun.read_text())
    async with asyncio.timeout(30):
        while _runs(grandchild):
            await moment()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="nothing can't be started: No such file"):
        await child.run([str(tmp_path / "nothing")], tmp_path, limited=False)


async def test_it_has_a_home_of_its_own_for_as_long_as_it_runs(tmp_path: Path) -> None:
    home = (await run('touch "$HOME/left"; echo "$HOME"', tmp_path)).stdout.decode().strip()
    assert home != os.environ.get("HOME")
    assert not await asyncio.to_thread(Path(home).exists)
