"""Workers that answer one line of JSON a file: what is done is kept, if they end early."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.base import (
    EngineFailed,
    EngineResult,
    Found,
    ScanTarget,
)

Reader = Callable[[ScanTarget, Mapping[str, Any]], Iterable[Found]]


async def run(
    environment: Path,
    worker: Path,
    given: Mapping[str, Any],
    targets: Sequence[ScanTarget],
    root: Path,
    read: Reader,
) -> EngineResult:
    """Run a worker over the files; raises EngineFailed with what was done, if it ends early."""
    names = [target.name for target in targets]
    output = await child.run(
        [str(environment / "bin" / "python"), "-I", str(worker)],
        root,
        stdin=json.dumps({**given, "names": names}).encode(),
    )
    done, ran = answers(output.stdout, targets, read)
    if done >= len(targets):
        return ran
    reason, words = output.problem or (
        "engine_failed",
        f"it ended with {output.code} at {targets[done].path}: {output.words or 'it said nothing'}",
    )
    raise EngineFailed(reason, words, ran, done)


def answers(output: bytes, targets: Sequence[ScanTarget], read: Reader) -> tuple[int, EngineResult]:
    """How many files were done, and what came of them."""
    found: list[Found] = []
    failed: dict[str, tuple[str, str]] = {}
    done = 0
    for line, target in zip(output.split(b"\n"), targets, strict=False):
        try:
            answer = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            break
        done += 1
        if "error" in answer:
            reason = "parse_error" if "syntax error" in answer["error"] else "engine_failed"
            failed[target.path] = (reason, str(answer["error"]))
            continue
        for one in answer["found"]:
            found += read(target, one)
    return done, EngineResult(found, failed)
