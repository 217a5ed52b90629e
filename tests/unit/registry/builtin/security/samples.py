"""Findings and files for the tests of the scan server."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from services.registry.builtin.security.engines.base import Found, ScanTarget
from services.registry.builtin.security.mirror import Copied

CWES = ((), ("CWE-78: OS command injection",), ("CWE-77",), ("CWE-798: x",), ("CWE-89", "CWE-943"))


def found(path: str = "a.py", line: int = 1, **other: Any) -> Found:
    made = Found(
        path=path,
        line=line,
        end_line=line,
        column=1,
        end_column=None,
        rule="r",
        severity="ERROR",
        confidence="MEDIUM",
        cwe=("CWE-78: OS command injection",),
        message="m",
    )
    made = made._replace(**other)
    return made._replace(end_line=max(made.line, made.end_line))


def copied(path: str, language: str | None = "python", **other: Any) -> Copied:
    return Copied(ScanTarget(path, path, language), "utf-8", 0, None)._replace(**other)


FOUND = st.builds(
    found,
    st.sampled_from("abc"),
    st.integers(1, 6),
    end_line=st.integers(1, 8),
    column=st.integers(1, 20),
    end_column=st.one_of(st.none(), st.integers(1, 40)),
    rule=st.sampled_from(["r", "s"]),
    severity=st.sampled_from(["ERROR", "WARNING", "INFO"]),
    confidence=st.sampled_from(["HIGH", "MEDIUM", "LOW"]),
    cwe=st.sampled_from(CWES),
    message=st.text(max_size=8),
    alone=st.booleans(),
    secret=st.booleans(),
    in_bytes=st.booleans(),
)
BY_ENGINE = st.dictionaries(
    st.sampled_from(["semgrep", "bandit", "shellcheck"]), st.lists(FOUND, max_size=8)
)
LINES = st.dictionaries(st.sampled_from("abc"), st.lists(st.text(max_size=40), max_size=8))
