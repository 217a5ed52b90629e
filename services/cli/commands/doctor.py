"""The command doctor: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contracts.host import OUTDATED
from services.cli.client import Api, Target, find_target
from services.cli.commands import restored
from services.cli.commands.doctor_builtins import built_in, builtins, linked
from services.cli.commands.doctor_log import logged
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, environ, run
from services.cli.show import hosts as render
from services.cli.show.hosts import Finding, State
from services.gateway.settings import Settings as GatewaySettings
from services.process.files import port_is_free
from services.process.settings import load
from services.up import disk as store_disk
from services.up.nats_server import EmbeddedError, find_server
from services.up.plan import read_state

OLDEST = (3, 11)


def doctor(*, options: Options = NO_OPTIONS) -> int:
    """Look at everything that is needed and say how to get what is missing (then exit code 1)."""
    data = options.folder
    found = [
        python(),
        nats_server(),
        uv(),
        disk(data),
        folder(data),
        *run(builtins(data.absolute())),
        *run(logged(options)),
    ]
    try:
        target = find_target(options)
    except CliError as error:
        found += [gateway_port(), Finding("gateway", "off", error.message, error.hint)]
    else:
        missing = {finding.name for finding in found if finding.state == "off"}
        found += run(_gateway(target, missing))
    options.out.show(found, render.findings(found))
    return Exit.FAILED if any(finding.state == "failed" for finding in found) else Exit.OK


def python() -> Finding:
    """The interpreter's version."""
    fits = sys.version_info >= OLDEST
    detail = f"{platform.python_version()} at {sys.executable}"
    return Finding("python", _state(fits), detail, "Python 3.11 or newer is needed.")


def nats_server() -> Finding:
    """The server's binary and its version."""
    try:
        binary = find_server()
    except EmbeddedError as error:
        return Finding("nats-server", "failed", error.message, error.hint)
    return Finding("nats-server", "ok", f"{_version(binary)} at {binary}")


