"""Runs the engines side by side over one folder and puts together what they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.registry.builtin import serving, sources
from services.registry.builtin.security import coverage, findings, mirror
from services.registry.builtin.security.coverage import EngineRun
from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.bandit import Bandit
from services.registry.builtin.security.engines.base import (
    Engine,
    EngineFailed,
    EngineResult,
    Found,
    ScanTarget,
)
from services.registry.builtin.security.engines.detect_secrets import DetectSecrets
from services.registry.builtin.security.engines.hadolint import Hadolint
from services.registry.builtin.security.engines.semgrep import Semgrep
from services.registry.builtin.security.engines.shellcheck import Shellcheck
from services.registry.builtin.security.engines.zizmor import Zizmor

MOST_FILES = 10_000
MOST_FINDINGS = 5000
"""Findings that one answer lists; the others are counted."""
SCAN_S = 900.0
"""The longest scan; files that no engine has got to by then are told as failed."""
MOST_RUNS = 24
"""Further starts of an engine after one that failed, to find the file it fails on."""
_MOST_NAMES = 400_000
_FEW = 40
"""Files that are not worth a second process."""

Progress = Callable[[int, int, str], Awaitable[None]]


class BadScan(Exception):
    """There is nothing to scan, or nothing to scan with; the message says what to do."""


class Scanner:
    """The engines of one environment."""

    def __init__(self, environment: Path, rules: Path) -> None:
        """`rules`: folder with semgrep rules for those who bring none."""
        self._environment = environment
        semgrep = Semgrep(environment, rules)
        others = (Bandit, DetectSecrets, Shellcheck, Hadolint, Zizmor)
        self._engines: list[Engine] = [semgrep, *(kind(environment) for kind in others)]
        self._free = asyncio.Semaphore(child.SHARE.at_once)

    @property
    def engines(self) -> list[str]:
        """Their names."""
        return [engine.name for engine in self._engines]

    async def scan(
        self,
        folder: Path,
        *,
        rule: Path | None = None,
        engines: Sequence[str] | None = None,
        min_severity: str = "INFO",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Scan all files of a folder. Raises BadScan.

        `rule`: a file with semgrep rules; then semgrep alone runs, with these.
        """
        chosen = self._chosen(rule, engines)
        with serving.folder() as own:
            root = own / "files"
            files = await asyncio.to_thread(_copies, folder, root)
            runs, about = await self._all(chosen, root, files, progress)
            found = {run.name: run.ran.found for run in runs}
            lines = await asyncio.to_thread(_lines, files, found, root)
        told = findings.at_least(findings.merged(found, lines), min_severity)
        return {
            "findings": told[:MOST_FINDINGS],
            "left_out": max(0, len(told) - MOST_FINDINGS),
            "by_severity": _counted(told),
            **coverage.covered(files, runs),
            "engines": about,
        }

    def _chosen(self, rule: Path | None, names: Sequence[str] | None) -> list[Engine]:
        if rule is not None:
            return [Semgrep(self._environment, rule, own=True)]
        if unknown := set(names or ()) - set(self.engines):
            known = ", ".join(self.engines)
            raise BadScan(f"there is no engine {min(unknown)}: choose from {known}")
        return [one for one in self._engines if names is None or one.name in names]

    async def _all(
        self,
        engines: Sequence[Engine],
        root: Path,
        files: Sequence[mirror.Copied],
        progress: Progress | None,
    ) -> tuple[list[EngineRun], list[dict[str, Any]]]:
        targets = [file.target for file in files if file.unfit is None]
        work = _Work(root, self._free, progress, time.monotonic() + SCAN_S)
        planned = [await work.plan(engine, targets) for engine in engines]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work.run(*one)) for one in planned]
        runs = [task.result() for task in tasks]
        about = [
            {"name": engine.name, "version": self._version(engine), **work.about[engine.name]}
            for engine, _ in planned
        ]
        return runs, about

    def _version(self, engine: Engine) -> str:
        pattern = f"lib/python*/site-packages/{engine.package}-*.dist-info"
        found = [path.name for path in self._environment.glob(pattern)]
        return found[0].removesuffix(".dist-info").rpartition("-")[2] if found else ""


