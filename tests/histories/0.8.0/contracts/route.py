"""Routes: the router's decision with all its inputs, so that anyone can recompute it."""

from __future__ import annotations

import msgspec


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One eligible host and its score (weights 0.4, 0.3, 0.2, 0.1)."""

    host: str
    score: float
    capability: float = 0.0
    resource: float = 0.0
    health: float = 0.0
    preference: float = 0.0


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Which rules decided: the version of the function and a digest of its settings."""

    version: int
    settings: str


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why this host: inputs and outcome of one decision.

    Fold the log through `basis`, take `slots`, `no_foreign` and `now` from here, run the router's
    `select`: the same candidates, host and score come out.
    """

    host: str
    host_seq: int
    """Sequence of the `mcp.registered` fact that describes the host."""
    basis: int
    """Sequence the router had folded through."""
    index: int = 0
    """Place in the round of decisions that shared this basis."""
    now: float
    """Log time of the decision, seconds since the epoch."""
    term: int
    """The router's term."""
    policy: Policy
    job_head: int = 0
    """Sequence of the task's last `job.*` fact, 0 if none."""
    input_sha256: str
    task_type: str = ""
    """What the permit will allow the host to do."""
    slots: dict[str, int] = {}
    """Slots in use on each host that has any, before this decision."""
    no_foreign: bool = False
    """The user's own hosts were passed over: they had their share of the executors' slots."""
    candidates: tuple[Candidate, ...] = ()
    """Best first."""
    removed: dict[str, tuple[str, ...]] = {}
    """Filter name to the hosts it removed."""
    timeout_s: float = 300.0
    """Limit of this attempt."""
    expires: float = 0.0
    """Log time after which the task may not run any more; 0: no limit."""
    isolated: bool = False
    """The call gets a session of its own, shared with no other: an earlier attempt was in one that
    died or fell silent."""
    approved: int = 0
    """The question whose answer allows the call; 0: none was needed."""
    reply: int = 0
    """The latest question of a host that was answered: the call takes the answer along; 0: none."""
    question_s: float = 86_400.0
    """How long what the host asks may wait for its answer."""


class Earlier(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a result that is given again comes from, and by what the router has decided that."""

    seq: int
    """Sequence of the `job.done` of the work."""
    host: str
    """Which host did it."""
    host_seq: int
    """Sequence of the `mcp.registered` that says that it may be given again."""
    now: float
    """Log time of the decision."""


OF_ANOTHER = "-"
"""`JobDone.from_` where the earlier task is another user's: its id is not shown."""
