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

from rich.text import Text

import contracts
from contracts.facts import JobDone, McpHealth, McpRegistered, Outcome, Record
from contracts.host import HealthStatus
from contracts.subjects import parse
from contracts.wire import CaughtUp
from services.audit import checks as audits
from services.cli.attach import Picked, pick
from services.cli.client import UPLOAD_S, Api, Target
from services.cli.commands.log import audit_task
from services.cli.commands.scan import submitted
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, environ, run
from services.cli.follow import task_value
from services.cli.show import answers
from services.cli.show import tasks as render
from services.cli.show.shape import Detail
from services.cli.stream import FactStream
from services.log.jetstream import NatsLog
from services.process import telemetry
from services.process.settings import load
from services.up import up
from services.up.nats_config import AUDITOR

HOSTS = ("code-mcp", "semgrep-mcp")
TYPES = ("code_analysis", "security_scan")
NOT_SHOWN = "tree-sitter-mcp,git-mcp,github-mcp"
"""Built-in hosts that the demo leaves out: they would be installed, or called, for nothing."""
HOSTS_S = 600.0
"""How long the hosts may take to be ready: the first time their packages are downloaded."""
TASKS_S = 300.0
RECOVER_S = 15.0
"""How long an unhealthy host gets to recover before the demo gives up."""
ROWS = 10
"""Of each table of the answers."""


def source() -> Path:
    """What is worked on unless told otherwise: this repository, or a part of what is installed."""
    package = Path(contracts.__file__).parent
    checkout = (package.parent / "pyproject.toml").is_file()
    return package.parent if checkout else package


def demo(
    *, file: Path | None = None, keep: Path | None = None, options: Options = NO_OPTIONS
) -> int:
    """Start everything, scan and analyse real code on real MCP servers, audit it, clean up.

    Parameters
    ----------
    file
        The file or folder to work on; this program's own source if not given.
    keep
        Keep the data in this folder; else it is removed at the end.
    """
    picked = pick((file or source(),))
    return run(_demo(picked, keep, options.out))


