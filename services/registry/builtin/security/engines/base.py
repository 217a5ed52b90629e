"""What every engine takes and gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class ScanTarget(NamedTuple):
    """One file that engines can read."""

    path: str
    """As the task named it."""
    name: str
    """Of its copy, below the folder of copies: a language is told by it."""
    language: str | None


class Rules(NamedTuple):
    """How many rules of an engine look at one file."""

    language: int
    """For the file's own language or kind."""
    secrets: int = 0
    """For secrets, in files of any kind."""


class Found(NamedTuple):
    """One finding of one engine."""

    path: str
    line: int
    end_line: int
    column: int
    end_column: int | None
    rule: str
    severity: str
    """`ERROR`, `WARNING` or `INFO`."""
    confidence: str
    """`HIGH`, `MEDIUM` or `LOW`."""
    cwe: tuple[str, ...]
    message: str
    fix: str = ""
    """Empty: the table of weaknesses has one."""
    alone: bool = True
    """False: too often wrong to be told unless another engine found the same."""
    secret: bool = False
    """The place holds a secret, which no answer may repeat."""
    in_bytes: bool = True
    """The columns count bytes of UTF-8, as most engines do; else characters."""


class EngineResult(NamedTuple):
    """What came of one run over some files."""

    found: Sequence[Found] = ()
    failed: Mapping[str, tuple[str, str]] = {}
    """By path: reason (`parse_error`, `timeout`, `engine_failed`) and words."""
    remarks: Mapping[str, str] = {}
    """By path: what was scanned only in part, and why."""


class EngineFailed(Exception):
    """A run ended before its time; `partly` is what came of the first `done` files."""

    def __init__(
        self, reason: str, message: str, partly: EngineResult | None = None, done: int = 0
    ) -> None:
        """`reason`: as in `EngineResult.failed`."""
        super().__init__(message)
        self.reason = reason
        self.partly = partly or EngineResult()
        self.done = done


class Engine(Protocol):
    """One engine of the environment."""

    name: str
    package: str
    """Its distribution in the environment."""
    batch: int
    """Files that one process is given at most."""

    async def prepare(self) -> int:
        """Get ready; return how many rules there are. Raises EngineFailed."""

    def rules_for(self, target: ScanTarget) -> Rules:
        """How many rules look at this file; none: it is not given to `run`."""

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files, `name` below `root`. Raises EngineFailed."""
