"""Commands that run things: up, provision."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from services.cli.client import Api, Target
from services.cli.commands import restored
from services.cli.commands.console import new_link
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, environ, run
from services.process import telemetry, tracing
from services.process.hangup import on_hangup
from services.process.settings import describe as describe_type
from services.process.settings import fields, load
from services.router.restored import FOLDER
from services.up import up
from services.up.nats_config import OPERATOR

PUBLISHER = "publisher"
RESTORED_S = 2.0


def up_(
    *,
    nats: Annotated[str | None, Parameter(name="--nats")] = None,
    credentials_dir: Path | None = None,
    executors: int | None = None,
    manifest: tuple[Path, ...] = (),
    port: int | None = None,
    in_process: bool | None = None,
    logs: bool = False,
    options: Options = NO_OPTIONS,
) -> int:
    """Start nats-server and the five services, keep them running, drain them on Ctrl-C.

    Parameters
    ----------
    nats
        Use this NATS server in place of the embedded one.
    credentials_dir
        Folder with ROLE.json for that server; without it none are sent.
    executors
        How many executor processes.
    manifest
        A file with hosts besides the built-in ones; can be repeated.
    port
        The gateway's port; 0 takes a free one.
    in_process
        Run the five services in this one process.
    logs
        Also print the services' log lines on stderr.
    """
    given = {"executors": executors, "in_process": in_process}
    settings = load(up.Settings, "up", environ(), cwd=Path.cwd())
    for path in manifest:
        if not path.is_file():
            raise CliError(Exit.USAGE, f"There is no manifest {path}.", "See docs/manifest.md.")
    plan = up.Plan(
        data=options.folder,
        settings=_changed(settings, given),
        nats=nats,
        credentials=credentials_dir,
        port=port,
        manifests=manifest,
        variables=environ(),
        echo=_echo if logs else None,
    )
    try:
        return run(_up(plan, options, logs=logs))
    finally:
        tracing.close()


def _changed(settings: up.Settings, given: Mapping[str, Any]) -> up.Settings:
    """The settings with the options that were given, within the same limits."""
    for field in fields(up.Settings):
        value = given.get(field.name)
        if value is None:
            continue
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            option = "--" + field.name.replace("_", "-")
            raise CliError(
                Exit.USAGE, f"{option} is {value}: expected {describe_type(field.type)}."
            ) from None
        settings = msgspec.structs.replace(settings, **{field.name: value})
    return settings


def _echo(chunk: bytes) -> None:
    sys.stderr.buffer.write(chunk)
    sys.stderr.flush()


async def _up(plan: up.Plan, options: Options, *, logs: bool) -> int:
    out = options.out
    if plan.settings.in_process:
        _log_to_files(options, logs=logs)
        _trace(options)
    else:
        telemetry.setup(level="warning", form="console")
    stop = _Stop()
    out.note(f"data folder {options.folder}")
    try:
        async with up.start(plan, out.note) as running:
            stop.ready = True
            summary = describe(running)
            out.show(summary, _summary(summary))
            await tell_of_console(running, out)
            await _tell_of_accounts(running, out)
            telling = asyncio.create_task(_tell_of_restored(running, out))
            failing = asyncio.create_task(running.wait())
            stopping = asyncio.create_task(stop.asked.wait())
            await asyncio.wait((failing, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            telling.cancel()
            if failing.done():
                failing.result()
            failing.cancel()
            out.note("draining; Ctrl-C again stops at once")
    except asyncio.CancelledError:
        if stop.count == 0:
            raise
        return Exit.INTERRUPTED
    out.note("stopped")
    return Exit.OK


async def tell_of_console(running: up.Running, out: Out) -> None:
    """Give whoever sits at the terminal a link into the console, and nobody who reads a file."""
    if out.as_json:
        return
    if not sys.stdout.isatty():
        out.note("the console: `metamcp console` opens it")
        return
    with contextlib.suppress(CliError):
        url, _ = await new_link(Target(running.url, running.token, running.trust))
        out.say(Text("console".ljust(18), "bold").append(url, "default"), soft_wrap=True)
        out.note("this link is good once, for ten minutes; `metamcp console` makes another")


async def _tell_of_accounts(running: up.Running, out: Out) -> None:
    """Say how the first account is made, as long as there is none."""
    # Only a remark: whatever keeps it from being known is no reason to stop.
    with contextlib.suppress(CliError):
        async with Api(Target(running.url, running.token, running.trust)) as api:
            if not await api.get("/api/users", limit=1):
                out.note("no accounts yet: `metamcp user add NAME --admin` makes the first one")


async def _tell_of_restored(running: up.Running, out: Out) -> None:
    """Say so whenever a log was put back that has tasks open which had ended."""
    told = False
    while True:
        # Routers keep there what they know of it, for as long as it is not decided.
        waits = any((running.data / FOLDER).glob("*.json"))
        if waits and not told:
            with contextlib.suppress(CliError, OSError):
                url = up.read_gateway_url(running.data)
                async with Api(Target(url, running.token, running.trust)) as api:
                    found = await api.get(restored.PATH)
                if told := found["waits"]:
                    out.note(f"{restored.told(found)} Open again: {restored.names(found)}")
        told = told and waits
        await asyncio.sleep(RESTORED_S)


class _Stop:
    """Ctrl-C, TERM and a closed terminal: before everything is ready give up, then drain, then
    don't wait for it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ready = False
        self.count = 0
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        on_hangup(self._on_signal)

    def _on_signal(self) -> None:
        self.count += 1
        self.asked.set()
        if self._task is not None and (not self.ready or self.count > 1):
            self._task.cancel()


