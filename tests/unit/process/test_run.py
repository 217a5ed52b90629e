"""The life of a process: stopping, draining, failing, and several in one loop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from services.process.run import Fatal, Process, serve

ROOT = Path(__file__).parents[3]


async def until_stopping(process: Process) -> None:
    await process.stopping.wait()


async def test_hooks_run_newest_first_and_before_background_tasks_are_cancelled() -> None:
    seen: list[str] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("background")

    async def hook(name: str) -> None:
        seen.append(name)

    async def main(process: Process) -> None:
        process.spawn("background", background())
        process.on_drain(lambda: hook("first"))
        process.on_drain(lambda: hook("second"))

    await serve(main, Process("router"))
    assert seen == ["second", "first", "background"]


async def test_a_background_task_that_dies_stops_the_process_with_its_error() -> None:
    async def die() -> None:
        raise ValueError("worn out")

    async def main(process: Process) -> None:
        process.spawn("dying", die())
        await process.stopping.wait()

    with pytest.raises(ValueError, match="worn out"):
        await serve(main, Process("router"))


async def test_a_background_task_may_end_or_be_cancelled() -> None:
    async def nothing() -> None:
        pass

    async def main(process: Process) -> None:
        await process.spawn("short", nothing())
        process.spawn("cancelled", until_stopping(process)).cancel()

    await serve(main, Process("router"))


async def test_main_is_cancelled_when_it_does_not_see_the_stop() -> None:
    process = Process("router")

    async def main(process: Process) -> None:
        process.stopping.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        await serve(main, process)


async def test_one_failing_hook_does_not_keep_the_others_from_running() -> None:
    seen: list[str] = []

    async def fail() -> None:
        raise OSError("gone")

    async def work() -> None:
        seen.append("worked")

    async def main(process: Process) -> None:
        process.on_drain(work)
        process.on_drain(fail)

    with pytest.raises(OSError, match="gone"):
        await serve(main, Process("router"))
    assert seen == ["worked"]


async def test_a_hook_that_hangs_is_given_up_and_the_others_still_run() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("worked")

    async def main(process: Process) -> None:
        process.on_drain(work)
        process.on_drain(asyncio.Event().wait)

    with pytest.raises(Fatal, match="did not finish"):
        await serve(main, Process("router"), drain_s=0.1)
    assert seen == ["worked"]


async def test_the_first_error_is_the_one_reported() -> None:
    async def fail() -> None:
        raise OSError("second")

    async def main(process: Process) -> None:
        process.on_drain(fail)
        raise Fatal("first", "Do something.")

    with pytest.raises(Fatal, match=r"first Do something\."):
        await serve(main, Process("router"))


async def test_several_share_a_loop_and_stop_one_by_one() -> None:
    router, gateway = Process("router"), Process("gateway", "gateway-7")
    assert (router.instance, gateway.instance) == ("router-1", "gateway-7")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        first = group.create_task(serve(until_stopping, router))
        second = group.create_task(serve(until_stopping, gateway))
        router.stopping.set()
        await first
        assert not second.done()
        gateway.stopping.set()


def test_every_start_is_a_new_incarnation() -> None:
    first, second = (UUID(Process("router").incarnation) for _ in range(2))
    assert first.version == second.version == 7
    assert first < second


PROGRAM = """
    import asyncio, sys
    import msgspec
    from services.process.run import Fatal, Process, start

    class Settings(msgspec.Struct):
        mode: str = "plain"

    async def hang():
        print("draining", flush=True)
        await asyncio.Event().wait()

    async def drain():
        print("drained", flush=True)

    async def main(process, common, settings):
        if settings.mode == "fatal":
            raise Fatal("The disk is full.", "Free some space.")
        if settings.mode == "bug":
            raise KeyError("oops")
        process.on_drain(hang if settings.mode == "hang" else drain)
        print("ready", flush=True)
        await process.stopping.wait()

    sys.exit(start(main, "router", Settings))
"""


@contextmanager
def program(tmp_path: Path, mode: str = "plain", **environ: str) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "METAMCP_ROUTER_MODE": mode, **environ},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def next_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_leaves_with_zero(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path) as child:
        assert next_line(child) == "ready"
        child.send_signal(number)
        assert next_line(child) == "drained"
        assert child.wait(10) == 0


def test_a_second_interrupt_cuts_the_drain_short(tmp_path: Path) -> None:
    with program(tmp_path, "hang") as child:
        assert next_line(child) == "ready"
        child.send_signal(signal.SIGINT)
        assert next_line(child) == "draining"
        child.send_signal(signal.SIGINT)
        assert child.wait(5) == 130


def test_an_expected_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    with program(tmp_path, "fatal") as child:
        _, err = child.communicate(timeout=10)
    assert child.returncode == 1
    assert err.splitlines()[-1] == "error: The disk is full. Free some space."
    assert "Traceback" not in err


def test_a_bug_is_one_line_for_the_user_and_a_traceback_in_the_log(tmp_path: Path) -> None:
    with program(tmp_path, "bug") as child:
        _, err = child.communicate(timeout=10)
    assert child.returncode == 1
    assert err.splitlines()[-1] == "error: router-1 failed: KeyError: 'oops'"
    assert "Traceback" in err


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    with program(tmp_path, METAMCP_LOG_LEVEL="loud") as child:
        _, err = child.communicate(timeout=10)
    assert child.returncode == 1
    assert err == (
        "error: METAMCP_LOG_LEVEL is 'loud': expected one of debug, info, warning, error\n"
    )


def test_a_log_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with program(tmp_path, METAMCP_LOG_DIR="file/logs") as child:
        _, err = child.communicate(timeout=10)
    assert child.returncode == 1
    assert err.startswith("error: the log can't be written: ")
    assert len(err.splitlines()) == 1


STUCK = """
    import asyncio, threading
    import msgspec
    from services.process import run

    class Settings(msgspec.Struct):
        mode: str = "plain"

    async def main(process, common, settings):
        stuck = threading.Event()
        threading.Thread(target=stuck.wait).start()
        if settings.mode == "pool":
            asyncio.get_running_loop().run_in_executor(None, stuck.wait)
        if settings.mode == "fatal":
            raise run.Fatal("The disk is gone.")

    run.EXIT_S = 0.5
    run.leave(run.start(main, "router", Settings))
"""


@pytest.mark.parametrize(("mode", "code"), [("plain", 0), ("fatal", 1), ("pool", 0)])
def test_a_process_that_is_over_ends_whatever_thread_is_left(
    tmp_path: Path, mode: str, code: int
) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(textwrap.dedent(STUCK))
    ended = subprocess.run(
        [sys.executable, script],
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "METAMCP_ROUTER_MODE": mode},
        capture_output=True,
        timeout=30,
    )
    assert ended.returncode == code
    assert b"process_stopped" in ended.stderr
    assert (b"error: The disk is gone." in ended.stderr) == (mode == "fatal")
