"""The router's settings: limits, defaults of tasks, and how long it waits before it acts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the router queues, retries and gives up. Every router of one log has the same values."""

    max_concurrent_jobs: Annotated[
        int,
        Meta(
            description="Attempts in flight over all hosts and users; the rest waits in the queue."
            " Hosts have limits of their own (`max_concurrency`), and no more is routed than twice"
            " the executors' slots.",
            ge=1,
        ),
    ] = 1000
    max_per_user: Annotated[
        int, Meta(description="Attempts in flight of one user; the rest waits.", ge=1)
    ] = 500
    default_task_timeout_s: Annotated[
        float, Meta(description="Seconds one attempt may take when the task does not say.", gt=0)
    ] = 300.0
    default_deadline_s: Annotated[
        float,
        Meta(
            description="Seconds from its creation in which a task must be over, waiting included,"
            " when it does not say.",
            gt=0,
        ),
    ] = 3600.0
    max_attempts: Annotated[
        int, Meta(description="Attempts of a task that does not say.", ge=1, le=100)
    ] = 3
    age_s: Annotated[
        float,
        Meta(description="Every so many seconds of waiting lift a task one priority.", gt=0),
    ] = 60.0
    lost_after_s: Annotated[
        float,
        Meta(description="Seconds without a heartbeat after which an executor is lost.", ge=2),
    ] = 5.0
    grace_s: Annotated[
        float,
        Meta(
            description="Seconds an executor may overrun a permit or deadline before the router"
            " ends the attempt in its place.",
            ge=0,
        ),
    ] = 5.0
    no_host_grace_s: Annotated[
        float,
        Meta(
            description="Seconds a task waits for its host when it was created before any host"
            " was registered; later tasks that no host can serve are rejected at once.",
            ge=0,
        ),
    ] = 10.0
    host_down_grace_s: Annotated[
        float,
        Meta(
            description="Seconds a tool call (`mcp.call`) that names its host waits for it while it"
            " is down; then it fails and says why. A task with a `deadline_s` of its own waits"
            " until that.",
            ge=0,
        ),
    ] = 30.0
    question_timeout_s: Annotated[
        float,
        Meta(
            description="Seconds a person has to allow a tool call that asks for it, or to answer a"
            " host's question; then the task ends as `timed_out`, `unanswered`. Its deadline stands"
            " still meanwhile.",
            gt=0,
        ),
    ] = 86_400.0
    lease_ttl_s: Annotated[
        int,
        Meta(
            description="Whole seconds of silence after which a standby takes over from a router.",
            ge=1,
            le=60,
        ),
    ] = 2
