"""The built-in scan server with its real engines and all its rules, without a network.

The engines are installed once, and the scans of most tests go through one server, as tasks do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
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
from tests.support.semgrep_snippets import SNIPPETS

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
BUILTIN = manifest.BUILTIN.parent
PINS = BUILTIN / "constraints" / "security.txt"
SCHEMA = Path(__file__).parents[1] / "support" / "sarif-2.1.0.json"
SHELL = "import subprocess\n\n\ndef f(name):\n    subprocess.run('ls ' + name, shell=True)\n"
TODAY = "print('today')\n"
HASH = "import hashlib\n\n\ndef sign(data):\n    return hashlib.md5(data).hexdigest()\n"
SECRET = "hU7-kl0Pq2" + "zLm91Xy"
RULE = """rules:
  - id: no-print
    languages: [python]
    severity: HIGH
    message: Log it.
    pattern: print(...)
"""
IGNORED = (
    "tests/test_a.py", "node_modules/x/a.py", "sub/a.py", "a.min.py", "-x.py", "é.py", "a\nb.py",
)  # fmt: skip
STEP = "on: issues\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - {}\n"
TWINS = {
    "bandit": (
        "b.py",
        "import tempfile\n\n\ndef f(text):\n    return tempfile.mktemp()\n",
        "import tempfile\n\n\ndef f(text):\n    return tempfile.mkstemp()\n",
    ),
    "detect-secrets": (
        "d.py",
        f"db_password = '{SECRET}'\n",
        "import os\n\ndb_password = os.environ['DB_PASSWORD']\npassword = 'change-me-1'\n",
    ),
    "shellcheck": (
        "s.sh",
        '#!/bin/sh\nrm -rf "$1/"*\n',
        '#!/bin/sh\nrm -rf "${1:?}/"*\ncd /tmp || exit\n',
    ),
    "hadolint": (
        "Dockerfile",
        "FROM debian:13\nUSER root\n",
        "FROM debian:13\nRUN apt-get update && apt-get install -y curl\nUSER app\n",
    ),
    "zizmor": (
        ".github/workflows/w.yml",
        STEP.format('run: echo "${{ github.event.issue.title }}"'),
        STEP.format('run: echo "$TITLE"\n        env:\n          TITLE: ok'),
    ),
    "semgrep": (
        "j.js",
        "function f(text) {\n  return eval(text);\n}\n",
        "function f(text) {\n  return JSON.parse(text);\n}\n",
    ),
}
"""For each engine a file with a weakness that it finds, and one that has none."""


def raw(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


ODD = {
    "utf16.py": raw(SHELL.encode("utf-16")),
    "latin.py": raw(SHELL.replace("ls ", "größe ").encode("latin-1")),
    "bom.py": raw(SHELL.encode("utf-8-sig")),
    "crlf.py": raw(SHELL.replace("\n", "\r\n").encode()),
    "nul.py": raw(b"x = 1\0\0\0\xff\xfe\n"),
    "empty.py": "",
    "huge.py": "x = '" + "y" * 50_000 + "'\n" + "z = 1\n" * 3000,
    "min.js": "eval(a);" * 1000,
    "broken.py": "def f(:\n" + SHELL,
    "Broken.java": "class {{{ ((( \n",
    "broken.sh": "#!/bin/sh\nif [ x; then\n",
    "picture.png": raw(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9),
    "notes.unknown": "x",
    "good.py": SHELL,
}
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "bad": ("security_scan", {"files": {f"{n}{s.suffix}": s.bad for n, s in SNIPPETS.items()}}),
    "good": ("security_scan", {"files": {f"{n}{s.suffix}": s.good for n, s in SNIPPETS.items()}}),
    "weak": ("security_scan", {"files": {name: bad for name, bad, _ in TWINS.values()}}),
    "safe": ("security_scan", {"files": {name: good for name, _, good in TWINS.values()}}),
    "weaknesses": ("vulnerability_analysis", {"files": {"a.py": SHELL, "b.py": SHELL}}),
    "odd": ("security_scan", {"files": ODD}),
    "sarif": (
        "security_scan",
        {"files": {**ODD, "d.py": TWINS["detect-secrets"][1]}, "format": "sarif"},
    ),
    "chosen": ("security_scan", {"files": {"a.py": HASH}, "engines": ["bandit"]}),
    "severe": ("security_scan", {"files": {"Dockerfile": "FROM debian"}, "min_severity": "ERROR"}),
    "own rule": ("security_scan", {"files": {"a.py": SHELL, "b.py": TODAY}, "rule": RULE}),
    "own analysis": ("vulnerability_analysis", {"files": {"b.py": TODAY}, "rule": RULE}),
    "ignored": (
        "security_scan",
        {"files": {**dict.fromkeys(IGNORED, SHELL), ".semgrepignore": "sub/\n*.py\n"}},
    ),
    "languages": ("mcp.call", {"tool": "get_supported_languages"}),
    "no yaml": ("security_scan", {"files": {"a.py": TODAY}, "rule": "rules: ["}),
    "no rule": ("security_scan", {"files": {"a.py": TODAY}, "rule": "rules: [{id: a}]"}),
    "join": ("security_scan", {"files": {"a.py": TODAY}, "rule": RULE + "    mode: join\n"}),
    "no files": ("mcp.call", {"tool": "scan", "arguments": {"folder": "."}}),
    "no engine": ("mcp.call", {"tool": "scan", "arguments": {"folder": ".", "engines": ["x"]}}),
    "outside": ("mcp.call", {"tool": "scan", "arguments": {"folder": "/etc"}}),
    "empty": ("security_scan", {"files": {}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def environment(data: Path) -> Path:
    """The engines, installed."""
    return pinned.environment(data / "servers", PINS)


@pytest.fixture(scope="module")
def host(environment: Path, home: Path, data: Path) -> Host:
    """The built-in host, cut off from every network where that is allowed."""
    found = {one.id: one for one in manifest.load([], Places(data))}["semgrep-mcp"]
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


def weak_files(result: Any) -> set[str]:
    return {one["path"] for one in result["findings"]}


def engines_at(result: Any, name: str) -> set[str]:
    several = [one["engines"] for one in result["findings"] if one["path"] == name]
    return {engine for engines in several for engine in engines}


@pytest.mark.parametrize("rule", SNIPPETS)
def test_what_is_bad_is_found_and_what_is_good_is_left(rule: str, results: dict[str, Any]) -> None:
    name = f"{rule}{SNIPPETS[rule].suffix}"
    assert name in weak_files(results["bad"])
    assert [one for one in found(results["good"]) if one[0] == name] == []


def test_every_finding_has_a_weakness_a_place_and_advice(results: dict[str, Any]) -> None:
    for one in results["bad"]["findings"] + results["weak"]["findings"]:
        assert one["cwe"][0].startswith("CWE-"), one
        assert one["severity"] in {"ERROR", "WARNING", "INFO"}
        assert one["confidence"] in {"HIGH", "MEDIUM", "LOW"}
        assert one["fix"].endswith("."), one
        assert one["code"].strip(), one
        assert one["line"] <= one["end_line"]
        assert set(one["engines"]) == set(one["rules"])


@pytest.mark.parametrize("engine", TWINS)
def test_an_engine_finds_its_weakness_and_leaves_its_twin(
    engine: str, results: dict[str, Any]
) -> None:
    name = TWINS[engine][0]
    assert engine in engines_at(results["weak"], name)
    assert engine not in engines_at(results["safe"], name)
    for result in (results["weak"], results["safe"]):
        assert name in {one["path"] for one in result["scanned"]}
        assert all("problem" not in one for one in result["engines"])


def test_engines_that_agree_are_named_together(results: dict[str, Any]) -> None:
    (one,) = [one for one in results["odd"]["findings"] if one["path"] == "good.py"]
    assert one["engines"] == ["bandit", "semgrep"]
    assert one["rules"]["bandit"] == "B602"


def test_a_credential_is_never_repeated(results: dict[str, Any]) -> None:
    text = msgspec.json.encode([results["bad"], results["weak"], results["sarif"]]).decode()
    for name in ("secret-aws-key", "secret-github-token", "secret-slack-token"):
        assert SNIPPETS[name].bad.split("=")[-1].strip().strip("'\"") not in text
    assert SECRET not in text
    assert f"{SECRET[:4]}********" in text


def test_serious_weaknesses_are_grouped(results: dict[str, Any]) -> None:
    result = results["weaknesses"]
    (group,) = result["vulnerabilities"]
    assert group["weakness"].startswith("CWE-78")
    assert (group["count"], result["count"]) == (2, 2)
    assert [place["path"] for place in group["places"]] == ["a.py", "b.py"]
    assert result["totals"]["scanned"] == 2


def test_one_odd_file_never_ends_a_scan(results: dict[str, Any]) -> None:
    result = results["odd"]
    shell = {one["path"] for one in result["findings"] if one["cwe"][0].startswith("CWE-78")}
    assert shell >= {"utf16.py", "latin.py", "bom.py", "crlf.py", "good.py"}
    lines = {one["line"] for one in result["findings"] if one["path"] in shell - {"broken.py"}}
    assert lines == {5}
    scanned = {one["path"]: one for one in result["scanned"]}
    assert scanned["utf16.py"]["encoding"] == "utf-16"
    assert scanned["latin.py"]["encoding"] in {"cp1252", "latin-1", "iso8859-1"}
    assert "empty.py" in scanned


def test_every_file_is_told_and_why_it_was_not_scanned(results: dict[str, Any]) -> None:
    result = results["odd"]
    reasons = {one["path"]: one["reason"] for one in result["not_scanned"] + result["failed"]}
    assert reasons["nul.py"] == reasons["picture.png"] == "binary"
    assert (reasons["huge.py"], reasons["min.js"]) == ("long_line", "minified")
    assert reasons["notes.unknown"] == "no_rules"
    (broken,) = [one for one in result["scanned"] if one["path"] == "broken.sh"]
    assert broken["engines"].keys() == {"semgrep"}
    assert "shellcheck: not scanned (parse_error)" in broken["remarks"][0]
    told = [one["path"] for name in ("scanned", "not_scanned", "failed") for one in result[name]]
    assert sorted(told) == sorted(ODD)
    assert result["totals"]["files"] == len(ODD)


def test_the_number_of_rules_is_that_of_the_language(results: dict[str, Any]) -> None:
    (python,) = [one for one in results["odd"]["scanned"] if one["path"] == "good.py"]
    engines = {one["name"]: one for one in results["odd"]["engines"]}
    assert 0 < python["engines"]["semgrep"] < engines["semgrep"]["rules"]
    assert python["engines"]["bandit"] == engines["bandit"]["rules"]
    assert python["secrets"]["detect-secrets"] == engines["detect-secrets"]["rules"]
    assert all(one["version"] for one in engines.values())


def test_a_log_of_sarif_is_valid_and_tells_what_was_not_scanned(results: dict[str, Any]) -> None:
    log = results["sarif"]
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(log)
    (run,) = log["runs"]
    engines = [one["name"] for one in run["tool"]["extensions"]]
    assert engines == [one["name"] for one in results["odd"]["engines"]]
    assert len(run["results"]) > 4
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert {"binary", "no_rules"} <= {one["descriptor"]["id"] for one in told}


def test_engines_and_severity_can_be_chosen(results: dict[str, Any]) -> None:
    (one,) = results["chosen"]["findings"]
    assert one["engines"] == ["bandit"]
    assert results["severe"]["findings"] == []
    assert results["severe"]["totals"]["scanned"] == 1


def test_an_own_rule_takes_the_place_of_all_engines(results: dict[str, Any]) -> None:
    assert found(results["own rule"]) == {("b.py", "no-print")}
    (one,) = results["own rule"]["findings"]
    assert (one["severity"], one["message"], one["line"]) == ("ERROR", "Log it.", 1)
    assert [engine["name"] for engine in results["own rule"]["engines"]] == ["semgrep"]
    (group,) = results["own analysis"]["vulnerabilities"]
    assert (group["weakness"], group["count"]) == ("no-print", 1)


def test_no_file_is_left_out_in_silence(results: dict[str, Any]) -> None:
    assert weak_files(results["ignored"]) == set(IGNORED)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("no yaml", "the rule can't be used"),
        ("no rule", "the rule can't be used"),
        ("join", "mode: join"),
        ("no files", "there are no files"),
        ("no engine", "choose from semgrep"),
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
    assert weak_files(results["example of security_scan"]) == {"run.py"}
    (group,) = results["example of vulnerability_analysis"]["vulnerabilities"]
    assert group["weakness"].startswith("CWE-89")
    assert {"python", "go", "java", "regex"} <= set(results["languages"]["result"])


def test_nothing_is_written_beside_the_task(results: dict[str, Any], home: Path) -> None:
    assert results
    assert list(home.rglob("*")) == []
