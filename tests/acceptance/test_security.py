"""The built-in semgrep with its real engine and every rule that comes along, without a network.

The engine is installed once, and the scans of all tests go through one server, as tasks do.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import Host, Stdio
from services.executor.attempt.call import HostError
from services.executor.attempt.plan import BadInput
from services.registry.builtin import pinned
from services.registry.manifests import manifest
from services.registry.manifests.manifest import Places
from tests.support.real_servers import Bench, bench
from tests.support.semgrep_snippets import PYTHON, SNIPPETS

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
PINS = manifest.BUILTIN.parent / "constraints" / "security.txt"
SHELL = SNIPPETS["python-subprocess-shell"]
TODAY = "print('today')\n"
RULE = """rules:
  - id: no-print
    languages: [python]
    severity: HIGH
    message: Log it.
    pattern: print(...)
"""
IGNORED = ("tests/test_a.py", "node_modules/x/a.py", "sub/a.py", "a.min.py", "-x.py", "é.py")
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "bad": ("security_scan", {"files": {f"{n}{s.suffix}": s.bad for n, s in SNIPPETS.items()}}),
    "good": ("security_scan", {"files": {f"{n}{s.suffix}": s.good for n, s in SNIPPETS.items()}}),
    "weaknesses": (
        "vulnerability_analysis",
        {"files": {f"{n}{s.suffix}": s.bad for n, s in PYTHON.items()}},
    ),
    "own rule": ("security_scan", {"files": {"a.py": SHELL.bad, "b.py": TODAY}, "rule": RULE}),
    "own analysis": ("vulnerability_analysis", {"files": {"b.py": TODAY}, "rule": RULE}),
    "ignored": (
        "security_scan",
        {"files": {**dict.fromkeys(IGNORED, SHELL.bad), ".semgrepignore": "sub/\n*.py\n"}},
    ),
    "not all": ("security_scan", {"files": {"a.py": TODAY, "b.unknown": "x"}, "rule": RULE}),
    "half": ("security_scan", {"files": {"a.py": SHELL.bad + "def (((\n"}}),
    "languages": ("mcp.call", {"tool": "get_supported_languages"}),
    "no yaml": ("security_scan", {"files": {"a.py": TODAY}, "rule": "rules: ["}),
    "no rule": ("security_scan", {"files": {"a.py": TODAY}, "rule": "rules: [{id: a}]"}),
    "join": ("security_scan", {"files": {"a.py": TODAY}, "rule": RULE + "    mode: join\n"}),
    "no files": ("mcp.call", {"tool": "scan", "arguments": {"folder": "."}}),
    "outside": ("mcp.call", {"tool": "scan", "arguments": {"folder": "/etc"}}),
    "empty": ("security_scan", {"files": {}}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def host(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The built-in host, installed, and cut off from every network where that is allowed."""
    data = tmp_path_factory.mktemp("data")
    found = {one.id: one for one in manifest.load([], Places(data))}["semgrep-mcp"]
    pinned.environment(data / "servers", PINS)
    assert isinstance(found.endpoint, Stdio)
    command = [found.endpoint.command, *found.endpoint.args]
    apart = [shutil.which("unshare") or "", "-rn"]
    if apart[0] and not subprocess.run([*apart, "true"], capture_output=True).returncode:
        command = [*apart, *command]
    endpoint = Stdio(command[0], tuple(command[1:]), env={"HOME": str(home)})
    return msgspec.structs.replace(found, endpoint=endpoint)


