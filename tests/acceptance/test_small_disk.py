"""The disk of NATS is full, by what others have stored, and later it is not; starts with little.

The store, or all of the data folder, is on a small file system of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.process import ballast
from services.up.announced import read_gateway_url
from services.up.disk import LOW
from tests.support.small_disk import SmallDisk, forbidden, small_disk
from tests.support.system import manifest, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(forbidden()), reason=f"no file system of its own: {forbidden()}"),
]
MB = 1_000_000
DISK = 420 * MB
METAMCP = (sys.executable, "-m", "services.cli")
ENVIRON = {
    "METAMCP_REGISTRY_BUILTINS": "false",
    "METAMCP_ENABLE_METRICS": "false",
    "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
}
START = """
import asyncio, sys
from pathlib import Path
from services.up import up
from services.up.nats_server import Embedded, EmbeddedError

async def main(data: Path) -> None:
    async with Embedded(data) as server:
        await up.provision(server.url, data / "credentials")

try:
    asyncio.run(main(Path(sys.argv[1])))
except EmbeddedError as error:
    sys.exit(f"{error}")
"""


class Users:
    """Clients that submit without a pause, and know what has been accepted."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.accepted: list[str] = []
        self.enough = False

    async def submit(self) -> None:
        """Tasks one after the other, whatever becomes of them."""
        body = {"type": "work", "input": {"ms": 20, "text": "x" * 10_000}}
        while not self.enough:
            with contextlib.suppress(httpx.TransportError, OSError):
                answer = await self.http.post("/api/tasks", json=body)
                if answer.status_code == 201:
                    self.accepted.append(answer.json()["data"]["id"])

    async def ended(self) -> bool:
        """Whether all that was accepted has an outcome."""
        statuses = await asyncio.gather(*(self._status(task) for task in self.accepted))
        return all(status == "succeeded" for status in statuses)

    async def _status(self, task: str) -> str:
        answer = await self.http.get(f"/api/tasks/{task}")
        return str(answer.json()["data"]["status"]) if answer.is_success else ""


@contextlib.asynccontextmanager
async def running(folder: Path, disk: SmallDisk) -> AsyncIterator[httpx.AsyncClient]:
    """`metamcp up` on the disk, and an administrator."""
    hosts, _ = manifest(folder, {"recorder": 16})
    data = folder / "data"
    command = (*METAMCP, "up", "--in-process", "--port", "0", "--data", str(data))
    with (folder / "up.log").open("wb") as words:
        child = await asyncio.create_subprocess_exec(
            *disk.command(*command, "--manifest", str(hosts)),
            stdout=words,
            stderr=words,
            env=os.environ | ENVIRON,
        )
    try:
        await until(lambda: announced(data))
        headers = {"Authorization": f"Bearer {(data / 'credentials/token').read_text().strip()}"}
        async with httpx.AsyncClient(
            base_url=read_gateway_url(data), headers=headers, trust_env=False, timeout=20
        ) as http:
            await until(lambda: answers(http, "/api/health/ready", 200))
            yield http
    finally:
        child.terminate()
        await child.wait()


async def announced(data: Path) -> bool:
    return (data / "gateway.json").exists()


async def answers(http: httpx.AsyncClient, path: str, status: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get(path)).status_code == status
    return False


async def troubled(http: httpx.AsyncClient) -> bool:
    """Whether health names what is wrong."""
    health: dict[str, Any] = (await http.get("/api/health")).json()
    kinds = {one["kind"] for each in health["data"]["services"] for one in each.get("troubles", ())}
    return not health["success"] and "log_unwritable" in kinds


async def given_up(disk: SmallDisk) -> bool:
    return disk.free >= LOW


async def acted(http: httpx.AsyncClient) -> bool:
    """Whether what an operator does is stored."""
    with contextlib.suppress(httpx.TransportError):
        return (await http.post("/api/mcps/recorder/disable")).is_success
    return False


async def said(disk: SmallDisk, *command: str) -> tuple[int, str]:
    """A program on the disk: its exit code and what it has written, wherever a line was broken."""
    child = await asyncio.create_subprocess_exec(
        *disk.command(*command), stdout=PIPE, stderr=STDOUT, env=os.environ | ENVIRON
    )
    words, _ = await child.communicate()
    return child.returncode or 0, " ".join(words.decode().split())


