"""The house rules, checked on whatever exists: size, docstrings, borders, names, leftovers."""

from __future__ import annotations

import ast
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
    " functools hashlib heapq itertools json math msgspec operator re statistics string textwrap"
    " types typing unicodedata".split()
)
NATS_USERS = re.compile(r"services/(log|store|bus)[\w/]*\.py")
COMPOSITION = re.compile(r"services/(cli|up)[\w/]*\.py")
SLEEPS = {f"{module}.sleep" for module in ("asyncio", "time", "anyio", "trio")}
LEFTOVERS = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|NotImplemented[E]rror)\b")
# The brackets keep these patterns from matching themselves.
REGISTRIES = re.compile(r"p[y]pi\.org|python[h]osted\.org|n[p]mjs\.org|deb\.deb[i]an\.org")
MACHINE = re.compile(r"(?:^|[^A-Za-z0-9_.~-])/(?:w[o]rk|f[a]rm|r[o]ot|h[o]me)/", re.MULTILINE)

Rule = Callable[[str, ast.Module], Iterator[str]]


def tracked() -> list[str]:
    """Paths of all files that are, or could be, committed."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for path in sorted(set(listed.split("\0"))) if (ROOT / path).is_file()]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from services import log` imports services.log.port.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_product(path: str) -> bool:
    return path.startswith(("contracts/", "services/"))


def service_of(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 and parts[1] in SERVICES else None


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


def keeps_the_borders(path: str, tree: ast.Module) -> Iterator[str]:
    if not is_product(path):
        return
    own = service_of(path.removesuffix(".py").replace("/", "."))
    for name in imports(tree):
        top, service = name.split(".")[0], service_of(name)
        if path.startswith("contracts/") and top in {"services", "tests"}:
            yield f"contracts import {name}"
        if service and service != own and not COMPOSITION.fullmatch(path):
            yield f"{name} belongs to another service"
        if top == "nats" and not NATS_USERS.fullmatch(path):
            yield "nats is for the log, store and bus modules only"
        if top == "tests":
            yield "the product imports its tests"


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
    """A domain may be split: a sibling it imports has to be as pure as itself."""
    seen.add(path)
    own = path.rsplit("/", 1)[0].replace("/", ".")
    for name in imports(tree):
        if name.split(".")[0] in PURE | {"contracts"}:
            continue
        sibling = next((s for s in siblings(own, name) if (ROOT / s).is_file()), None)
        if sibling is None:
            yield f"{path} imports {name}"
        elif sibling not in seen:
            yield from impure(sibling, ast.parse((ROOT / sibling).read_text()), seen)


def siblings(package: str, name: str) -> Iterator[str]:
    """Files that `name` may stand for, if it is inside `package`."""
    if name.startswith(f"{package}."):
        for dotted in (name, name.rpartition(".")[0]):
            if dotted != package:
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
    keeps_the_borders,
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
        for problem in rule(path, ast.parse((ROOT / path).read_text()))
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
    (keeps_the_borders, "services/router/actor.py", "from services.gateway import domain"),
    (keeps_the_borders, "services/router/actor.py", "import services.gateway.domain"),
    (keeps_the_borders, "services/process/run.py", "from services import router"),
    (keeps_the_borders, "services/router/actor.py", "import nats.js"),
    (keeps_the_borders, "services/log/port.py", "from tests.support import given"),
    (contracts_are_words_only, "contracts/a.py", "import httpx"),
    (domains_are_pure, "services/router/domain.py", "import time"),
    (domains_are_pure, "services/router/domain.py", "from services.router import nowhere"),
    (domains_are_pure, "services/router/domain.py", "from services import log"),
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
