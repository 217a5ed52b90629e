"""The built-in code-mcp with its real engines, without a network: tasks as they are run."""

from __future__ import annotations

import asyncio
import base64
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

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
PINS = manifest.BUILTIN.parent / "constraints" / "code.txt"
SHOP = """\
import os
from . import stock as store
from ..rules import *


class Order:
    def total(self, *lines):
        return sum(one for one in lines if one and one > 0)


def main(): print(os.name)
"""
JS = "import fs from 'fs';\nexport class A { run(x) { return x ? fs.read(x) : null; } }\n"
LATIN = base64.b64encode("# caf\xe9 au lait\nname = 'na\xefve'\n".encode("latin-1")).decode()
MANY = {
    "shop/order.py": SHOP,
    "shop/a.js": JS,
    "shop/data.json": '{"a": 1}\n',
    "latin.py": {"base64": LATIN},
    "image.png": {"base64": base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").decode()},
    "min.js": "var a=1;" * 2000,
    "broken.ts": "export function f(a: number { return a; }\n",
    "old.py": "print 'x'\n",
    "notes.unknown": "text\n\ntext\n",
    "deep.py": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "empty.py": "",
}
BIG = "".join(f"def f{number}(a, b):\n    return a + b * {number}\n\n\n" for number in range(20000))
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": ("code_analysis", {"files": {"order.py": SHOP}, "path": "order.py"}),
    "json": ("code_analysis", {"files": {"a.json": '{"a": 1}'}, "path": "a.json"}),
    "binary": ("code_analysis", {"files": MANY, "path": "image.png"}),
    "many": ("code_analysis", {"files": MANY}),
    "many again": ("code_analysis", {"files": MANY}),
    "no file": ("code_analysis", {"files": {"a.py": ""}, "path": "b.py"}),
    "climbing": ("code_analysis", {"files": {"a.py": ""}, "path": "../a.py"}),
    "absolute": ("code_analysis", {"files": {"a.py": ""}, "path": "/etc/passwd"}),
    "outside": ("mcp.call", {"tool": "analyze", "arguments": {"folder": "/etc"}}),
    "nothing": ("mcp.call", {"tool": "analyze", "arguments": {"folder": "."}}),
    "languages": ("mcp.call", {"tool": "languages"}),
    "tree": ("ast_parsing", {"files": {"a.py": SHOP}, "path": "a.py"}),
    "shallow": ("ast_parsing", {"files": {"a.py": SHOP}, "path": "a.py", "max_depth": 2}),
    "text": (
        "ast_parsing",
        {"files": {"a.js": JS}, "path": "a.js", "include_text": True, "named_only": False},
    ),
    "range": ("ast_parsing", {"files": {"a.py": SHOP}, "path": "a.py", "start_line": 11}),
    "types": (
        "ast_parsing",
        {
            "files": {"a.py": SHOP},
            "path": "a.py",
            "node_types": ["function_definition"],
            "max_depth": 1,
        },
    ),
    "no type": ("ast_parsing", {"files": {"a.py": SHOP}, "path": "a.py", "node_types": ["nope"]}),
    "too big": ("ast_parsing", {"files": {"big.py": BIG}, "path": "big.py", "max_depth": 20}),
    "deep": ("ast_parsing", {"files": MANY, "path": "deep.py"}),
    "no grammar": ("ast_parsing", {"files": MANY, "path": "notes.unknown"}),
    "no text": ("ast_parsing", {"files": MANY, "path": "image.png"}),
    "search": ("code_search", {"files": MANY, "pattern": "$A.$B($$$C)"}),
    "context": (
        "code_search",
        {"files": MANY, "pattern": "print($$$A)", "language": "python", "context": 1},
    ),
    "few": ("code_search", {"files": MANY, "pattern": "$A", "max_matches": 2}),
    "no pattern": ("code_search", {"files": {"a.py": SHOP}, "pattern": "def ((("}),
    "no language": ("code_search", {"files": MANY, "pattern": "x", "language": "klingon"}),
    "not everywhere": ("code_search", {"files": MANY, "pattern": "class Order: $$$B"}),
    "no input": ("code_search", {"pattern": "x"}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def host(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The built-in host, installed, and cut off from every network where that is allowed."""
    data = tmp_path_factory.mktemp("data")
    found = {one.id: one for one in manifest.load([], Places(data))}["code-mcp"]
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
    return asyncio.run(_all(host, tmp_path_factory.mktemp("tasks")))


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


def test_one_file_in_one_shape(results: dict[str, Any]) -> None:
    result = results["one"]
    assert (result["status"], result["language"], result["encoding"]) == (
        "analyzed",
        "python",
        "utf-8",
    )
    assert result["lines"] == {"total": 11, "code": 7, "blank": 4, "comment": 0}
    assert [(one["kind"], one["name"], one.get("parent")) for one in result["symbols"]] == [
        ("class", "Order", None),
        ("method", "total", "Order"),
        ("function", "main", None),
    ]
    assert result["symbols"][1]["signature"] == "def total(self, *lines)"
    assert result["imports"] == [
        {"module": "os", "line": 1},
        {"module": ".", "names": [{"name": "stock", "alias": "store"}], "level": 1, "line": 2},
        {"module": "..rules", "star": True, "level": 2, "line": 3},
    ]
    assert [(one["name"], one["complexity"]) for one in result["functions"]] == [
        ("total", 4),
        ("main", 1),
    ]
    assert (result["errors"], result["remarks"]) == ([], [])


def test_what_a_language_has_no_notion_of_is_absent(results: dict[str, Any]) -> None:
    result = results["json"]
    assert [one["name"] for one in result["symbols"]] == ["a"]
    assert not {"functions", "imports"} & result.keys()
    assert "comment" not in result["lines"]


def test_a_folder_is_told_file_by_file_and_in_sums(results: dict[str, Any]) -> None:
    result = results["many"]
    paths = [one["path"] for one in result["files"]]
    assert paths == sorted(set(MANY) - {"image.png"})
    assert [(one["path"], one["reason"]) for one in result["not_analyzed"]] == [
        ("image.png", "binary")
    ]
    assert result["failed"] == []
    sums = result["totals"]
    assert (sums["files"], sums["analyzed"]) == (len(MANY), len(MANY) - 1)
    assert sums["by_language"]["python"]["functions"] == 2
    assert "functions" not in sums["by_language"]["json"]
    assert sums["complexity"]["max_at"]["name"] == "Order.total"
    assert results["binary"]["status"] == "not_analyzed"


def test_the_same_input_gives_the_same_bytes(results: dict[str, Any]) -> None:
    first, second = (msgspec.json.encode(results[name]) for name in ("many", "many again"))
    assert first == second


def test_errors_and_shortcomings_are_told_where_they_are(results: dict[str, Any]) -> None:
    files = {one["path"]: one for one in results["many"]["files"]}
    assert files["broken.ts"]["errors"][0]["line"] == 1
    assert files["broken.ts"]["symbols"] or files["broken.ts"]["errors"]
    (error,) = files["old.py"]["errors"]
    assert "can't read it" in error["message"]
    assert files["latin.py"]["encoding"] in ("cp1252", "latin-1", "iso8859-1")
    assert files["min.js"]["remarks"][0]["message"].startswith("minified")
    assert "symbols" not in files["min.js"]
    assert files["notes.unknown"]["lines"] == {"total": 3, "blank": 1}
    assert "no grammar" in files["notes.unknown"]["remarks"][0]["message"]
    assert files["empty.py"]["functions"] == []
    assert files["empty.py"]["lines"]["total"] == 0


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("no file", "there is no file b.py"),
        ("climbing", "without `..`"),
        ("absolute", "without `..`"),
        ("nothing", "there are no files"),
        ("too big", "Ask for max_depth up to"),
        ("no type", "no nodes of type 'nope'"),
        ("no grammar", "there is no grammar"),
        ("no text", "binary"),
        ("no pattern", "no single piece of python"),
        ("no language", "`klingon` can't be searched"),
    ],
)
def test_what_can_not_be_done_fails_and_says_what_to_do(
    task: str, says: str, results: dict[str, Any]
) -> None:
    failure = results[task]
    assert isinstance(failure, HostError), failure
    assert failure.kind is FailureKind.TOOL
    assert says in failure.message


def test_nothing_but_the_tasks_own_files_is_read(results: dict[str, Any]) -> None:
    assert results["outside"].kind is FailureKind.FORBIDDEN_PATH
    assert isinstance(results["no input"], BadInput)


def test_a_tree_is_as_deep_wide_and_long_as_asked(results: dict[str, Any]) -> None:
    tree, shallow = results["tree"], results["shallow"]
    assert tree["complete"]
    assert tree["tree"]["type"] == "module"
    assert tree["tree"]["range"] == [1, 1, 12, 1]
    assert (shallow["depth"], shallow["complete"]) == (2, False)
    assert shallow["all_nodes"] == tree["nodes"]
    assert shallow["tree"]["children"][3]["left_out"] == 2
    assert b'"text":"x"' in msgspec.json.encode(results["text"])
    assert [one["type"] for one in results["range"]["tree"]["children"]] == ["function_definition"]
    assert [one["range"][0] for one in results["types"]["matches"]] == [7, 11]


def test_a_tree_is_cut_where_it_is_too_deep_for_an_answer(results: dict[str, Any]) -> None:
    deep = results["deep"]
    assert (deep["depth"], deep["complete"]) == (60, False)
    assert "max_depth" in deep["remarks"][0]["message"]
    assert len(BIG) > 850_000, "`too big` is about that much"


def test_code_is_found_by_its_structure(results: dict[str, Any]) -> None:
    found = results["search"]
    (match,) = [one for one in found["matches"] if one["path"] == "shop/a.js"]
    assert match["captured"] == {"A": "fs", "B": "read", "C": ["x"]}
    assert match["range"]["start"] == {"line": 2, "column": 38}
    assert match["line"].startswith("export class A")
    (hit,) = results["context"]["matches"]
    assert (hit["path"], hit["before"], hit["after"]) == ("shop/order.py", [""], [""])
    assert len(results["few"]["matches"]) == 2
    assert results["few"]["left_out"] > 100
    skipped = {one["path"]: one["reason"] for one in found["not_searched"]}
    assert skipped["image.png"] == "binary"
    assert skipped["min.js"] == "minified"
    only = results["not everywhere"]
    assert {one["path"] for one in only["matches"]} <= {"shop/order.py"}
    assert any(one["reason"] == "pattern" for one in only["not_searched"])


def test_the_examples_and_the_languages(results: dict[str, Any]) -> None:
    assert results["example of code_analysis"]["functions"][0]["complexity"] == 2
    assert results["example of ast_parsing"]["tree"]["type"] == "program"
    assert len(results["example of code_search"]["matches"]) == 2
    names = {one["name"] for one in results["languages"]["languages"]}
    assert len(names) >= 24
    assert {"python", "tsx", "sql", "toml", "markdown", "shell"} <= names


def test_nothing_is_written_beside_the_task(results: dict[str, Any], home: Path) -> None:
    assert results
    assert list(home.rglob("*")) == []
