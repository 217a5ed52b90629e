"""Both jobs on hundreds of real files, by one command on the whole system, as a user does it.

Each file that was sent is told by each job exactly once: with what was found, or why not.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.test_cli_folders import metamcp, real
from tests.realcode.corpus import copied
from tests.support.system import System

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.asyncio(loop_scope="module"),
]
__all__ = ["real"]
REASONS = {"no_rules", "minified", "long_line", "too_big", "binary", "not_decodable", "unreadable"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of real files."""
    folder = tmp_path_factory.mktemp("repository")
    names = copied(folder)
    assert len(names) >= 300
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(real: System, repository: Path) -> dict[str, Any]:
    """What one command says of it all."""
    options = ("--json", "--fail-on", "never", "--data", str(real.running.data))
    code, out, err = await metamcp("scan", str(repository), *options)
    assert code == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


def answer(told: dict[str, Any], type_: str) -> dict[str, Any]:
    assert told[type_]["task"]["status"] == "succeeded"
    found: dict[str, Any] = told[type_]["result"]["structured"]
    return found


def sent(told: dict[str, Any], repository: Path) -> set[str]:
    """The files that went along: all, but for binary ones, and those that git would not take."""
    every = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    every = {name for name in every if not name.startswith(".git/")}
    left = sum(told["sent"]["left_out"].values())
    assert told["sent"]["files"] == len(every) - left
    assert left < len(every) / 20
    return every


async def test_the_scan_tells_each_file_once(told: dict[str, Any], repository: Path) -> None:
    found = answer(told, "security_scan")
    parts = {name: [one["path"] for one in found[name]] for name in ("scanned", "not_scanned")}
    names = [*parts["scanned"], *parts["not_scanned"], *(one["path"] for one in found["failed"])]
    counts = Counter(one["reason"] for one in found["not_scanned"])
    print(f"{len(names)} files: {len(parts['scanned'])} scanned, not scanned: {dict(counts)}")
    print(f"{len(found['findings'])} findings {found['by_severity']}")
    assert len(names) == len(set(names)) == told["sent"]["files"]
    assert set(names) <= sent(told, repository)
    # Some headers are fragments that others include: no parser takes them by themselves.
    assert {one["reason"] for one in found["failed"]} <= {"parse_error"}, found["failed"]
    assert all("line" in one["message"] for one in found["failed"]), found["failed"]
    assert len(found["failed"]) <= len(names) / 100
    assert counts.keys() <= REASONS
    for one in found["scanned"]:
        assert one["engines"], one
        assert all(rules > 0 for rules in one["engines"].values()), one


async def test_why_a_file_was_not_scanned_is_true(told: dict[str, Any], repository: Path) -> None:
    found = answer(told, "security_scan")
    for one in found["not_scanned"]:
        data = (repository / one["path"]).read_bytes()
        longest = max(map(len, data.split(b"\n")))
        match one["reason"]:
            case "no_rules":
                assert one["path"] not in {each["path"] for each in found["scanned"]}
                assert "engines" not in one
            case "minified" | "long_line":
                assert longest > 400, one
            case "binary":
                assert b"\0" in data, one
            case reason:
                raise AssertionError(f"{one['path']} is {reason}")


async def test_findings_stand_where_they_say(told: dict[str, Any], repository: Path) -> None:
    for one in answer(told, "security_scan")["findings"]:
        text = (repository / one["path"]).read_bytes().decode("utf-8", "replace")
        line = text.split("\n")[one["line"] - 1]
        assert one["code"][:40].strip().split("*")[0] in line, one
        assert 1 <= one["column"] <= len(line) + 1, one
        assert all(one[part] for part in ("cwe", "fix", "message", "engines")), one


async def test_the_analysis_tells_each_file_once(told: dict[str, Any], repository: Path) -> None:
    found = answer(told, "code_analysis")
    names = [one["path"] for name in ("files", "not_analyzed", "failed") for one in found[name]]
    counts = Counter(one["reason"] for one in found["not_analyzed"])
    print(f"{len(names)} files: {len(found['files'])} analysed, not: {dict(counts)}")
    assert len(names) == len(set(names)) == told["sent"]["files"]
    assert set(names) <= sent(told, repository)
    assert found["failed"] == []
    assert counts.keys() <= REASONS
    languages = {one["language"] for one in found["files"]}
    assert len(languages) >= 24, languages