class _Work:
    """What one scan has to do."""

    def __init__(
        self, root: Path, free: asyncio.Semaphore, progress: Progress | None, end: float
    ) -> None:
        self.about: dict[str, dict[str, Any]] = {}
        self._root = root
        self._free = free
        self._progress = progress
        self._end = end
        self._done = 0
        self._total = 0

    async def plan(
        self, engine: Engine, targets: Sequence[ScanTarget]
    ) -> tuple[Engine, list[ScanTarget]]:
        """Which files the engine is for. Raises BadScan for a rule that a task brought."""
        about: dict[str, Any] = {"rules": 0, "files": 0}
        self.about[engine.name] = about
        try:
            async with self._free:
                about["rules"] = await engine.prepare()
        except EngineFailed as failed:
            if "rule can't be used" in str(failed):
                raise BadScan(str(failed)) from None
            about["problem"] = str(failed)
            return engine, []
        mine = [target for target in targets if sum(engine.rules_for(target))]
        about["files"] = len(mine)
        self._total += len(mine)
        return engine, mine

    async def run(self, engine: Engine, targets: Sequence[ScanTarget]) -> EngineRun:
        """Run the engine over its files, in as many processes as are worth while."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._batch(engine, batch))
                for batch in split(targets, engine.batch, child.SHARE.at_once)
            ]
        ran = _joined([task.result() for task in tasks])
        words = [words for reason, words in ran.failed.values() if reason != "parse_error"]
        if words:
            self.about[engine.name]["problem"] = f"{len(words)} files failed, the first: {words[0]}"
        rules = {target.path: engine.rules_for(target) for target in targets}
        problem = "" if self.about[engine.name]["rules"] else self.about[engine.name]["problem"]
        return EngineRun(engine.name, rules, ran, problem)

    async def _batch(self, engine: Engine, batch: Sequence[ScanTarget]) -> EngineResult:
        async with self._free:
            ran = await self._persistent(engine, batch)
        self._done += len(batch)
        if self._progress is not None:
            words = f"{engine.name}: {len(batch)} files done"
            await self._progress(self._done, self._total, words)
        return ran

    async def _persistent(self, engine: Engine, batch: Sequence[ScanTarget]) -> EngineResult:
        """Run the batch; after a failure the rest in parts, until the file at fault is alone."""
        parts, ran, runs = [batch], EngineResult(), 0
        while parts:
            part = parts.pop()
            left = self._end - time.monotonic()
            try:
                async with asyncio.timeout(left):
                    ran = _joined([ran, await engine.run(self._root, part)])
                continue
            except TimeoutError:
                failed = EngineFailed("timeout", f"the scan took longer than {SCAN_S:g} s")
            except EngineFailed as error:
                failed = error
            runs += 1
            lost, again = _after(failed, part, enough=runs > MOST_RUNS)
            parts += again
            gone = {target.path: (failed.reason, str(failed)) for target in lost}
            ran = _joined([ran, failed.partly, EngineResult(failed=gone)])
        return ran


def _after(
    failed: EngineFailed, part: Sequence[ScanTarget], *, enough: bool
) -> tuple[Sequence[ScanTarget], list[Sequence[ScanTarget]]]:
    """The files that are lost, and those to try again, in which parts."""
    rest = part[failed.done :]
    if enough or len(rest) <= 1:
        return rest, []
    if failed.done or failed.partly.failed:
        return rest[:1], [rest[1:]]
    if failed.reason == "timeout":
        return rest, []
    half = len(rest) // 2
    return [], [rest[:half], rest[half:]]


def split(targets: Sequence[ScanTarget], most: int, workers: int) -> list[Sequence[ScanTarget]]:
    """Batches of about the same size: for every worker one, if they are worth it."""
    if not targets:
        return []
    names = sum(len(target.name) + 3 for target in targets)
    number = max(-(-len(targets) // most), -(-names // _MOST_NAMES))
    number = max(number, min(workers, len(targets) // _FEW))
    return [targets[start::number] for start in range(number)]


def _joined(several: Sequence[EngineResult]) -> EngineResult:
    found: list[Found] = []
    failed: dict[str, tuple[str, str]] = {}
    remarks: dict[str, str] = {}
    for one in several:
        found += one.found
        failed |= one.failed
        remarks |= one.remarks
    return EngineResult(found, failed, remarks)


def _copies(folder: Path, root: Path) -> list[mirror.Copied]:
    try:
        names = sources.names_in(folder, MOST_FILES)
    except sources.TooMany as error:
        raise BadScan(str(error)) from None
    if not names:
        raise BadScan("there are no files: give them in `files`, name to text")
    root.mkdir()
    return list(mirror.copies(folder, names, root))


def _lines(
    files: Sequence[mirror.Copied], found: Mapping[str, Sequence[Found]], root: Path
) -> dict[str, list[str]]:
    """The lines of the files that have findings."""
    wanted = {one.path for several in found.values() for one in several}
    return {
        file.target.path: (root / file.target.name).read_text("utf-8").split("\n")
        for file in files
        if file.target.path in wanted
    }


def _counted(told: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts = {name: sum(one["severity"] == name for one in told) for name in findings.SEVERITIES}
    return {name: count for name, count in counts.items() if count}
