"""How many of the samples the security scan finds, and how many twins it takes for faulty.

With WRITE_DOCS=1 in the environment it writes the table of docs/builtins.md, else it compares it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from services.registry.builtin import pinned
from services.registry.builtin.security.scanner import Scanner
from services.registry.manifests.manifest import BUILTIN
from tests.realcode import samples
from tests.realcode.kinds import KINDS, numbers
from tests.realcode.samples import Sample
from tests.support.semgrep_snippets import SNIPPETS

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PAGE = Path(__file__).parents[2] / "docs" / "builtins.md"
BEGIN, END = "<!-- samples:begin -->", "<!-- samples:end -->"
RULES = BUILTIN.parent / "security" / "rules"
LEAST_FOUND = 0.90
MOST_FALSE = 0.03

Findings = dict[str, list[dict[str, Any]]]


class Score(NamedTuple):
    """Counts of samples: how many, found, and twins that have any finding."""

    of: int
    found: int
    false: int


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What the server's own scanner says of all samples, twins and snippets, by path."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("samples")
    samples.write(samples.load(), folder)
    (folder / "snippets").mkdir()
    for name, snippet in SNIPPETS.items():
        (folder / "snippets" / f"{name}{snippet.suffix}").write_text(snippet.bad)
    environment = pinned.environment(home, BUILTIN.parent / "constraints" / "security.txt")
    result = asyncio.run(Scanner(environment, RULES).scan(folder))
    assert result["left_out"] == 0
    by_path: Findings = {}
    for finding in result["findings"]:
        by_path.setdefault(finding["path"], []).append(finding)
    return by_path


def score(some: Iterable[Sample], findings: Findings, engine: str | None = None) -> Score:
    """Count; for one engine only what this engine has found too."""

    def of(sample: Sample, side: str) -> list[dict[str, Any]]:
        all_ = findings.get(sample.path(side), [])
        return [one for one in all_ if engine is None or engine in one["engines"]]

    listed = list(some)
    found = [one for one in listed if _names(of(one, "bad"), one.kind)]
    false = [one for one in listed if of(one, "good")]
    return Score(len(listed), len(found), len(false))


def _names(findings: Iterable[dict[str, Any]], kind: str) -> bool:
    return any(numbers(one["cwe"]) & KINDS[kind].cwes for one in findings)


def engines(findings: Findings) -> list[str]:
    """Every engine that has found anything."""
    return sorted({name for found in findings.values() for one in found for name in one["engines"]})


def test_nine_of_ten_samples_are_found(findings: Findings) -> None:
    every = samples.load()
    missed = [one.path("bad") for one in every if score([one], findings).found == 0]
    assert len(missed) <= (1 - LEAST_FOUND) * len(every), missed


def test_few_twins_are_taken_for_faulty(findings: Findings) -> None:
    every = samples.load()
    false = {
        one.path("good"): [(found["rule"], found["line"]) for found in findings[one.path("good")]]
        for one in every
        if score([one], findings).false
    }
    assert len(false) <= MOST_FALSE * len(every), false


@pytest.mark.parametrize("kind", KINDS)
def test_no_engine_alone_finds_more_of_a_kind(kind: str, findings: Findings) -> None:
    some = [one for one in samples.load() if one.kind == kind]
    alone = [score(some, findings, engine).found for engine in engines(findings)]
    assert score(some, findings).found >= max(alone)


def test_every_rule_finds_a_sample_or_its_snippet(findings: Findings) -> None:
    ids = {
        rule["id"]
        for path in RULES.glob("*.yaml")
        for rule in yaml.safe_load(path.read_text("utf-8"))["rules"]
    }
    used = {name for found in findings.values() for one in found for name in _rules(one)}
    assert ids - used == set()


def _rules(finding: dict[str, Any]) -> list[str]:
    names: str = finding["rules"].get("semgrep", "")
    return names.split(", ")


def test_the_page_has_the_table(findings: Findings) -> None:
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    old, end, after = rest.partition(END)
    assert begin, f"{PAGE.name} has no line {BEGIN}"
    assert end, f"{PAGE.name} has no line {END}"
    table = f"\n{page(findings)}\n"
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(before + BEGIN + table + END + after, "utf-8")
    else:
        assert old == table


def page(findings: Findings) -> str:
    """Both tables, and how many there are in all."""
    every = samples.load()
    total = score(every, findings)
    by_kind = _table("kind", every, findings, lambda one: KINDS[one.kind].title)
    by_language = _table("language", every, findings, lambda one: one.language)
    summary = (
        f"{total.of} vulnerable samples, each with a safe twin: {total.found} found, "
        f"{total.false} twins with a finding. An engine's column: how many it finds alone."
    )
    return "\n\n".join((summary, by_kind, by_language))


def _table(head: str, every: list[Sample], findings: Findings, key: Callable[[Sample], str]) -> str:
    names = engines(findings)
    lines = [
        f"| {head} | samples | found | false | {' | '.join(names)} |",
        "|---" * (4 + len(names)) + "|",
    ]
    for group in sorted({key(one) for one in every}):
        some = [one for one in every if key(one) == group]
        all_ = score(some, findings)
        alone = " | ".join(str(score(some, findings, name).found) for name in names)
        lines.append(f"| {group} | {all_.of} | {all_.found} | {all_.false} | {alone} |")
    return "\n".join(lines)
