"""What a command costs before it does anything: which code is loaded, and for whom."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import table
from services.cli.app import build, execute
from services.cli.common import Exit
from tests.unit.cli.gateway import Gateway

HEAVY = frozenset(
    "aiohttp aiosqlite argon2 cryptography httpx2 huggingface_hub jsonschema jwt litestar mcp nats"
    " opentelemetry prometheus_client pydantic tenacity uvicorn uvloop".split()
)
"""Libraries of the services, which a client needs none of."""
CLIENT = frozenset("httpx websockets".split())
LOADED = """
import sys
from services.cli.app import execute
code = execute(sys.argv[1:])
print("\\n".join(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def loaded(*arguments: str, folder: Path) -> set[str]:
    """Modules that are loaded when a command has ended."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.OK, done.stderr
    return set(done.stderr.splitlines())


def top(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("services.")}


@pytest.mark.parametrize("words", ["version", "--version", "--help", "tasks --help"])
def test_who_asks_nobody_loads_no_client_and_no_service(words: str, tmp_path: Path) -> None:
    modules = loaded(*words.split(), folder=tmp_path)
    assert top(modules) & HEAVY == set()
    if words != "tasks --help":
        assert top(modules) & CLIENT == set()
        commands = {name for name in modules if name.startswith("services.cli.commands.")}
        assert commands == {"services.cli.commands.version"}
    assert rooms(modules) <= {"cli", "process", "up"}


def test_a_command_of_the_client_loads_the_client_only(known: Gateway, tmp_path: Path) -> None:
    known.ok("GET /api/tasks", [])
    modules = loaded("tasks", folder=tmp_path)
    assert "httpx" in top(modules)
    assert top(modules) & (HEAVY | {"click", "pygments", "tarfile"}) == set()
    assert not {"services.cli.attach", "services.cli.show.answers"} & modules
    assert rooms(modules) <= {"cli", "process", "up"}


@pytest.mark.parametrize("command", [c for group in table.COMMANDS.values() for c in group])
def test_the_help_page_says_what_the_command_itself_says(command: table.Command) -> None:
    function = command.load()[command.name]
    assert (inspect.getdoc(function) or "").splitlines()[0] == command.summary


def test_the_help_page_is_the_same_when_every_command_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert execute(["--help"]) == Exit.OK
    light = capsys.readouterr().out
    build()(["--help"], exit_on_error=False)
    assert capsys.readouterr().out == light


def test_no_command_is_named_after_a_module_and_forgotten() -> None:
    named = {command.name for group in table.COMMANDS.values() for command in group}
    loads = {command.load for group in table.COMMANDS.values() for command in group}
    given = {words for load in loads for words in load()}
    assert {words.partition(" ")[0] for words in given} == named
