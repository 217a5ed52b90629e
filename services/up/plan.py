"""What `metamcp up` is to start, the small files in its data folder, and what it checks first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from services.process.child import alive
from services.process.files import FolderInUse, lock_folder
from services.process.run import Fatal
from services.up.children import Echo
from services.up.settings import Settings

STATE_FILE = "up.json"
CLIENT_ONLY = ("METAMCP_URL", "METAMCP_TOKEN")
"""Short names that the command line understands; to a service they would be unknown settings."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start and where."""

    data: Path
    settings: Settings = Settings()
    nats: str | None = None
    """URL of a running server; None: the embedded one."""
    credentials: Path | None = None
    """Folder with `<role>.json` for `nats`; None: it asks for none."""
    port: int | None = None
    """The gateway's; None: as its own settings say."""
    manifests: tuple[Path, ...] = ()
    """Files with hosts besides the built-in ones."""
    variables: Mapping[str, str] = {}
    """Environment for the services, over this process's own."""
    echo: Echo | None = None
    """Gets what the service processes write."""


class UpState(msgspec.Struct, frozen=True, kw_only=True):
    """What `<data>/up.json` says while something runs in that folder."""

    pid: int
    nats_url: str
    credentials: str | None = None


def environment(plan: Plan) -> dict[str, str]:
    """The environment of every service, without what differs between them."""
    environ = dict(os.environ) | dict(plan.variables)
    for name in CLIENT_ONLY:
        environ.pop(name, None)
    if plan.port is not None:
        environ["METAMCP_GATEWAY_PORT"] = str(plan.port)
    if plan.manifests:
        files = ",".join(str(path.resolve()) for path in plan.manifests)
        environ["METAMCP_REGISTRY_MANIFESTS"] = files
    if "METAMCP_REGISTRY_MANIFESTS" in environ:
        environ.setdefault("METAMCP_GATEWAY_MANIFESTS", environ["METAMCP_REGISTRY_MANIFESTS"])
    return environ


def read_state(data: Path) -> UpState | None:
    """What runs in this data folder; None if nothing does."""
    try:
        state = msgspec.json.decode((data / STATE_FILE).read_bytes(), type=UpState)
    except (OSError, msgspec.DecodeError):
        return None
    return state if alive(state.pid) else None


def not_ready(status: int, body: bytes, executors: int = 1) -> str:
    """What an answer of `/api/health` says is missing; empty when everything is ready."""
    envelope = msgspec.json.decode(body, type=dict[str, Any])
    if status != 200:
        error = envelope.get("error") or {}
        return str(error.get("message") or envelope.get("message") or f"health answers {status}")
    there = (envelope.get("data") or {}).get("executors")
    if there is not None and there < executors:
        return f"{there} of {executors} executors have been heard of"
    return ""


def log_folder(plan: Plan, data: Path) -> Path:
    """Where the services of this plan write their log files."""
    return Path(environment(plan).get("METAMCP_LOG_DIR") or data / "logs")


@contextlib.contextmanager
def folder_lock(data: Path) -> Iterator[None]:
    """The lock the embedded server takes, for a folder without one."""
    try:
        held = lock_folder(data)
    except FolderInUse:
        raise Fatal(
            f"The data folder {data} is in use.",
            "Stop the other `metamcp up` first, or choose another folder with --data.",
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise Fatal(
            f"The data folder {data} can't be used: {why}.",
            "Make it a folder you may write to, or choose another with --data.",
        ) from error
    try:
        yield
    finally:
        os.close(held)
