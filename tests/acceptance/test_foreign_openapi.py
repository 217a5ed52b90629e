"""Clients that generators write from the HTTP API's description: they compile, and they work."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.foreign import install
from tests.support.foreign.program import run
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
PROGRAMS = install.HERE / "openapi"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """An orchestrator with one host, which is there."""
    async with system(tmp_path_factory.mktemp("generated"), {"one": 4}, real=False) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"]

        await until(healthy)
        yield running


async def described(one: System, folder: Path) -> None:
    answer = await one.get("/api/schema/openapi.json")
    (folder / "openapi.json").write_bytes(answer.content)


async def alone(folder: Path, *command: str | Path, **environment: str) -> str:
    """What a program prints, which knows of this folder alone; it has to end well."""
    return (await run(*command, cwd=folder, HOME=str(folder), **environment)).text()


async def check(one: System, told: str, task: str) -> None:
    """That the program has seen what there is."""
    seen: dict[str, Any] = json.loads(told)
    tools = len((await one.get("/api/mcps")).json()["data"][0]["tools"])
    assert (seen["status"], seen["attempt"], seen["tools"]) == ("succeeded", 1, tools)
    assert tools > 3
    assert seen["result"]["structured"]["task"] == task


async def test_clients_in_typescript(one: System, tmp_path: Path) -> None:
    try:
        node = await asyncio.to_thread(install.node, PROGRAMS)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    await described(one, tmp_path)
    for file in PROGRAMS.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "node_modules").symlink_to(node.folder / "node_modules")
    path = {"PATH": node.path}
    await alone(
        tmp_path, *node.program("openapi-typescript"), "openapi.json", "-o", "schema.ts", **path
    )
    await alone(tmp_path, *node.program("openapi-ts"), **path)
    await alone(tmp_path, *node.program("tsc"), "-p", ".", **path)
    for program in ("with_openapi_typescript", "with_hey_api"):
        command = (*node.program("tsc")[:1], f"out/{program}.js", one.url, one.running.token)
        told = await alone(tmp_path, *command, program, **path)
        await check(one, told, program)


async def test_a_client_in_python(one: System, tmp_path: Path) -> None:
    try:
        python = await asyncio.to_thread(install.python, "openapi/python.txt")
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    await described(one, tmp_path)
    written = ("generate", "--path", "openapi.json", "--output-path", "generated", "--meta", "none")
    await alone(
        tmp_path, str(python.parent / "openapi-python-client"), *written, PATH="/usr/bin:/bin"
    )
    shutil.copy(PROGRAMS / "with_python_client.py", tmp_path)
    program = ("with_python_client.py", one.url, one.running.token, "with_python")
    await check(one, await alone(tmp_path, str(python), *program), "with_python")
