"""Which Python the Makefile takes, tried with Pythons that only say who they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
case "$*" in
    *'print("%d.%d"'*) echo 3.{minor} ;;
    *"-m venv --clear"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    *) echo "3.{minor} $*" >> called ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, and Pythons 3.11 and 3.13 beside it."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    for minor in (11, 13):
        program = tmp_path / "home" / "versions" / f"3.{minor}.0" / "bin" / "python3"
        program.parent.mkdir(parents=True)
        program.write_text(PYTHON.format(minor=minor))
        program.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str) -> str:
    tools = checkout / "tools"
    tools.mkdir(exist_ok=True)
    for tool in ("make", "sh", "rm", "touch", "mkdir", "cp", "awk"):
        if not (tools / tool).exists():
            (tools / tool).symlink_to(shutil.which(tool) or "")
    environ = {"PATH": str(tools), "PYENV_ROOT": str(checkout / "home"), "HOME": os.devnull}
    done = subprocess.run(
        ["make", *arguments], cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(checkout: Path, minor: int) -> str:
    return f"PYTHON={checkout / 'home' / 'versions' / f'3.{minor}.0' / 'bin' / 'python3'}"


def test_a_named_python_wins_over_the_venv_of_another(checkout: Path) -> None:
    assert make(checkout, "setup", python(checkout, 11)).endswith("with Python 3.11\n")
    assert make(checkout, "setup", python(checkout, 13)).endswith("with Python 3.13\n")
    assert make(checkout, "setup").endswith("with Python 3.13\n")
    before = (checkout / "called").read_text()
    assert "installing" not in make(checkout, "setup", python(checkout, 13))
    assert (checkout / "called").read_text() == before


def test_the_newest_python_gets_a_venv_of_its_own(checkout: Path) -> None:
    make(checkout, "setup", python(checkout, 11))
    (checkout / "called").unlink()
    assert "unit-newest: Python 3.13" in make(checkout, "unit-newest")
    assert "3.13 -m pytest" in (checkout / "called").read_text()
    assert make(checkout, "setup").endswith("with Python 3.11\n")


def test_where_the_newest_is_in_use_there_is_nothing_to_repeat(checkout: Path) -> None:
    make(checkout, "setup", python(checkout, 13))
    (checkout / "called").unlink()
    assert "skipped, .venv has the newest Python found here (3.13)" in make(checkout, "unit-newest")
    assert "pytest" not in (checkout / "called").read_text()
