"""The second wall: what a process in it can do, when all that stands before it is gone."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from services.registry.builtin.git import sandbox
from tests.unit.registry.builtin.git.world import GIT, Repo

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sandbox.version(ctypes.CDLL(None)) < 1,
    reason="the kernel has no Landlock",
)
INSIDE = """
import os, socket, subprocess, sys
from pathlib import Path
from services.registry.builtin.git import sandbox
git, root, home, port, command = sys.argv[1:]
print(sandbox.enter(git, [Path(root)], Path(home)))
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
exec(command)
"""


def inside(repo: Repo, home: Path, command: str, port: int = 0, git: str = GIT) -> str:
    """What a process in the sandbox prints, or the error that it ends with."""
    arguments = [sys.executable, "-c", INSIDE, git, str(repo.path), str(home), str(port), command]
    done = subprocess.run(
        arguments, cwd=Path(__file__).parents[5], capture_output=True, text=True, check=False
    )
    *_, last = (done.stdout + done.stderr).splitlines()
    return last


def test_git_runs_and_reads_the_roots(repo: Repo, tmp_path: Path) -> None:
    id_ = repo.commit(a="1\n")
    command = 'print(subprocess.run([git, "-C", root, "rev-parse", "HEAD"], capture_output=True))'
    assert id_ in inside(repo, tmp_path, command)
    command = 'Path(home, "x").mkdir(); Path(home, "x", "y").touch(); print("made")'
    assert inside(repo, tmp_path, command) == "made"


@pytest.mark.parametrize(
    "command",
    [
        'open("/etc/passwd")',
        'os.listdir("/etc")',
        'open(root + "/new", "w")',
        'open(root + "/a", "r+")',
        'os.mkdir(root + "/new")',
        'os.unlink(root + "/a")',
        'subprocess.run(["/bin/sh", "-c", "true"])',
        "subprocess.run([sys.executable])",
        "subprocess.run([root + '/program'])",
        'socket.create_connection(("127.0.0.1", int(port)))',
        'socket.create_server(("127.0.0.1", 0))',
    ],
)
def test_nothing_else_can_be_done(repo: Repo, tmp_path: Path, command: str) -> None:
    repo.write("a", "1\n")
    repo.write("program", "#!/bin/sh\n")
    (repo.path / "program").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    port = 0
    if "create_" in command and sandbox.version(ctypes.CDLL(None)) < 4:
        pytest.skip("this kernel's Landlock knows no network")
    assert "PermissionError" in inside(repo, home, command, port)


def test_gits_own_children_are_in_it_too(repo: Repo, tmp_path: Path) -> None:
    """The very hole that the configuration of ours closes."""
    repo.commit(a="1\n", _gitattributes="* diff=evil\n")
    repo.write("a", "2\n")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {repo.path}/ran\ncat $1\n")
    program.chmod(0o755)
    repo.git("config", "diff.evil.textconv", str(program))
    command = 'print(subprocess.run([git, "-C", root, "diff"], capture_output=True).returncode)'
    home = tmp_path / "home"
    home.mkdir()
    assert inside(repo, home, command) != "0"
    assert not (repo.path / "ran").exists()
    repo.git("diff")
    assert (repo.path / "ran").exists(), "it would have run"


def test_where_git_does_not_run_inside_it_goes_on_without(repo: Repo, tmp_path: Path) -> None:
    script = tmp_path / "git"
    script.write_text(f'#!/bin/sh\nexec {GIT} "$@"\n')
    script.chmod(0o755)
    told = inside(repo, tmp_path, 'print(open("/etc/passwd").readable())', git=str(script))
    assert "going on without one" in told
