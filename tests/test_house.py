"""The house rules, checked on whatever exists: size, docstrings, borders, names, leftovers."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("router", "registry", "executor", "results", "gateway")
REQUIRED = {"__init__.py", "domain.py", "actor.py", "settings.py", "__main__.py"}
FILE_LINES = 400
FUNCTION_LINES = 50
# What a pure module may import: nothing here reads a clock, rolls dice or does I/O.
PURE = frozenset(
    "__future__ abc base64 bisect collections contextlib copy dataclasses decimal enum fractions"
    " functools hashlib heapq itertools json math msgspec operator packaging re statistics string"
    " textwrap types typing unicodedata".split()
)
FLOORS: tuple[tuple[str, ...], ...] = (
    ("process",),
    ("bus", "outside", "huggingface", "github", "packed"),
    ("log", "store"),
    ("keys", "join"),
    ("audit", "foreign"),
    SERVICES,
    ("up",),
    ("cli",),
)
"""The rooms of `services/`, from the ground up: each imports only rooms on floors below its own."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
NATS_USERS = ("bus", "log", "store")
FAMILIES = {
    "services/outside/mcp_": "three ways to one protocol: message, child, HTTP",
}
"""Families of files with one prefix that are no rooms, and why."""
SAME_NAME = {
    "Settings": "each service has its own, by rule",
    "Failure": "the word of the log, and the body of an HTTP answer by its published name",
}
"""Public classes that may have one name, and why."""
IMPORTERS = ("importlib.import_module", "import_module", "__import__")
SLEEPS = {f"{module}.sleep" for module in ("asyncio", "time", "anyio", "trio")}
SAMPLES = "tests/realcode/samples/"
"""Code of the security tests that is bad on purpose, written as others write."""
LEFTOVERS = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|NotImplemented[E]rror)\b")
# The brackets keep these patterns from matching themselves.
REGISTRIES = re.compile(r"p[y]pi\.org|python[h]osted\.org|n[p]mjs\.org|deb\.deb[i]an\.org")
MACHINE = re.compile(r"(?:^|[^A-Za-z0-9_.~-])/(?:w[o]rk|f[a]rm|r[o]ot|h[o]me)/", re.MULTILINE)

Rule = Callable[[str, ast.Module], Iterator[str]]


