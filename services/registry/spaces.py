"""What a user's Spaces mean: which are hosts, and which of them are not to be probed now, and why.

Pure. A Space that sleeps, starts or is being built has not failed; a probe would only wake it.
"""

from __future__ import annotations

import re

from contracts.host import OUTDATED, HealthStatus
from services.huggingface.spaces import Space
from services.registry.domain import Held

MANIFEST_FILE = "mcp.json"
TAG = "mcp-server"
RUNS = frozenset({"RUNNING", "RUNNING_BUILDING", "RUNNING_APP_STARTING"})
STARTS = frozenset({"APP_STARTING"})
BUILDS = frozenset({"BUILDING"})
RESTS = frozenset({"PAUSED", "STOPPED"})
FAILED = frozenset({"BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE"})
GONE = frozenset({"DELETING"})
KIT = 2
"""Permits as executors sign them, see `deploy/space/permit.py`: kits that say less take none."""
KIT_FILES = frozenset({"permit.py", "runs.py", "server.toml"})
"""Where all of these lie, it is the Space kit; the first one says which."""
_WORDS = 200
_KIT = re.compile(r"^KIT = (\d{1,6})$", re.MULTILINE)


def describes_itself(space: Space) -> bool:
    """Whether it has a file that says what host it is."""
    return MANIFEST_FILE in space.files


def is_kit(space: Space) -> bool:
    """Whether the Space kit was deployed to it."""
    return set(space.files) >= KIT_FILES


def kit_of(source: str) -> int:
    """Which permits a kit takes, by the source of its `permit.py`; the first ones didn't say."""
    said = _KIT.search(source)
    return int(said[1]) if said else 1


def outdated(space: Space, kit: int) -> Held | None:
    """Why its kit, if it is one (0: no), can do no work for this release."""
    if not 0 < kit < KIT or space.stage in RESTS | FAILED | BUILDS:
        return None
    advice = f"its kit takes no permits of this release: `metamcp spaces deploy {space.repo}`"
    return Held(HealthStatus.UNHEALTHY, f"{OUTDATED}: {advice}")


def is_gradio_server(space: Space) -> bool:
    """Whether it is a Gradio app that offers its functions as MCP tools."""
    return space.sdk == "gradio" and TAG in space.tags


def is_candidate(space: Space) -> bool:
    """Whether it may be a host at all."""
    there = space.stage not in GONE
    return there and (describes_itself(space) or is_gradio_server(space))


def held(space: Space) -> Held | None:
    """Why the Space's host is not to be probed, and how it is; None: it runs.

    One that sleeps or starts can be given work: whoever calls it waits until it is awake.
    """
    stage = space.stage
    if stage in RUNS:
        return None
    if stage == "SLEEPING":
        return Held(HealthStatus.WARNING, "sleeping: it wakes when work arrives")
    if stage in STARTS:
        return Held(HealthStatus.WARNING, "starting: it will answer soon")
    if stage in BUILDS:
        return Held(HealthStatus.UNKNOWN, "building: it is being built")
    if stage in RESTS:
        advice = f"paused: restart it with `metamcp spaces restart {space.repo}`"
        return Held(HealthStatus.UNHEALTHY, advice)
    if stage in FAILED:
        words = f": {' '.join(space.error.split())[:_WORDS]}" if space.error else ""
        return Held(HealthStatus.UNHEALTHY, f"failed: the Space says {stage}{words}")
    return Held(HealthStatus.UNKNOWN, f"stage: the Space says {stage[:40] or 'nothing'}")
