"""Completion of words in a shell: installed by one command, tried in bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
shopt -u progcomp_alias
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
rule=$(complete -p metamcp); name=${rule##*-F }; name=${name%% *}
"$name" metamcp "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_what_is_below_them_and_options(tmp_path: Path) -> None:
    environ = os.environ | {"HOME": str(tmp_path), "SHELL": shutil.which("bash") or ""}
    install = [sys.executable, "-m", "services.cli", "--install-completion", "--shell", "bash"]
    root = Path(__file__).parents[3]
    subprocess.run(install, cwd=root, env=environ, check=True, capture_output=True)
    script = tmp_path / ".local" / "share" / "bash-completion" / "completions" / "metamcp"

    def offered(*words: str) -> set[str]:
        ask = ["bash", "--norc", "-c", ASK, "bash", str(script), "metamcp", *words]
        done = subprocess.run(ask, env=environ, check=True, capture_output=True, text=True)
        return {line.strip() for line in done.stdout.splitlines()}

    assert {"tasks", "task"} <= offered("tas")
    assert "hosts" not in offered("tas")
    assert {"add", "import", "remove"} <= offered("hosts", "")
    assert {"--status", "--limit"} <= offered("tasks", "--")
