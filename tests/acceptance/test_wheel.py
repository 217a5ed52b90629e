"""Installed as a wheel, in an environment of its own and from an empty folder, it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import hub_server

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
SHIPPED = ("contracts/", "services/", "deploy/space/")
SPACE = "ann/tools"


def tracked() -> list[str]:
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for path in listed.split("\0") if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is, or could be, committed."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / "source" / path)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", folder, folder / "source"], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment: the wheel's own files, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index"]
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # A line of this file is a folder to look in; what links to the checkout is not followed.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def environ(installed: Path, **more: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("METAMCP", "PYTHON"))}
    programs = (str(installed), sysconfig.get_path("scripts"), ours["PATH"])
    return ours | {"PATH": os.pathsep.join(programs)} | more


async def run(*command: object, cwd: Path, env: dict[str, str]) -> Any:
    """Run `metamcp … --json` to its end and return what it printed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *map(str, command), "--json", cwd=cwd, env=env, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (command, out, err)
    return json.loads(out)


@contextlib.asynccontextmanager
async def up(installed: Path, folder: Path, env: dict[str, str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        installed / "metamcp", "up", "--port", "0", "--json",
        cwd=folder, env=env, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(120):
            assert json.loads(await process.stdout.readline())["url"]
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.communicate()


def test_the_wheel_holds_every_file_of_the_product(wheel: Path) -> None:
    wanted = {path for path in tracked() if path.startswith(SHIPPED)}
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_its_code_is_its_own(installed: Path, tmp_path: Path) -> None:
    where = "import services, contracts; print(services.__file__, contracts.__file__)"
    ask = [installed / "python", "-c", where]
    found = subprocess.run(
        ask, cwd=tmp_path, env=environ(installed), capture_output=True, check=True, text=True
    )
    for file in found.stdout.split():
        assert Path(file).is_relative_to(installed.parent)


@pytest.mark.long
async def test_the_demo_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = await run(installed / "metamcp", "demo", cwd=tmp_path, env=environ(installed))
    assert done["ok"] is True
    assert os.listdir(tmp_path) == []


@pytest.mark.long
async def test_a_space_is_deployed_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    async with hub_server(tmp_path / "hub") as hub:
        token = tmp_path / "token"
        token.write_text(hub.account("ann"))
        folder = tmp_path / "empty"
        folder.mkdir()
        left_out = "tree-sitter-mcp,git-mcp,semgrep-mcp,github-mcp"
        env = environ(
            installed,
            METAMCP_ALLOW_PRIVATE_HOSTS="true",
            METAMCP_ENABLE_METRICS="false",
            METAMCP_REGISTRY_DISABLED=left_out,
            **hub.environment,
        )
        metamcp = installed / "metamcp"
        async with up(installed, folder, env):
            await run(metamcp, "link", "huggingface", "--token-file", token, cwd=folder, env=env)
            await run(metamcp, "spaces", "create", "tools", cwd=folder, env=env)
            await run(metamcp, "spaces", "deploy", SPACE, "--no-wait", cwd=folder, env=env)
        there = hub.files("space", SPACE)
    kit = [path for path in tracked() if path.startswith("deploy/space/") and "/." not in path]
    for path in kit:
        assert there[path.removeprefix("deploy/space/")] == (ROOT / path).read_bytes(), path
    assert len(kit) > 10
    assert not any("__pycache__" in name for name in there)
