"""A small installation in which something of each kind has happened."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.support.asking_mcp import FILE
from tests.support.forked import command
from tests.support.system import System, system, until

USER, PASSWORD = "ada", "correct horse battery"
HOSTS = {"scanner": 8, "parser": 4, "indexer": 2}
ASKING = """
[hosts.reviewer]
name = "Reviewer"
limits = {{ start_s = 60.0 }}
[hosts.reviewer.endpoint]
kind = "stdio"
command = {program}
args = {words}
cwd = "{root}"
env = {{ {file} = "{record}" }}
"""
ROOT = Path(__file__).resolve().parents[2]
WELL, BATCH = 60, 24
OVER = ("succeeded", "failed")


class Staged:
    """The system, and whoever looks at it."""

    def __init__(self, one: System, http: httpx.AsyncClient) -> None:
        self.one = one
        self._http = http

    async def happen(self) -> None:
        """Have tasks succeed, fail, run and ask; one batch of them."""
        for n in range(WELL):
            tags = {"team": ("web", "data", "core")[n % 3], "run": str(400 + n // 6)}
            await self.task(f"scan-{n:03}", "work", {"ms": 20 + 15 * (n % 7)}, tags=tags)
        for n in range(6):
            given = {"tool": "fail", "arguments": {"message": f"line {n}: it can't be parsed"}}
            host = "parser" if n % 2 else "indexer"
            await self.task(f"parse-{n}", "mcp.call", given, host=host, max_attempts=2)
        media = {"tool": "media", "arguments": {}}
        await self.task("picture", "mcp.call", media, host="scanner")
        lines = [
            {"type": "work", "input": {"ms": 40}, "tags": {"nightly": ""}} for _ in range(BATCH)
        ]
        body = "\n".join(json.dumps(line) for line in lines)
        head = {"Content-Type": "application/x-ndjson"}
        answer = await self._http.post(
            "/api/batches", params={"id": "nightly"}, content=body, headers=head
        )
        assert answer.is_success, answer.text
        await self.over(f"scan-{WELL - 1:03}", "parse-5", "picture", f"nightly-{BATCH}")
        for n in range(3):
            form = {"tool": "form", "arguments": {}}
            await self.task(f"review-{n}", "mcp.call", form, host="reviewer")
        for n in range(4):
            await self.task(f"index-{n}", "work", {"ms": 900_000}, host="indexer", priority="high")
        await self.status("review-2", "input_required")
        await self.status("index-1", "running")

    async def task(self, name: str, type_: str, given: Any, **fields: Any) -> None:
        """Create one."""
        body = {"id": name, "type": type_, "input": given} | fields
        answer = await self._http.post("/api/tasks", json=body)
        assert answer.is_success, answer.text

    async def status(self, name: str, *wanted: str) -> None:
        """Wait until the task has one of these."""

        async def so() -> bool:
            answer = await self._http.get(f"/api/tasks/{name}")
            return answer.is_success and answer.json()["data"]["status"] in wanted

        await until(so, every=0.2)

    async def over(self, *names: str) -> None:
        """Wait until these tasks are over."""
        for name in names:
            await self.status(name, *OVER)


@contextlib.asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[System]:
    """The system when all that has happened; nobody has more rights than who looks at it."""
    program, *words = command("tests.support.asking_mcp")
    asking = folder / "asking.toml"
    asking.write_text(
        ASKING.format(
            program=json.dumps(program),
            words=json.dumps(words),
            root=ROOT,
            file=FILE,
            record=folder / "asked.jsonl",
        )
    )
    async with system(
        folder, HOSTS, extra=asking, executors=2, METAMCP_GATEWAY_RATE_LIMIT_REQUESTS="0"
    ) as one:
        body = {"name": USER, "password": PASSWORD, "roles": ["admin", "auditor"]}
        answer = await one.http.post(f"{one.url}/api/users", json=body)
        assert answer.status_code == 201, answer.text
        async with httpx.AsyncClient(base_url=one.url, trust_env=False, timeout=30) as http:
            signed = await http.post("/api/auth/login", json={"user": USER, "password": PASSWORD})
            token = signed.json()["data"]["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            await Staged(one, http).happen()
        yield one
