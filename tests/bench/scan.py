"""A repository scanned and analysed by one command, against its engines run by hand.

By hand: their own command lines on the folder, all started at once, until the last has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.registry.builtin import pinned
from services.registry.manifests import manifest
from services.up import up
from tests.bench.measure import PATIENCE_S, median
from tests.realcode.corpus import copied
from tests.support.system import until

VARIABLES = {
    "METAMCP_REGISTRY_DISABLED": "tree-sitter-mcp,git-mcp,github-mcp",
    "METAMCP_LOG_LEVEL": "warning",
}
HOSTS = {"code-mcp", "semgrep-mcp"}
INSTALL_S = 600.0
LOOK_S = 0.2


async def measure(folder: Path, files: int, runs: int) -> dict[str, Any]:
    """Seconds of both ways, in turn, and the most memory that all processes of ours had."""
    plan = up.Plan(data=folder / "data", port=0, variables=VARIABLES)
    async with up.start(plan) as running:
        await _healthy(running)
        homes = _environments(folder / "data" / "servers")
        code = folder / "repository"
        names = copied(code, files)
        commands = _by_hand(homes)
        turns = []
        for _ in range(runs + 1):
            turns.append((await _all(commands, code), await _one_command(running, code)))
    # The first turn fills caches of the system.
    by_hand = [median([turn[0][name] for turn in turns[1:]]) for name in commands]
    ours = [turn[1][0] for turn in turns[1:]]
    last = [max(turn[0].values()) for turn in turns[1:]]
    return {
        "files": len(names),
        "mib": round(sum((code / name).stat().st_size for name in names) / 2**20, 1),
        "seconds": round(median(ours), 1),
        "by_hand_s": round(median(last), 1),
        "engines_s": {name: round(s, 1) for name, s in zip(commands, by_hand, strict=True)},
        "ratio": round(median(ours) / median(last), 2),
        "runs": [[round(a, 1), round(b, 1)] for a, b in zip(ours, last, strict=True)],
        "peak_mib": round(max(turn[1][1] for turn in turns) / 1024),
    }


def _environments(home: Path) -> dict[str, Path]:
    pins = manifest.BUILTIN.parent / "constraints"
    return {name: pinned.place(home, pins / f"{name}.txt") for name in ("code", "security")}


def _by_hand(homes: Mapping[str, Path]) -> dict[str, list[str]]:
    rules = str(manifest.BUILTIN.parent / "security" / "rules")
    security, code = homes["security"] / "bin", homes["code"] / "bin"
    semgrep = ["scan", "--experimental", "--quiet", "--json", "--oss-only", "--no-git-ignore"]
    cores = str(os.cpu_count() or 1)
    return {
        "semgrep": [str(security / "semgrep"), *semgrep, "--jobs", cores, "--config", rules, "."],
        "bandit": [str(security / "bandit"), "-r", "-q", "-f", "json", "."],
        "detect-secrets": [str(security / "detect-secrets"), "scan", "--all-files", "."],
        "lizard": [str(code / "python"), "-m", "lizard", "."],
    }


async def _all(commands: Mapping[str, Sequence[str]], folder: Path) -> dict[str, float]:
    """Seconds until each has ended."""
    seconds = await asyncio.gather(*(_run(command, folder) for command in commands.values()))
    return dict(zip(commands, seconds, strict=True))


async def _run(command: Sequence[str], folder: Path, **variables: str) -> float:
    began = time.perf_counter()
    null = asyncio.subprocess.DEVNULL
    # semgrep looks for its own programs there.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "SEMGREP_SEND_METRICS": "off", **variables}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environ, stdin=null, stdout=null, stderr=null
    )
    # bandit and scan end with 1 when they have found something.
    if await process.wait() not in (0, 1):
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return time.perf_counter() - began


async def _one_command(running: up.Running, folder: Path) -> tuple[float, int]:
    command = [sys.executable, "-m", "services.cli", "scan", ".", "--json", "--fail-on", "never"]
    async with _watched() as most:
        seconds = await _run(command, folder, METAMCP_URL=running.url, METAMCP_TOKEN=running.token)
    return seconds, max(most)


@asynccontextmanager
async def _watched() -> AsyncIterator[list[int]]:
    """The memory of this process and all below it, in KiB, looked at now and then."""
    seen = [0]

    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            seen.append(await asyncio.to_thread(tree_kib, os.getpid()))
            await asyncio.wait([ending], timeout=LOOK_S)

    ending = asyncio.create_task(over.wait())
    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        over.set()
        await looking


def tree_kib(top: int) -> int:
    """Memory of a process and all below it; what they share is counted once for each who has it."""
    children: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                pages = int((entry / "statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
            sizes[int(entry.name)] = pages * (os.sysconf("SC_PAGE_SIZE") // 1024)
    waiting, total = [top], 0
    while waiting:
        pid = waiting.pop()
        total += sizes.get(pid, 0)
        waiting += children.get(pid, [])
    return total


async def _healthy(running: up.Running) -> None:
    headers = {"authorization": f"Bearer {running.token}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers) as client:

        async def all_well() -> bool:
            listed = (await client.get("/api/mcps", timeout=PATIENCE_S)).json()["data"]
            well = {one["id"] for one in listed if one["health"]["status"] == "healthy"}
            return well >= HOSTS

        await until(all_well, seconds=INSTALL_S)