async def _demo(picked: Picked, keep: Path | None, out: Out) -> int:
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
            working = asyncio.create_task(_work(running, target, picked, out, step))
            try:
                await asyncio.wait((watching, working), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                found = working.result()
            finally:
                for task in (watching, working):
                    task.cancel()
            step("draining")
    return _end(out, found, time.monotonic() - began)


def _end(out: Out, jobs: list[_Job], seconds: float) -> int:
    ok = all(job.ok for job in jobs)
    if out.as_json:
        told = [job.told() for job in jobs]
        out.line({"ok": ok, "seconds": round(seconds, 1), "jobs": told})
    else:
        word = Text("demo ok", "bold green") if ok else Text("demo failed", "bold red")
        checks = [check for job in jobs for check in job.audit]
        times = " and ".join(f"{job.span_ms:,.0f}" for job in jobs)
        words = (
            f": {sum(len(job.facts) for job in jobs)} facts,"
            f" {times} ms from submit to done,"
            f" {sum(check.ok for check in checks)} of {len(checks)} checks hold,"
            f" {seconds:.1f} s in all"
        )
        out.console.print(Text("\n").append_text(word).append(words, ""))
    return Exit.OK if ok else Exit.FAILED


class _Job:
    """One of the tasks, and what became of it."""

    def __init__(self, type_: str) -> None:
        self.type = type_
        self.facts: list[Record] = []
        self.result: Any = None
        self.audit: list[audits.Check] = []

    @property
    def done(self) -> JobDone | None:
        """Its end, if it has come."""
        last = self.facts[-1].fact if self.facts else None
        return last if isinstance(last, JobDone) else None

    @property
    def ok(self) -> bool:
        """It succeeded, and the log's story of it holds."""
        done = self.done
        ended = done is not None and done.outcome is Outcome.SUCCEEDED
        return ended and audits.passed(self.audit)

    @property
    def span_ms(self) -> float:
        """From its first fact to its last."""
        return (self.facts[-1].at - self.facts[0].at) * 1000

    def told(self) -> dict[str, Any]:
        """The same for programs."""
        task = self.done.task if self.done else None
        told = {"type": self.type, "task": task, "ok": self.ok, "task_ms": round(self.span_ms, 1)}
        return {**told, "result": self.result, "audit": self.audit}


async def _work(
    running: up.Running, target: Target, picked: Picked, out: Out, step: up.Report
) -> list[_Job]:
    async with Api(target, within_s=UPLOAD_S) as api:
        names = " and ".join(HOSTS)
        step(f"waiting for the MCP servers {names}; the first time their packages are downloaded")
        await _healthy(FactStream(target, step), step)
        step("sending the code to both")
        jobs = await _run_tasks(api, picked, out)
        for job in jobs:
            if (done := job.done) is not None and done.result is not None:
                job.result = await task_value(api, done.task)
                out.say(Text(f"\n{job.type}", "bold"))
                tables = answers.answer(job.type, job.result, Detail(rows=ROWS))
                out.say(render.result(job.result) if tables is None else tables)
    async with _log(running) as log:
        for job in jobs:
            if (done := job.done) is not None:
                job.audit = await audit_task(log, done.task)
                out.say(Text(f"\naudit of {job.type}", "bold"))
                out.say(render.checks(job.audit))
    return jobs


async def _healthy(stream: FactStream, step: up.Report) -> None:
    """Wait until the hosts can work. Raises CliError that says why one can't."""
    missing = dict.fromkeys(HOSTS, "it was never registered")
    sick: set[str] = set()
    now = asyncio.get_running_loop().time
    end = now() + HOSTS_S
    try:
        async with asyncio.timeout_at(end) as limit:
            async for item in stream.follow("hosts", after="start"):
                if not isinstance(item, Record):
                    continue
                fact = item.fact
                if isinstance(fact, McpRegistered) and fact.host in missing:
                    missing[fact.host] = "it was registered and never became healthy"
                if not isinstance(fact, McpHealth) or fact.host not in HOSTS:
                    continue
                step(render.describe(item))
                if fact.status in (HealthStatus.HEALTHY, HealthStatus.WARNING):
                    missing.pop(fact.host, None)
                    sick.discard(fact.host)
                elif fact.status is HealthStatus.UNHEALTHY:
                    missing[fact.host] = fact.reason
                    sick.add(fact.host)
                limit.reschedule(min(end, now() + RECOVER_S) if sick else end)
                if not missing:
                    return
    except TimeoutError:
        host, reason = next(iter(missing.items()))
        raise CliError(
            Exit.FAILED,
            f"The MCP server {host} can't be started: {reason}",
            "Its packages are downloaded the first time: is the package index reachable?"
            " See also `metamcp doctor`.",
        ) from None


async def _run_tasks(api: Api, picked: Picked, out: Out) -> list[_Job]:
    """Submit once the stream is live, and show every fact as it happens."""
    jobs: dict[str, _Job] = {}
    async with asyncio.timeout(TASKS_S):
        async for item in FactStream(api.target, out.note).follow("tasks", after="start"):
            if isinstance(item, CaughtUp) and not jobs:
                tasks = await submitted(api, out, picked, TYPES)
                jobs = {task: _Job(type_) for type_, task in tasks.items()}
            elif isinstance(item, Record):
                # A folder that was kept has the tasks of earlier demos too.
                if (job := jobs.get(parse(item.subject).task)) is None:
                    continue
                before = job.facts[-1].at if job.facts else None
                out.say(render.fact_line(item, before), soft_wrap=True)
                job.facts.append(item)
                if all(job.done for job in jobs.values()):
                    return list(jobs.values())
    raise CliError(Exit.FAILED, "The stream ended before the tasks did.")


@contextlib.asynccontextmanager
async def _log(running: up.Running) -> AsyncIterator[NatsLog]:
    bus = await up.connect(running.nats_url, AUDITOR, running.credentials, name="metamcp-demo")
    try:
        async with await NatsLog.open(bus) as log:
            yield log
    finally:
        await bus.close()
