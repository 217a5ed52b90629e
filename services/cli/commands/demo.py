"""The command demo: the main job from nothing to an audited result, every step shown.

It starts everything in a folder of its own and takes it away again.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import contracts
from contracts.facts import JobDone, McpHealth, McpRegistered, Outcome, Record
from contracts.host import HealthStatus
from contracts.wire import CaughtUp
from services.cli import audit as audits
from services.cli.client import Api, Target
from services.cli.commands.log import audit_task
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, environ, run
from services.cli.follow import create, task_value
from services.cli.input import read_input
from services.cli.show import tasks as render
from services.cli.stream import FactStream
from services.log.jetstream import NatsLog
from services.process import telemetry
from services.process.settings import load
from services.up import up
from services.up.nats_config import AUDITOR

HOST = "tree-sitter-mcp"
TYPE = "code_analysis"
NOT_SHOWN = "git-mcp,semgrep-mcp,github-mcp"
"""Built-in hosts that the demo leaves out: they would be installed, or called, for nothing."""
SOURCE = Path(contracts.__file__).with_name("subjects.py")
HOST_S = 300.0
"""How long the host may take to be ready: the first time its packages are downloaded."""
TASK_S = 60.0
RECOVER_S = 15.0
"""How long an unhealthy host gets to recover before the demo gives up."""


def demo(*, file: Path = SOURCE, keep: Path | None = None, options: Options = NO_OPTIONS) -> int:
    """Start everything, run a real task on the real tree-sitter server, audit it, clean up.

    Parameters
    ----------
    file
        The source file to analyse.
    keep
        Keep the data in this folder; else it is removed at the end.
    """
    if not file.is_file():
        raise CliError(Exit.USAGE, f"There is no file {file}.")
    return run(_demo(file, keep, options.out))


async def _demo(file: Path, keep: Path | None, out: Out) -> int:
    began = time.monotonic()
    telemetry.setup(level="warning", form="console")

    def step(text: str) -> None:
        if not out.as_json:
            out.errors.print(
                f"[{time.monotonic() - began:5.1f} s] {text}", markup=False, soft_wrap=True
            )

    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metamcp-")))
        settings = load(up.Settings, "up", environ(), cwd=Path.cwd())
        variables = {**environ(), "METAMCP_REGISTRY_DISABLED": NOT_SHOWN}
        plan = up.Plan(data=folder, settings=settings, port=0, variables=variables)
        step("starting nats-server and the five services")
        async with up.start(plan, step) as running:
            target = Target(running.url, running.token, running.trust)
            watching = asyncio.create_task(running.wait())
            working = asyncio.create_task(_work(running, target, file, out, step))
            try:
                await asyncio.wait((watching, working), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                facts, found = working.result()
            finally:
                for task in (watching, working):
                    task.cancel()
            step("draining")
    return _end(out, facts, found, time.monotonic() - began)


def _end(out: Out, facts: list[Record], found: dict[str, Any], seconds: float) -> int:
    span = (facts[-1].at - facts[0].at) * 1000
    ok = bool(found["ok"])
    if out.as_json:
        out.line({"ok": ok, "seconds": round(seconds, 1), "task_ms": round(span, 1), **found})
    else:
        word = "[bold green]demo ok[/]" if ok else "[bold red]demo failed[/]"
        out.console.print(
            f"\n{word}: {len(facts)} facts, {span:,.0f} ms from submit to done,"
            f" {sum(check.ok for check in found['audit'])} of {len(found['audit'])} checks hold,"
            f" {seconds:.1f} s in all"
        )
    return Exit.OK if ok else Exit.FAILED


async def _work(
    running: up.Running, target: Target, file: Path, out: Out, step: up.Report
) -> tuple[list[Record], dict[str, Any]]:
    async with Api(target) as api:
        step(f"waiting for the MCP server {HOST}; the first time its packages are downloaded")
        await _healthy(FactStream(target, step), step)
        step(f"submitting {TYPE} of {file.name}")
        facts = await _run_task(api, file, out)
        done = facts[-1].fact
        assert isinstance(done, JobDone)
        value = None
        if done.result is not None:
            value = await task_value(api, done.task)
            out.say("\n[bold]result[/]")
            out.say(render.result(value))
    async with _log(running) as log:
        checks = await audit_task(log, done.task)
    out.say("\n[bold]audit[/]")
    out.say(render.checks(checks))
    ok = done.outcome is Outcome.SUCCEEDED and audits.passed(checks)
    return facts, {"ok": ok, "task": done.task, "result": value, "audit": checks}


async def _healthy(stream: FactStream, step: up.Report) -> None:
    """Wait until the host can work. Raises CliError that says why it can't."""
    reason = "it was never registered"
    try:
        async with asyncio.timeout(HOST_S) as limit:
            async for item in stream.follow("hosts", after="start"):
                if not isinstance(item, Record):
                    continue
                if isinstance(item.fact, McpRegistered) and item.fact.host == HOST:
                    reason = "it was registered and never became healthy"
                if isinstance(item.fact, McpHealth) and item.fact.host == HOST:
                    step(render.describe(item))
                    if item.fact.status in (HealthStatus.HEALTHY, HealthStatus.WARNING):
                        return
                    reason = item.fact.reason
                    if item.fact.status is HealthStatus.UNHEALTHY:
                        limit.reschedule(asyncio.get_running_loop().time() + RECOVER_S)
    except TimeoutError:
        raise CliError(
            Exit.FAILED,
            f"The MCP server {HOST} can't be started: {reason}",
            "Its packages are downloaded the first time: is the package index reachable?"
            " See also `metamcp doctor`.",
        ) from None


async def _run_task(api: Api, file: Path, out: Out) -> list[Record]:
    """Submit once the stream is live, and show every fact as it happens."""
    content = read_input(None, (file,))
    facts: list[Record] = []
    task = ""
    async with asyncio.timeout(TASK_S):
        async for item in FactStream(api.target, out.note).follow("tasks", after="start"):
            if isinstance(item, CaughtUp) and not task:
                task = await create(api, {"type": TYPE, "host": HOST}, content)
            elif isinstance(item, Record):
                before = facts[-1].at if facts else None
                out.say(render.fact_line(item, before, task=False), soft_wrap=True)
                facts.append(item)
                if isinstance(item.fact, JobDone):
                    return facts
    raise CliError(Exit.FAILED, "The stream ended before the task did.")


@contextlib.asynccontextmanager
async def _log(running: up.Running) -> AsyncIterator[NatsLog]:
    bus = await up.connect(running.nats_url, AUDITOR, running.credentials, name="metamcp-demo")
    try:
        async with await NatsLog.open(bus) as log:
            yield log
    finally:
        await bus.close()
