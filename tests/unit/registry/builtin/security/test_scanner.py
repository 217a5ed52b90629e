"""One scan over several engines, with engines in their place that fail in known ways."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.security import scanner as module
from services.registry.builtin.security.engines.base import (
    Engine,
    EngineFailed,
    EngineResult,
    Rules,
    ScanTarget,
)
from services.registry.builtin.security.scanner import BadScan, Scanner, split
from tests.unit.executor.world import moment
from tests.unit.registry.builtin.security.samples import found


class Little:
    """Finds a weakness in every file that it is given, and fails where it is told to."""

    package = "little"
    batch = 10

    def __init__(
        self, name: str, suffix: str = ".py", *, at: str = "", lines: bool = False, wrong: str = ""
    ) -> None:
        """`at`: the file it fails on, alone or (`lines`) after those before it."""
        self.name = name
        self.runs: list[int] = []
        self._suffix = suffix
        self._at = at
        self._lines = lines
        self._wrong = wrong

    async def prepare(self) -> int:
        if self._wrong:
            raise EngineFailed("engine_failed", self._wrong)
        return 7

    def rules_for(self, target: ScanTarget) -> Rules:
        return Rules(7 if target.name.endswith(self._suffix) else 0)

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        await moment()
        self.runs.append(len(targets))
        paths = [target.path for target in targets]
        if self._at not in paths:
            return EngineResult([found(path, rule=self.name) for path in paths])
        done = paths.index(self._at) if self._lines else 0
        partly = EngineResult([found(path, rule=self.name) for path in paths[:done]])
        raise EngineFailed("engine_failed", "it fell over", partly, done)


def scanner(*engines: Engine) -> Scanner:
    made = Scanner(Path("nowhere"), Path("nowhere"))
    made._engines = list(engines)
    return made


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")
    return folder


MANY = [f"{number}.py" for number in range(23)]


async def test_what_engines_find_comes_together(tmp_path: Path) -> None:
    made = scanner(Little("semgrep"), Little("bandit"), Little("shellcheck", ".sh"))
    answer = await made.scan(files(tmp_path, "a.py", "b.sh", "c.unknown"))
    assert [(one["path"], one["engines"]) for one in answer["findings"]] == [
        ("a.py", ["bandit", "semgrep"]),
        ("b.sh", ["shellcheck"]),
    ]
    assert [one["engines"] for one in answer["scanned"]] == [
        {"semgrep": 7, "bandit": 7},
        {"shellcheck": 7},
    ]
    assert answer["by_severity"] == {"ERROR": 2}
    assert [one["files"] for one in answer["engines"]] == [1, 1, 1]
    assert answer == await made.scan(tmp_path), "the same files, the same answer"


@pytest.mark.parametrize("lines", [False, True])
async def test_a_file_that_ends_an_engine_costs_no_other_file(lines: bool, tmp_path: Path) -> None:
    weak = Little("bandit", at="7.py", lines=lines)
    answer = await scanner(weak, Little("semgrep")).scan(files(tmp_path, *MANY))
    by_path = {one["path"]: one for one in answer["findings"]}
    assert len(by_path) == len(MANY)
    assert by_path["7.py"]["engines"] == ["semgrep"]
    assert all(len(one["engines"]) == 2 for path, one in by_path.items() if path != "7.py")
    (remarked,) = [one for one in answer["scanned"] if "remarks" in one]
    assert remarked["remarks"] == ["bandit: not scanned (engine_failed): it fell over"]
    (bandit,) = [one for one in answer["engines"] if one["name"] == "bandit"]
    assert bandit["problem"] == "1 files failed, the first: it fell over"
    assert sum(weak.runs) <= 2 * len(MANY) + 20


async def test_an_engine_that_always_fails_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    broken = Little("semgrep")
    broken.run = _fall  # type: ignore[method-assign]
    answer = await scanner(broken).scan(files(tmp_path, *MANY))
    assert [one["reason"] for one in answer["failed"]] == ["engine_failed"] * len(MANY)
    assert answer["findings"] == []


async def _fall(root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
    raise EngineFailed("engine_failed", "no memory")


async def test_an_engine_that_is_not_there_leaves_the_others(tmp_path: Path) -> None:
    made = scanner(Little("semgrep", wrong="no such program"), Little("bandit"))
    answer = await made.scan(files(tmp_path, "a.py", "b.go"))
    assert [one["path"] for one in answer["findings"]] == ["a.py"]
    assert answer["engines"][0]["problem"] == "no such program"
    assert [one["path"] for one in answer["failed"]] == ["b.go"]


async def test_files_that_no_engine_has_reached_in_time_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCAN_S", 0.2)
    slow = Little("semgrep")
    slow.run = _hang  # type: ignore[method-assign]
    answer = await scanner(slow).scan(files(tmp_path, *MANY))
    assert {one["reason"] for one in answer["failed"]} == {"timeout"}
    assert len(answer["failed"]) == len(MANY)


async def _hang(root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
    await asyncio.Event().wait()
    return EngineResult()


async def test_progress_reaches_all_there_is_to_do(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []

    async def tell(done: int, total: int, words: str) -> None:
        assert "files" in words
        said.append((done, total))

    made = scanner(Little("semgrep"), Little("bandit"))
    await made.scan(files(tmp_path, *MANY), progress=tell)
    assert said == sorted(said)
    assert said[-1] == (2 * len(MANY), 2 * len(MANY))


async def test_engines_can_be_chosen_and_findings_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scanner(Little("semgrep"), Little("bandit"))
    monkeypatch.setattr(module, "MOST_FINDINGS", 2)
    answer = await made.scan(files(tmp_path, "a.py", "b.py", "c.py"), engines=["bandit"])
    assert [one["name"] for one in answer["engines"]] == ["bandit"]
    assert (len(answer["findings"]), answer["left_out"], answer["by_severity"]) == (
        2, 1, {"ERROR": 3},
    )  # fmt: skip
    with pytest.raises(BadScan, match="no engine lint: choose from semgrep, bandit"):
        await made.scan(tmp_path, engines=["lint"])


async def test_a_folder_has_to_have_files_and_not_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scanner(Little("semgrep"))
    with pytest.raises(BadScan, match="there are no files"):
        await made.scan(tmp_path)
    monkeypatch.setattr(module, "MOST_FILES", 2)
    with pytest.raises(BadScan, match="more than 2 files"):
        await made.scan(files(tmp_path, "a", "b", "c"))


async def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    files(tmp_path, "in/a.py", "out/b.py")
    os.symlink(tmp_path / "out", tmp_path / "in" / "link")
    os.symlink(tmp_path / "out" / "b.py", tmp_path / "in" / "b.py")
    answer = await scanner(Little("semgrep")).scan(tmp_path / "in")
    assert [one["path"] for one in answer["scanned"]] == ["a.py"]


@given(st.integers(0, 300), st.integers(1, 50), st.integers(1, 8))
def test_batches_hold_every_file_once(count: int, most: int, workers: int) -> None:
    targets = [ScanTarget(str(number), str(number), None) for number in range(count)]
    batches = split(targets, most, workers)
    assert sorted(target for batch in batches for target in batch) == sorted(targets)
    assert all(0 < len(batch) <= most for batch in batches)
