"""The scan engines where they fail or have much to do: what the others find is kept."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from services.registry.builtin import pinned
from services.registry.builtin.security import planted
from services.registry.builtin.security.engines import child
from services.registry.builtin.security.scanner import Scanner
from services.registry.manifests import manifest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
BUILTIN = manifest.BUILTIN.parent
RULES = BUILTIN / "security" / "rules"
HASH = "import hashlib\n\n\ndef f(data):\n    return hashlib.md5(data).hexdigest()\n"
SHELL = "import subprocess\n\n\ndef f(name):\n    subprocess.run('ls ' + name, shell=True)\n"
TODAY = "print('today')\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engines, installed."""
    pins = BUILTIN / "constraints" / "security.txt"
    return pinned.environment(tmp_path_factory.mktemp("servers"), pins)


def broken(environment: Path, folder: Path, program: str, script: str) -> Path:
    """An environment in which one program is this shell script."""
    (folder / "bin").mkdir(parents=True)
    for path in (environment / "bin").iterdir():
        (folder / "bin" / path.name).symlink_to(path)
    (folder / "lib").symlink_to(environment / "lib")
    shutil.copy(environment / "pyvenv.cfg", folder)
    (folder / "bin" / program).unlink()
    (folder / "bin" / program).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / program).chmod(0o755)
    return folder


async def scan(environment: Path, folder: Path, files: dict[str, str]) -> dict[str, Any]:
    await asyncio.to_thread(planted.plant, folder, files)
    return await Scanner(environment, RULES).scan(folder)


@pytest.mark.parametrize(
    ("script", "reason"), [("kill -9 $$", "engine_failed"), ("exec sleep 600", "timeout")]
)
async def test_an_engine_that_dies_or_hangs_leaves_what_the_others_find(
    script: str, reason: str, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "timeout":
        monkeypatch.setattr(child, "BATCH_S", 10.0)
    made = await asyncio.to_thread(broken, environment, tmp_path / "e", "semgrep", script)
    answer = await scan(made, tmp_path / "files", {"a.py": HASH, "b.go": "package a\n"})
    assert [(one["path"], one["engines"]) for one in answer["findings"]] == [("a.py", ["bandit"])]
    (semgrep,) = [one for one in answer["engines"] if one["name"] == "semgrep"]
    assert "2 files failed" in semgrep["problem"]
    assert [(one["path"], one["reason"]) for one in answer["failed"]] == [("b.go", reason)]
    (scanned,) = answer["scanned"]
    assert scanned["remarks"][0].startswith(f"semgrep: not scanned ({reason})")


@pytest.mark.long
async def test_three_thousand_small_files_are_scanned_to_the_last(
    environment: Path, tmp_path: Path
) -> None:
    files = {f"{n // 100}/f{n}.py": TODAY for n in range(3000)}
    files |= {"7/f700.py": SHELL, "29/f2999.py": SHELL}
    answer = await scan(environment, tmp_path, files)
    assert [(one["path"], one["engines"]) for one in answer["findings"]] == [
        ("29/f2999.py", ["bandit", "semgrep"]),
        ("7/f700.py", ["bandit", "semgrep"]),
    ]
    assert answer["totals"]["scanned"] == 3000
    assert all("problem" not in one for one in answer["engines"])


async def test_the_probe_notices_an_engine_that_finds_nothing(
    environment: Path, tmp_path: Path
) -> None:
    await planted.prove(Scanner(environment, RULES), tmp_path / "all", planted.WEAKNESSES)
    quick = Scanner(environment, planted.rules(RULES))
    await planted.prove(quick, tmp_path / "one", planted.ONE, ["semgrep"])
    script = "echo '{\"comments\": []}'"
    blind = await asyncio.to_thread(broken, environment, tmp_path / "e", "shellcheck", script)
    with pytest.raises(ToolError, match="shellcheck does not work: it did not find"):
        await planted.prove(Scanner(blind, RULES), tmp_path / "blind", planted.WEAKNESSES)
    mute = await asyncio.to_thread(broken, environment, tmp_path / "f", "hadolint", "exit 3")
    with pytest.raises(ToolError, match="hadolint does not work: 1 files failed"):
        await planted.prove(Scanner(mute, RULES), tmp_path / "mute", planted.WEAKNESSES)