@functools.cache
def tracked() -> list[str]:
    """Paths of all files that are, or could be, committed, but for the samples of bad code."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = sorted(set(listed.split("\0")))
    return [path for path in paths if (ROOT / path).is_file() and not path.startswith(SAMPLES)]


@functools.cache
def parsed(path: str) -> ast.Module:
    """The module at this path; every rule reads the same tree."""
    return ast.parse((ROOT / path).read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from services import log` imports services.log.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_product(path: str) -> bool:
    return path.startswith(("contracts/", "services/"))


def room_of(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else None


def starts_with_the_future(path: str, tree: ast.Module) -> Iterator[str]:
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    if body and not (isinstance(body[0], ast.ImportFrom) and body[0].module == "__future__"):
        yield "the first statement is not `from __future__ import annotations`"


def has_a_short_module_docstring(path: str, tree: ast.Module) -> Iterator[str]:
    lines = [line for line in (ast.get_docstring(tree) or "").splitlines() if line.strip()]
    limit = 15 if path.endswith("__init__.py") else 4
    if not 1 <= len(lines) <= limit:
        yield f"the module docstring has {len(lines)} lines, not 1 to {limit}"


def documents_what_is_public(path: str, tree: ast.Module) -> Iterator[str]:
    if not is_product(path):
        return
    for node in tree.body:
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield f"{node.name} (line {node.lineno}) has no docstring"


def has_short_functions(path: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{node.name} has {length} lines, more than {FUNCTION_LINES}"


def keeps_the_floors(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.startswith("services/") or path == "services/__init__.py":
        return
    own = room_of(path.removesuffix(".py").replace("/", "."))
    if own not in FLOOR:
        yield f"the room {own} is on no floor: see FLOORS"
        return
    for name in imports(tree):
        room = room_of(name)
        if name.split(".")[0] == "services" and room != own:
            if room not in FLOOR:
                yield f"{name} is in no room"
            elif FLOOR[room] >= FLOOR[own]:
                yield f"{name} is not on a floor below {own}"


def keeps_the_borders(path: str, tree: ast.Module) -> Iterator[str]:
    if not is_product(path):
        return
    own = room_of(path.removesuffix(".py").replace("/", "."))
    for name in imports(tree):
        top = name.split(".")[0]
        if path.startswith("contracts/") and top in {"services", "tests"}:
            yield f"contracts import {name}"
        if top == "nats" and own not in NATS_USERS:
            yield "nats is for the log, store and bus rooms only"
        if top == "tests":
            yield "the product imports its tests"


def imports_by_statement(path: str, tree: ast.Module) -> Iterator[str]:
    """What is imported by a string is seen by no tool: not by this test, mypy or a reader."""
    if not is_product(path):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            yield f"line {node.lineno} imports by a string"


def contracts_are_words_only(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("contracts/"):
        allowed = sys.stdlib_module_names | {"contracts", "msgspec"}
        yield from (
            f"imports {name}" for name in imports(tree) if name.split(".")[0] not in allowed
        )


def domains_are_pure(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.endswith("/domain.py"):
        return
    yield from impure(path, tree, seen=set())


def impure(path: str, tree: ast.Module, seen: set[str]) -> Iterator[str]:
    """A domain may be split: what it imports, also from lower rooms, is as pure as itself."""
    seen.add(path)
    for name in imports(tree):
        if name.split(".")[0] in PURE | {"contracts"}:
            continue
        module = next((file for file in ours(name) if (ROOT / file).is_file()), None)
        if module is None:
            yield f"{path} imports {name}"
        elif module not in seen:
            yield from impure(module, parsed(module), seen)


def ours(name: str) -> Iterator[str]:
    """Files of the services that `name` may stand for: the floors say who may import them."""
    if name.startswith("services."):
        for dotted in (name, name.rpartition(".")[0]):
            yield dotted.replace(".", "/") + ".py"


def never_sleeps_in_tests(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.startswith("tests/"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in SLEEPS:
            yield f"line {node.lineno} sleeps: wait for an event or a condition"
    yield from (f"imports {name}" for name in imports(tree) if name in SLEEPS)


RULES: tuple[Rule, ...] = (
    starts_with_the_future,
    has_a_short_module_docstring,
    documents_what_is_public,
    has_short_functions,
    keeps_the_floors,
    keeps_the_borders,
    imports_by_statement,
    contracts_are_words_only,
    domains_are_pure,
    never_sleeps_in_tests,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module(rule: Rule) -> None:
    wrong = [
        f"{path}: {problem}"
        for path in tracked()
        if path.endswith(".py")
        for problem in rule(path, parsed(path))
    ]
    assert wrong == []


BAD = [
    (starts_with_the_future, "services/a.py", "import os"),
    (has_a_short_module_docstring, "services/a.py", "import os"),
    (has_a_short_module_docstring, "services/a.py", '"""a\nb\nc\nd\ne"""'),
    (documents_what_is_public, "services/a.py", "def f(): pass"),
    (documents_what_is_public, "contracts/a.py", "class A: pass"),
    (has_short_functions, "tests/a.py", "def f():\n" + "    pass\n" * FUNCTION_LINES),
    (keeps_the_borders, "contracts/a.py", "from services import log"),
    (keeps_the_floors, "services/router/actor.py", "from services.gateway import domain"),
    (keeps_the_floors, "services/router/actor.py", "import services.gateway.domain"),
    (keeps_the_floors, "services/process/run.py", "from services import router"),
    (keeps_the_floors, "services/bus/bus.py", "from services.log import port"),
    (keeps_the_floors, "services/bus/bus.py", "from services.outside import site"),
    (keeps_the_floors, "services/bus/bus.py", "from services.nowhere import site"),
    (keeps_the_floors, "services/cli_more.py", "import os"),
    (imports_by_statement, "services/up/up.py", "importlib.import_module('services.router')"),
    (imports_by_statement, "services/up/up.py", "module = __import__(name)"),
    (keeps_the_borders, "services/router/actor.py", "import nats.js"),
    (keeps_the_borders, "services/log/port.py", "from tests.support import given"),
    (contracts_are_words_only, "contracts/a.py", "import httpx"),
    (domains_are_pure, "services/router/domain.py", "import time"),
    (domains_are_pure, "services/router/domain.py", "from services.router import nowhere"),
    (domains_are_pure, "services/router/domain.py", "from services import log"),
    (domains_are_pure, "services/router/domain.py", "from services.log.read import Reader"),
    (domains_are_pure, "services/router/domain.py", "from services.router import actor"),
    (never_sleeps_in_tests, "tests/a.py", "import asyncio\nasyncio.sleep(1)"),
    (never_sleeps_in_tests, "tests/a.py", "from time import sleep"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_a_rule_notices_what_it_is_for(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


GOOD = [
    (keeps_the_borders, "services/cli_up.py", "from services.router import actor"),
    (keeps_the_borders, "services/router/actor.py", "from services.router import domain"),
    (keeps_the_borders, "services/log/jetstream.py", "import nats"),
    (domains_are_pure, "services/router/domain.py", "import msgspec\nfrom contracts import facts"),
    (domains_are_pure, "services/router/domain.py", "from services.log.clock import LogClock"),
]


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_a_rule_leaves_good_code_alone(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source))) == []


def test_files_are_short() -> None:
    lengths = {
        path: len((ROOT / path).read_text().splitlines())
        for path in tracked()
        if path.endswith(".py")
    }
    assert {path: n for path, n in lengths.items() if n >= FILE_LINES} == {}


def test_the_five_services_have_the_same_files() -> None:
    files = {path for path in tracked() if path.startswith("services/")}
    missing = [
        f"services/{service}/{name}"
        for service in SERVICES
        if any(path.startswith(f"services/{service}/") for path in files)
        for name in sorted(REQUIRED)
        if f"services/{service}/{name}" not in files
    ]
    assert missing == []


def product() -> dict[str, ast.Module]:
    """Every module of the product by its dotted name."""
    return {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): parsed(path)
        for path in tracked()
        if is_product(path) and path.endswith(".py")
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One way round, if there is any: the first name comes again at the end."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_imports() -> None:
    modules = product()
    graph = {
        name: {
            known
            for imported in imports(tree)
            for known in (imported, imported.rpartition(".")[0])
            if known in modules and known != name
        }
        for name, tree in modules.items()
    }
    assert circle(graph) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})


def families(paths: list[str]) -> set[str]:
    """Prefixes up to an underscore that three or more files of one folder share."""
    prefixes = [path[: path.index("_", path.rindex("/"))] + "_" for path in paths]
    return {prefix for prefix in prefixes if prefixes.count(prefix) >= 3}


def test_no_family_of_files_is_a_room_in_hiding() -> None:
    files = [path for path in tracked() if is_product(path) and path.endswith(".py")]
    named = [path for path in files if "_" in path.rpartition("/")[2].strip("_")]
    found = families([path for path in named if not path.rpartition("/")[2].startswith("_")])
    assert found - FAMILIES.keys() == set()
    assert families(["a/b_c.py", "a/b_d.py", "a/b_e.py", "a/c_d.py"]) == {"a/b_"}


def test_no_two_public_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for module, tree in product().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    twice = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert {name: twice[name] for name in twice.keys() - SAME_NAME.keys()} == {}


def test_the_map_in_readme_shows_every_room() -> None:
    part = (ROOT / "README.md").read_text().partition("## How it works")[2].partition("\n## ")[0]
    shown = set(re.findall(r"^\| `(services/[^`]+)`", part, re.MULTILINE))
    python = [path for path in tracked() if re.fullmatch(r"services/.+\.py", path)]
    rooms = {path.rpartition("/")[0] + "/" for path in python} - {"services/"}
    loose = {path for path in python if path.count("/") == 1} - {"services/__init__.py"}
    assert shown == rooms | loose


def test_pages_name_files_that_exist() -> None:
    named = re.compile(r"`((?:tests|services|contracts|deploy|docs)/[\w./*-]+)`")
    missing = [
        f"{path}: {match[1]}"
        for path in tracked()
        if path.endswith(".md") and path != "CHANGELOG.md"
        for match in named.finditer((ROOT / path).read_text())
        if not any(ROOT.glob(match[1].rstrip("/")))
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("pattern", "where"),
    [(LEFTOVERS, "contracts/ services/ deploy/ tests/"), (REGISTRIES, ""), (MACHINE, "")],
    ids=["unfinished work", "registry hosts", "paths of a machine"],
)
def test_no_file_holds(pattern: re.Pattern[str], where: str) -> None:
    folders = tuple(where.split()) or ("",)
    found = [
        f"{path}: {match[0]!r}"
        for path in tracked()
        if path.startswith(folders)
        for match in pattern.finditer((ROOT / path).read_bytes().decode("utf-8", "replace"))
    ]
    assert found == []