@pytest.fixture(scope="module")
def results(host: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each task has come to: its structured result, or its failure."""
    folder = tmp_path_factory.mktemp("tasks")
    # A scan has to see the files also where the data folder is one that git ignores.
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / ".gitignore").write_text("*\n")
    return asyncio.run(_all(host, folder))


async def _all(host: Host, folder: Path) -> dict[str, Any]:
    async with bench(host, folder) as one:
        results = {name: await _result(one, *task) for name, task in TASKS.items()}
        for type_, binding in one.host.task_types.items():
            results[f"example of {type_}"] = await _result(one, type_, binding.example)
    return results


async def _result(one: Bench, type_: str, input_: dict[str, Any]) -> Any:
    try:
        return (await one.run(type_, input_))["structured"]
    except (HostError, BadInput) as error:
        return error


def found(result: Any) -> set[tuple[str, str]]:
    return {(one["path"], one["rule"]) for one in result["findings"]}


@pytest.mark.parametrize("rule", SNIPPETS)
def test_a_rule_finds_what_is_bad_and_leaves_what_is_good(
    rule: str, results: dict[str, Any]
) -> None:
    name = f"{rule}{SNIPPETS[rule].suffix}"
    assert (name, rule) in found(results["bad"])
    assert name in results["good"]["scanned"]
    assert [one for one in found(results["good"]) if one[0] == name] == []


def test_every_rule_has_its_snippets_a_weakness_and_advice(results: dict[str, Any]) -> None:
    text = "".join(
        path.read_text() for path in sorted(manifest.BUILTIN.parent.glob("security/rules/*.yaml"))
    )
    ids = [line.split("id:")[1].strip() for line in text.splitlines() if "  - id:" in line]
    assert sorted(ids) == sorted(SNIPPETS)
    for one in results["bad"]["findings"]:
        assert one["cwe"][0].startswith("CWE-"), one
        assert one["severity"] in {"ERROR", "WARNING"}
        assert one["message"].count(".") >= 1
        assert one["line"] <= one["end_line"]


def test_nothing_of_our_rules_is_left_unused_or_broken(results: dict[str, Any]) -> None:
    for name in ("bad", "good"):
        assert results[name]["errors"] == []
        assert results[name]["not_scanned"] == []
        assert results[name]["left_out"] == 0
    counts = results["bad"]["by_severity"]
    assert sum(counts.values()) == len(results["bad"]["findings"])


def test_a_credential_is_never_repeated(results: dict[str, Any]) -> None:
    text = msgspec.json.encode(results["bad"]).decode()
    for name in ("secret-aws-key", "secret-github-token", "secret-slack-token"):
        assert SNIPPETS[name].bad.split("=")[-1].strip() not in text


def test_serious_weaknesses_are_grouped(results: dict[str, Any]) -> None:
    result = results["weaknesses"]
    groups = {group["weakness"]: group for group in result["vulnerabilities"]}
    command = groups["CWE-78: OS command injection"]
    assert {place["rule"] for place in command["places"]} == {
        "python-subprocess-shell",
        "python-os-system",
    }
    assert command["count"] == len(command["places"])
    assert "CWE-328: Weak hash" not in groups, "a warning is for the scan"
    assert result["count"] == sum(group["count"] for group in groups.values())


def test_an_own_rule_takes_the_place_of_ours(results: dict[str, Any]) -> None:
    assert found(results["own rule"]) == {("b.py", "no-print")}
    (finding,) = results["own rule"]["findings"]
    assert (finding["severity"], finding["message"], finding["line"]) == ("HIGH", "Log it.", 1)
    (group,) = results["own analysis"]["vulnerabilities"]
    assert (group["weakness"], group["count"]) == ("no-print", 1)


def test_no_file_is_left_out_in_silence(results: dict[str, Any]) -> None:
    paths = {path for path, rule in found(results["ignored"]) if rule == "python-subprocess-shell"}
    assert paths == set(IGNORED)
    assert results["not all"]["scanned"] == ["a.py"]
    assert results["not all"]["not_scanned"] == ["b.unknown"]


def test_a_file_that_is_broken_is_scanned_as_far_as_it_goes(results: dict[str, Any]) -> None:
    assert ("a.py", "python-subprocess-shell") in found(results["half"])
    assert results["half"]["errors"][0]["path"] == "a.py"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("no yaml", "the rule can't be used"),
        ("no rule", "the rule can't be used"),
        ("join", "mode: join"),
        ("no files", "there are no files"),
    ],
)
def test_what_can_not_be_scanned_fails_and_says_why(
    task: str, says: str, results: dict[str, Any]
) -> None:
    failure = results[task]
    assert isinstance(failure, HostError), failure
    assert failure.kind is FailureKind.TOOL
    assert says in failure.message


def test_nothing_but_the_tasks_own_files_can_be_scanned(results: dict[str, Any]) -> None:
    assert results["outside"].kind is FailureKind.FORBIDDEN_PATH
    assert isinstance(results["empty"], BadInput)


def test_the_examples_and_the_languages(results: dict[str, Any]) -> None:
    assert found(results["example of security_scan"]) == {("run.py", "python-subprocess-shell")}
    (group,) = results["example of vulnerability_analysis"]["vulnerabilities"]
    assert group["weakness"].startswith("CWE-89")
    assert {"python", "go", "java", "regex"} <= set(results["languages"]["result"])


def test_nothing_is_written_beside_the_task(results: dict[str, Any], home: Path) -> None:
    assert results
    assert list(home.rglob("*")) == []
