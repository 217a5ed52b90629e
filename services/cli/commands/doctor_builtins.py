"""What the doctor says of the built-in hosts: installed, token, network, and how to get each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.account import Provider
from contracts.host import Host, Stdio, StreamableHttp
from services.cli.common import environ
from services.cli.http import httpx
from services.cli.show.hosts import Finding
from services.keys.secrets import MissingSecret, Secrets
from services.process.settings import load
from services.registry.builtin import pinned
from services.registry.builtin.git.asked import GitRefused
from services.registry.builtin.git.repository import OLDEST, version
from services.registry.manifests import manifest
from services.registry.manifests.manifest import ManifestError, Places
from services.registry.settings import Settings

REACH_S = 5.0
"""How long a host behind a URL may take to answer."""
INSTALLED_MB = {"code": 110, "tree-sitter": 290, "security": 430}
"""Size of an environment, by the name of its pins; uv keeps as much again for the next one."""
GIT_SERVER = "services.registry.builtin.git.server"
_UNKNOWN_MB = 300
_TOKEN = (
    "Each user can have an own one: `metamcp link github`. With one for all, every user works as"
    " its owner."
)


async def builtins(data: Path) -> list[Finding]:
    """One finding for each built-in host, as the settings and the manifests have it now.

    `data` is the data folder, as an absolute path.
    """
    variables = environ()
    settings = load(Settings, "registry", variables, cwd=Path.cwd())
    if not settings.builtins:
        return [Finding("built-in hosts", "off", "METAMCP_REGISTRY_BUILTINS says false")]
    places = Places(data, settings.roots, settings.allow_noop)
    try:
        names = {host.id for host in manifest.read(manifest.BUILTIN, places)}
        hosts = manifest.load(settings.manifests, places)
    except ManifestError as error:
        return [Finding("built-in hosts", "failed", str(error), "Correct the manifest file.")]
    return [
        await _builtin(host, data, variables, off=host.id in settings.disabled or not host.enabled)
        for host in hosts
        if host.id in names
    ]


def built_in(host: str) -> str:
    """The name of the finding about this host."""
    return f"built-in {host}"


async def _builtin(host: Host, data: Path, variables: Mapping[str, str], *, off: bool) -> Finding:
    name = built_in(host.id)
    if off:
        return Finding(name, "off", "disabled by METAMCP_REGISTRY_DISABLED or a manifest")
    match host.endpoint:
        case Stdio() as endpoint if "--pins" in endpoint.args:
            return installed(name, endpoint, data)
        case Stdio() as endpoint if GIT_SERVER in endpoint.args:
            return await reading_git(name, shutil.which("git"), [Path(one) for one in host.roots])
        case StreamableHttp() as endpoint:
            return await reached(name, endpoint, Secrets(data / "secrets", variables))
        case _:
            return Finding(name, "off", "replaced by a host of your own")


def installed(name: str, endpoint: Stdio, data: Path) -> Finding:
    """Whether the environment of a server stands, and what there must be so that it can."""
    pins = Path(endpoint.args[endpoint.args.index("--pins") + 1])
    folder = pinned.place(data / "servers", pins)
    state = pinned.state(folder)
    if state == "ready":
        return Finding(name, "ok", f"installed in {folder}")
    if state == "installing":
        return Finding(name, "off", "is being installed now", "Wait; see `metamcp hosts`.")
    size = INSTALLED_MB.get(pins.stem, _UNKNOWN_MB)
    free = shutil.disk_usage(_existing(data)).free >> 20
    if free < 2 * size:
        hint = f"It takes about {2 * size} MB. Make room, or choose another folder with --data."
        return Finding(name, "failed", f"not installed, and only {free:,} MB are free", hint)
    return Finding(
        name,
        "off",
        f"not installed yet: its first start does that, with about {size} MB",
        "`metamcp up` starts it. It needs the package index once, then no network any more.",
    )


async def reading_git(name: str, program: str | None, roots: Sequence[Path]) -> Finding:
    """Whether there is a git that will do, and which folders it may read."""
    install = f"Install git {'.'.join(map(str, OLDEST))} or newer; everything else goes on without."
    if program is None:
        return Finding(name, "off", "there is no git", install)
    try:
        detail = f"git {await version(program)}"
    except GitRefused as refused:
        return Finding(name, "off", str(refused), install)
    if not roots:
        hint = "METAMCP_REGISTRY_ROOTS names them. Whoever may submit tasks can read what is there."
        return Finding(name, "off", f"{detail}; no folders are named that it may read", hint)
    if missing := [str(root) for root in roots if not root.is_dir()]:
        hint = "Make it, or correct METAMCP_REGISTRY_ROOTS."
        return Finding(name, "failed", f"{detail}; {missing[0]} is no folder", hint)
    return Finding(name, "ok", f"{detail}; it may read {', '.join(map(str, roots))}")


async def reached(name: str, endpoint: StreamableHttp, secrets: Secrets) -> Finding:
    """Whether a server behind a URL answers, and whose token it would be asked with."""
    if problem := await _unreachable(endpoint.url):
        hint = "Without a network everything else goes on; this host gets no work until it answers."
        return Finding(name, "off", f"{endpoint.url} can't be reached: {problem}", hint)
    if endpoint.bearer_from is None:
        return Finding(name, "ok", f"{endpoint.url} answers")
    try:
        await secrets.find(endpoint.bearer_from)
    except MissingSecret as missing:
        return Finding(name, "off", f"{endpoint.url} answers; for all, {missing}", _TOKEN)
    detail = f"{endpoint.url} answers; {endpoint.bearer_from} is there for everybody"
    return Finding(name, "ok", detail)


def linked(accounts: object) -> Finding:
    """Whether one has an account at GitHub linked; `accounts` as the gateway lists them."""
    for account in accounts if isinstance(accounts, list) else []:
        if isinstance(account, dict) and account.get("provider") == Provider.GITHUB:
            return Finding("account github", "ok", f"linked as {account.get('name')}")
    return Finding("account github", "off", "you have linked none", "`metamcp link github`")


async def _unreachable(url: str) -> str:
    """Why nothing answers there; empty: something does, whatever it says."""
    try:
        async with (
            httpx.AsyncClient(timeout=REACH_S) as client,
            client.stream("GET", url, headers={"accept": "text/event-stream"}),
        ):
            return ""
    except httpx.TransportError as error:
        return str(error) or type(error).__name__


def _existing(path: Path) -> Path:
    """The folder itself, or the one it would be made in."""
    while not path.exists():
        path = path.parent
    return path
