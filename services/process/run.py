"""The life of a process: start, run until told to stop, drain, leave with a meaningful exit code.

One implementation serves both a process of its own (`run`) and several in one loop (`serve`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
import uuid_utils
import uvloop

from services.process import telemetry, tracing
from services.process.files import NO_WRITING
from services.process.hangup import on_hangup
from services.process.settings import Common, SettingsError, load
from services.process.troubles import ProcessTroubles
from services.process.watchdog import Watchdog, stacks_file

DRAIN_S = 10.0
GRACE_S = 1.0
EXIT_S = 5.0
"""How long the end may take after the drain; what hangs then is left behind."""
INTERRUPTED = 130

log = telemetry.get_logger()

S = TypeVar("S", bound=msgspec.Struct)
Hook = Callable[[], Awaitable[object]]


class Fatal(Exception):
    """An expected reason to stop: shown to the user as one line, without a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Process:
    """One start of one service.

    `incarnation` is new at every start, so others can tell a restart from a pause.
    """

    def __init__(self, service: str, instance: str | None = None) -> None:
        self.service = service
        self.instance = instance or f"{service}-1"
        self.incarnation = str(uuid_utils.uuid7())
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.troubles = ProcessTroubles()
        self._hooks: list[Hook] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def on_drain(self, hook: Hook) -> None:
        """Call `hook` when the process stops; the last one registered is called first."""
        self._hooks.append(hook)

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a background task; if it raises, the process stops with that error.

        It is cancelled after the drain hooks, so a hook may still talk to it.
        """
        task = asyncio.create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def background(self, name: str, coro: Coroutine[Any, Any, Any]) -> None:
        """Like `spawn`, but ended by the drain before what was registered earlier is closed."""
        task = self.spawn(name, coro)

        async def stop() -> None:
            task.cancel()
            await asyncio.wait((task,))

        self.on_drain(stop)

    def fail(self, where: str, error: BaseException) -> None:
        """Stop the process because of `error`; the first error is the one reported at the end."""
        details = {} if isinstance(error, Fatal) else {"exc_info": error}
        log.error("process_failing", where=where, error=str(error), **details)
        if self.failure is None:
            self.failure = error
        self.stopping.set()

    async def drain(self, within_s: float = DRAIN_S) -> None:
        """Call the hooks, newest first, then cancel what still runs in the background."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while self._hooks:
            hook = self._hooks.pop()
            left = deadline - loop.time()
            # A hook that hangs must leave some time to those that come after it.
            await self._call(hook, left * 0.8 if self._hooks else left)
        for task in await _cancel(*self._tasks):
            self.fail(task.get_name(), Fatal(f"{task.get_name()} ignored its cancellation."))

    async def _call(self, hook: Hook, limit_s: float) -> None:
        name = getattr(hook, "__qualname__", repr(hook))
        try:
            async with asyncio.timeout(limit_s) as limit:
                await hook()
        except Exception as error:
            late = Fatal(f"{self.instance}: {name} did not finish within {limit_s:.1f} s.")
            self.fail(name, late if limit.expired() else error)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(task.get_name(), error)


Main = Callable[[Process], Coroutine[Any, Any, None]]


async def serve(main: Main, process: Process, *, drain_s: float = DRAIN_S) -> None:
    """Run `main` until it returns, fails, or `process.stopping` is set; then drain.

    `main` sets up, registers its drain hooks and waits for `process.stopping`; if it doesn't return
    soon after that (it may still be connecting), it is cancelled. Raises the first error.
    """
    with telemetry.in_service(process.service, process.instance):
        log.info("process_started", incarnation=process.incarnation)
        try:
            await _until_stopping(main, process)
        finally:
            process.stopping.set()
            await process.drain(drain_s)
        log.info("process_stopped", clean=process.failure is None)
    if process.failure is not None:
        raise process.failure


async def _until_stopping(main: Main, process: Process) -> None:
    running = asyncio.create_task(main(process), name="main")
    stopping = asyncio.create_task(process.stopping.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((running,), timeout=GRACE_S)
    finally:
        stuck = await _cancel(running, stopping)
    if stuck:
        process.fail("main", Fatal(f"{process.instance} ignored its cancellation."))
    elif not running.cancelled() and (error := running.exception()) is not None:
        process.fail("main", error)


async def _cancel(*tasks: asyncio.Task[Any]) -> set[asyncio.Task[Any]]:
    """Cancel and wait a little; the answer is whoever still runs."""
    for task in tasks:
        task.cancel()
    return (await asyncio.wait(tasks, timeout=GRACE_S))[1] if tasks else set()


def start(
    main: Callable[[Process, Common, S], Coroutine[Any, Any, None]], service: str, cls: type[S]
) -> int:
    """Read the service's settings from the environment and working folder, then `run` it; `leave`
    with the answer."""
    try:
        common = load(Common, "common", os.environ, cwd=Path.cwd())
        own = load(cls, service, os.environ, cwd=Path.cwd())
    except SettingsError as error:
        return _say(str(error))
    return run(lambda process: main(process, common, own), service=service, settings=common)


def run(main: Main, *, service: str, settings: Common) -> int:
    """Run a service as this process and return its exit code, to `leave` with.

    0 after a clean drain, 1 after an error, 130 when a second Ctrl-C cut the drain short.
    """
    process = Process(service, settings.instance)
    try:
        _log(process.instance, settings)
        tracing.setup(service, process.instance, settings.otlp_endpoint)
    except OSError as error:
        return _say(f"the log can't be written: {error}. Check METAMCP_LOG_DIR.")
    except ValueError as error:
        return _say(f"{error}.")
    _relax_gc()
    watchdog = Watchdog(settings.watchdog_s, stacks_file(settings.log_dir, process.instance))
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        with watchdog:
            runner.run(_with_signals(main, process, watchdog))
        code = 0
    except Fatal as error:
        code = _say(str(error))
    except Exception as error:
        code = _say(f"{process.instance} failed: {type(error).__name__}: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = INTERRUPTED
    # From here on nothing is said or stored that counts, and a thread may hang for ever.
    ending = threading.Timer(EXIT_S, leave, (code,))
    ending.daemon = True
    ending.start()
    tracing.close()
    runner.close()
    return code


def leave(code: int) -> NoReturn:
    """End this process, whatever threads are left; what was logged is written first."""
    with contextlib.suppress(Exception):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


async def _with_signals(main: Main, process: Process, watchdog: Watchdog) -> None:
    loop = asyncio.get_running_loop()
    watchdog.watch()
    whole = asyncio.current_task()

    def interrupt() -> None:
        if process.stopping.is_set() and whole is not None:
            whole.cancel()
        process.stopping.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, process.stopping.set)
    on_hangup(process.stopping.set)
    await serve(main, process)


def _log(instance: str, settings: Common) -> None:
    """Log to stderr and to files; to stderr alone while the disk can't be written. Raises
    OSError."""
    setup = partial(telemetry.setup, level=settings.log_level, form=settings.log_format)
    try:
        setup(log_dir=settings.log_dir, file_name=instance)
    except OSError as error:
        if error.errno not in NO_WRITING:
            raise
        setup()
        log.warning("log_files_not_written", error=str(error))


def _relax_gc() -> None:
    """Look for cycles less often, and never among the modules loaded so far.

    Facts are many, short-lived and free of cycles: looking for some among them is work for nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _say(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 1