async def test_a_full_disk_is_named_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path,
) -> None:
    store = tmp_path / "data" / ballast.STORE
    async with small_disk(store, DISK) as disk, running(tmp_path, disk) as http:
        token = (await http.post("/api/tokens", json={"user": "bob"})).json()["data"]
        users = Users(http)
        load = [asyncio.create_task(users.submit()) for _ in range(8)]
        await until(lambda: some(users, 20))

        began = time.monotonic()
        disk.fill()
        await until(lambda: given_up(disk))
        await until(lambda: acted(http))
        await admin_acts(http, token)
        print(f"operators acted {time.monotonic() - began:.1f} s after the disk was full")

        disk.fill()
        began = time.monotonic()
        await until(lambda: troubled(http))
        print(f"health named it after {time.monotonic() - began:.1f} s")
        assert await answers(http, "/api/health/ready", 503)
        code, words = await said(disk, *METAMCP, "doctor", "--data", str(tmp_path / "data"))
        assert code == 1
        assert "is full" in words
        assert "goes on by itself" in words

        disk.empty()
        began, before = time.monotonic(), len(users.accepted)
        await until(lambda: some(users, before + 20))
        print(f"went on {time.monotonic() - began:.1f} s after there was room")
        users.enough = True
        await asyncio.gather(*load)
        await until(users.ended)
        assert (await http.get("/api/health/ready")).json()["data"] == {"ready": True}
        await until(lambda: answers(http, "/api/health", 200))
        calls = called(tmp_path / "calls.jsonl")
        assert set(users.accepted) <= {task for task, _ in calls}
        assert set(calls.values()) == {1}, "no attempt is called twice"
        print(f"{len(users.accepted)} accepted")


async def some(users: Users, count: int) -> bool:
    return len(users.accepted) >= count


async def admin_acts(http: httpx.AsyncClient, token: dict[str, Any]) -> None:
    """New work of others is refused; what operators do is done."""
    bob = {"Authorization": f"Bearer {token['token']}"}

    async def refused() -> bool:
        body = {"type": "work", "input": {"ms": 1}}
        answer = await http.post("/api/tasks", json=body, headers=bob)
        return answer.status_code == 507 and answer.json()["error"]["reason"] == "disk_full"

    await until(refused)
    answer = await http.post("/api/mcps/recorder/enable")
    assert answer.status_code == 200, answer.text
    assert (await http.delete(f"/api/tokens/{token['id']}")).status_code == 200


def called(record: Path) -> Counter[tuple[str, str]]:
    """How often each attempt of each task has been called."""
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return Counter((one["task"], str(one["attempt"])) for one in lines if one["event"] == "start")


async def test_the_server_starts_and_starts_again_with_little_disk(tmp_path: Path) -> None:
    def start(name: str) -> tuple[str, ...]:
        return (sys.executable, "-c", START, str(tmp_path / "disk" / name))

    async with small_disk(tmp_path / "disk", 1_600 * MB) as disk:
        assert await said(disk, *start("early")) == (0, "")
        for megabytes in (1400, 1000, 500, 250):
            disk.fill(leave=megabytes * MB)
            assert await said(disk, *start(f"at-{megabytes}")) == (0, "")
            assert await said(disk, *start("early")) == (0, "")
        disk.fill(leave=70 * MB)
        assert await said(disk, *start("early")) == (0, ""), "enough for operators"
        disk.fill(leave=10 * MB)
        code, words = await said(disk, *start("early"))
        assert code == 1
        assert "Only 9 MB are free" in words
        assert "64 MB are needed" in words
        assert "Traceback" not in words


async def test_up_says_how_much_is_needed_before_it_starts_anything(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with small_disk(data, 150 * MB) as disk:
        code, words = await said(disk, *METAMCP, "up", "--port", "0", "--data", str(data))
        assert code == 1
        assert "143 MB are free" in words
        assert "200 MB are needed" in words
        assert "Traceback" not in words
        assert not (disk.seen / "nats/server.log").exists()
        code, words = await said(disk, *METAMCP, "doctor", "--data", str(data))
        assert "200 MB are needed" in words