def uv() -> Finding:
    """uv starts Python MCP servers in environments of their own."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if found is None:
        hint = "Install it with `pip install uv`: it starts the built-in hosts."
        return Finding("uv", "failed", "not found", hint)
    return Finding("uv", "ok", f"{_version(Path(found))} at {found}")


def disk(data: Path) -> Finding:
    """Room for the log, for a start or for what runs."""
    found = store_disk.look(data.absolute())
    if read_state(data) is None:
        lack = store_disk.shortage(found, data)
    else:
        lack = store_disk.full(store_disk.free_now(data.absolute()), data)
    if lack is not None:
        return Finding("disk", "failed", *lack)
    return Finding("disk", "ok", f"{found.free // 2**20:,} MB free")


def folder(data: Path) -> Finding:
    """The data folder can be written."""
    try:
        with tempfile.TemporaryFile(dir=_existing(data)):
            pass
    except OSError as error:
        hint = "Make it a folder you may write to, or choose another with --data."
        return Finding("data folder", "failed", f"{data}: {error.strerror}", hint)
    state = read_state(data)
    used = f", in use by process {state.pid}" if state else ""
    return Finding("data folder", "ok", f"{data}{used}")


def gateway_port() -> Finding:
    """The port the gateway would take."""
    settings = load(GatewaySettings, "gateway", environ(), cwd=Path.cwd())
    where = f"{settings.port} on {settings.host}"
    if settings.port == 0 or port_is_free(settings.host, settings.port):
        return Finding("gateway port", "ok", f"{where} is free")
    hint = "Choose another with `metamcp up --port` or METAMCP_GATEWAY_PORT (0: a free one)."
    return Finding("gateway port", "failed", f"{where} is in use by another program", hint)


async def _gateway(target: Target, missing: set[str]) -> list[Finding]:
    """`missing`: findings of built-in hosts that lack something, which is no failure."""
    try:
        async with Api(target) as api:
            health, why = await api.report("/api/health")
            services = [*_services(health.get("services", ()))]
            try:
                again = await _restored(api, health.get("services", ()))
                hosts, accounts = await api.get("/api/mcps"), await _accounts(api)
            except CliError as error:
                why = why or error.message
    except CliError as error:
        return [Finding("gateway", "failed", error.message, error.hint)]
    if why:
        hint = "See what is said of the services below."
        return [Finding("gateway", "failed", why, hint), *services]
    executors = health.get("executors")
    lag = health.get("lag")
    detail = f"{target.url} is ready, {executors} executors, {lag} facts behind the log"
    return [
        Finding("gateway", "ok", detail),
        *services,
        *again,
        *(_host(host, missing) for host in hosts),
        linked(accounts),
    ]


def _services(found: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Each service with its processes; a gateway of an older version tells of none."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        by_name.setdefault(one["service"], []).append(one)
    for name, processes in by_name.items():
        there = [one for one in processes if one["up"]]
        idle = bool(there) and all(one["active"] is False for one in there)
        detail = "; ".join(_process(one) for one in there) or "none answers"
        hint = f"See the log file of the {name}, and start it again if it does not answer."
        yield Finding(f"service {name}", _state(bool(there) and not idle), detail, hint)
        for one in there:
            for trouble in one.get("troubles", ()):
                yield Finding(one["instance"], "failed", trouble["text"], trouble["hint"])


async def _restored(api: Api, found: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """The tasks of a log that was put back about which the operator has to decide."""
    kinds = {trouble["kind"] for one in found for trouble in one.get("troubles", ())}
    if restored.KIND not in kinds:
        return []
    try:
        known = await api.get(restored.PATH)
    except CliError as error:
        return [Finding("restored log", "failed", error.message, error.hint)]
    detail = f"open again: {restored.names(known)}"
    return [Finding("restored log", "failed", detail, restored.HINT)]


def _process(one: Mapping[str, Any]) -> str:
    standing = {True: " is active", False: " stands by"}.get(one["active"], " answers")
    lag = "" if one["lag"] is None else f", {one['lag']} facts behind the log"
    return f"{one['instance']}{standing}{lag}"


async def _accounts(api: Api) -> Any:
    """What is linked; nothing where the gateway can't tell, which is no trouble of this machine."""
    try:
        return await api.get("/api/accounts")
    except CliError:
        return []


def _host(entry: dict[str, Any], missing: set[str]) -> Finding:
    health = entry.get("health", {})
    status = str(health.get("status", "unknown"))
    sick: State = "off" if built_in(entry["id"]) in missing else "failed"
    states: dict[str, State] = {"healthy": "ok", "warning": "ok", "unhealthy": sick}
    detail = f"{status} {health.get('reason', '')}".strip()
    hint = f"See `metamcp hosts {entry['id']}` and the log files of registry and executor."
    if str(health.get("reason", "")).startswith(f"{OUTDATED}:"):
        return Finding(f"host {entry['id']}", "failed", detail, _deploy_again(entry))
    return Finding(f"host {entry['id']}", states.get(status, "off"), detail, hint)


def _deploy_again(entry: Mapping[str, Any]) -> str:
    """How a Space gets the kit of this release."""
    url = str(entry.get("endpoint", {}).get("url", ""))
    if url.startswith("hf://"):
        return f"Deploy the kit again: `metamcp spaces deploy {url.removeprefix('hf://')}`."
    return "Put this release's `deploy/space` there, and set METAMCP_OWNER and METAMCP_PUBLIC_URL."


def _state(fine: bool) -> State:
    return "ok" if fine else "failed"


def _existing(path: Path) -> Path:
    """The folder itself, or the one it would be made in."""
    while not path.exists():
        path = path.parent
    return path


def _version(binary: Path) -> str:
    answer = subprocess.run(
        (str(binary), "--version"), capture_output=True, text=True, timeout=10, check=False
    )
    return (answer.stdout or answer.stderr).strip().partition("\n")[0]
