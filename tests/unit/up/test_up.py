"""What `metamcp up` starts comes back after a crash, ends when told to, and never outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from services.process.run import Fatal, Process
from services.process.supervisor import Escalated, Supervisor
from services.up import up
from services.up.children import ChildProcess, Crashed, InProcess
from services.up.nats_server import EmbeddedError
from services.up.plan import environment, folder_lock, not_ready

READY = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); "
WAIT = READY + "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT


class Program:
    """A child process of Python code, and what it has written."""

    def __init__(self, code: str, grace_s: float = 5.0) -> None:
        self.output = b""
        self.starts = 0
        self._wrote = asyncio.Event()
        self.child = ChildProcess(
            "program-1",
            (sys.executable, "-c", code),
            dict(os.environ),
            grace_s=grace_s,
            echo=self._echo,
        )

    def _echo(self, chunk: bytes) -> None:
        self.output += chunk
        self.starts += chunk.count(b"ready")
        self._wrote.set()

    async def started(self, times: int = 1) -> int:
        """Wait until it has started so often; the answer is its process id."""
        async with asyncio.timeout(20):
            while self.starts < times:
                self._wrote.clear()
                await self._wrote.wait()
        assert self.child.pid is not None
        return self.child.pid


@contextlib.asynccontextmanager
async def supervised(program: Program) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor("test", backoff=(0.01, 0.05))
    supervisor.start("program", program.child.run)
    try:
        yield supervisor
    finally:
        await supervisor.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    never = asyncio.Event()
    async with asyncio.timeout(30):
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.01)


async def test_a_killed_child_is_started_again() -> None:
    program = Program(WAIT)
    async with supervised(program):
        first = await program.started()
        os.kill(first, signal.SIGKILL)
        second = await program.started(2)
        assert second != first
    assert not alive(second)


async def test_a_child_that_keeps_crashing_escalates_with_its_last_words() -> None:
    program = Program("raise SystemExit('error: the port is taken')")
    supervisor = Supervisor("test", intensity=2, backoff=(0.01, 0.02))
    supervisor.start("program", program.child.run)
    with pytest.raises(Escalated) as caught:
        await supervisor.run()
    assert isinstance(caught.value.__cause__, Crashed)
    assert "with code 1" in str(caught.value.__cause__)
    assert "the port is taken" in str(caught.value.__cause__)


async def test_a_child_that_ends_without_being_asked_has_crashed() -> None:
    with pytest.raises(Crashed, match="with code 0"):
        await Program(READY).child.run()


async def test_a_child_is_told_to_drain_before_it_is_killed() -> None:
    code = (
        "import signal, sys\n"
        "def drain(*_):\n    print('drained', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, drain)\n" + WAIT
    )
    program = Program(code)
    async with supervised(program):
        await program.started()
    assert b"drained" in program.output


async def test_a_child_that_does_not_drain_is_killed() -> None:
    program = Program(STUBBORN, grace_s=0.1)
    async with supervised(program):
        pid = await program.started()
    assert not alive(pid)
    assert program.child.pid is None


async def test_what_a_child_started_ends_with_it() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('pid', child.pid, flush=True)\n" + WAIT
    )
    program = Program(code)
    async with supervised(program):
        await program.started()
        grandchild = int(program.output.split()[1])
        assert alive(grandchild)
    await until(lambda: not alive(grandchild))


async def test_children_do_not_outlive_a_killed_parent() -> None:
    code = (
        "import asyncio, os, sys\n"
        "from services.up.children import ChildProcess\n"
        "code = \"import os, signal; print('pid', os.getpid(), flush=True); signal.pause()\"\n"
        "child = ChildProcess('c', (sys.executable, '-c', code), dict(os.environ),\n"
        "                     echo=lambda chunk: os.write(1, chunk))\n"
        "asyncio.run(child.run())\n"
    )
    root = str(Path(up.__file__).parents[2])
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE, cwd=root
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        pid = int((await parent.stdout.readline()).split()[1])
    assert alive(pid)
    parent.kill()
    await parent.communicate()
    await until(lambda: not alive(pid))


async def test_a_service_in_this_process_drains_when_it_is_stopped() -> None:
    said: list[str] = []
    running = asyncio.Event()

    async def main(process: Process) -> None:
        async def drained() -> None:
            said.append("drained")

        process.on_drain(drained)
        running.set()
        await process.stopping.wait()
        said.append("stopping")

    child = InProcess("router", "router-1", main)
    supervisor = Supervisor("test")
    supervisor.start(child.name, child.run)
    async with asyncio.timeout(30):
        await running.wait()
        await supervisor.close()
    assert said == ["stopping", "drained"]


async def test_a_service_in_this_process_that_fails_says_why() -> None:
    async def main(process: Process) -> None:
        raise Fatal("no key")

    with pytest.raises(Fatal, match="no key"):
        await InProcess("router", "router-1", main).run()


def test_a_folder_is_used_once_at_a_time(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(Fatal, match="in use"), folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="can't be used"), folder_lock(tmp_path / "file"):
        pass


async def test_a_second_start_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        with pytest.raises(EmbeddedError, match="in use"):
            async with up.start(up.Plan(data=tmp_path, port=0)):
                pass
        with pytest.raises(Fatal, match="in use"):
            async with up.start(up.Plan(data=tmp_path, port=0, nats="nats://127.0.0.1:1")):
                pass


async def test_a_taken_port_is_said_before_anything_crashes(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=f"Port {port}"):
            async with up.start(up.Plan(data=tmp_path, port=port)):
                pass
    assert up.read_state(tmp_path) is None


def test_services_do_not_get_the_short_names_of_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("METAMCP_LOG_LEVEL", "debug")
    found = environment(up.Plan(data=tmp_path, variables={"METAMCP_TOKEN": "secret"}))
    assert found["METAMCP_LOG_LEVEL"] == "debug"
    assert not {"METAMCP_URL", "METAMCP_TOKEN"} & found.keys()


def _health(ready: bool, executors: int | None) -> bytes:
    message = "ready" if ready else "not ready"
    data = {"ready": ready, "executors": executors}
    return msgspec.json.encode({"success": ready, "data": data, "message": message})


def test_ready_means_the_gateway_and_every_executor() -> None:
    assert not_ready(200, _health(True, 2), 2) == ""
    assert not_ready(200, _health(True, None), 2) == ""
    assert not_ready(200, _health(True, 1), 2) == "1 of 2 executors have been heard of"
    assert not_ready(503, _health(False, 2), 2) == "not ready"