def _log_to_files(options: Options, *, logs: bool) -> None:
    """In one process there is one log: to a file, and to stderr when asked for."""
    common = options.common
    telemetry.setup(
        level=common.log_level,
        form=common.log_format,
        log_dir=common.log_dir or options.folder / "logs",
        file_name="metamcp",
        stream=None if logs else open(os.devnull, "w"),  # noqa: SIM115 - for the process's life
    )


def _trace(options: Options) -> None:
    """In one process all five services send their spans as one. Raises CliError."""
    try:
        tracing.setup("metamcp", "metamcp", options.common.otlp_endpoint)
    except ValueError as error:
        raise CliError(Exit.USAGE, f"{error}.", "See docs/tracing.md.") from None


def describe(running: up.Running) -> dict[str, Any]:
    """What a user of a running orchestrator needs to know."""
    publisher = running.credentials_file(PUBLISHER)
    found = {
        "url": running.url,
        "token_file": str(running.token_file),
        "data": str(running.data),
        "nats_url": running.nats_url,
        "publisher_credentials": str(publisher) if publisher and publisher.exists() else None,
        "logs": str(running.logs),
        "pids": running.pids,
    }
    return {name: value for name, value in found.items() if value is not None}


def _summary(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    words = {
        "url": "gateway",
        "token_file": "token",
        "data": "data folder",
        "nats_url": "NATS",
        "publisher_credentials": "publisher",
        "logs": "log files",
    }
    table.add_row(Text("MetaMCP is ready", style="bold green"), Text("Ctrl-C drains and stops it"))
    for name, word in words.items():
        if name in found:
            table.add_row(Text(word, style="bold"), Text(str(found[name]), overflow="fold"))
    return table


def provision(
    *,
    nats: Annotated[str | None, Parameter(name="--nats")] = None,
    credentials_dir: Path | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Create or update the log's streams, consumers and buckets on a NATS server.

    Parameters
    ----------
    nats
        URL of the server; else METAMCP_NATS_URL.
    credentials_dir
        Folder with operator.json; without it no credentials are sent.
    """
    common = options.common
    url = nats or common.nats_url
    if credentials_dir is not None and not (credentials_dir / f"{OPERATOR}.json").is_file():
        raise CliError(Exit.USAGE, f"There is no {OPERATOR}.json in {credentials_dir}.")
    run(up.provision(url, credentials_dir, common.nats_tls, common.access_days))
    options.out.show({"provisioned": url}, Text(f"streams and buckets are ready on {url}"))
    return Exit.OK
