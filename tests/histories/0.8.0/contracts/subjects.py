"""Every subject, guard and filter of the log, built and parsed here and nowhere else.

One subject is one fact. The server lets a misspelt guard pass, so nobody writes one by hand.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import NamedTuple

from contracts import facts
from contracts.account import Provider
from contracts.facts import AnyFact, Logged
from contracts.ids import OPERATOR, host_id, split_host
from contracts.roles import EARLIER, WRITES

STREAM = "METAMCP"
INTAKE_STREAM = "INTAKE"
LIVE = "live."
BLOBS_STREAM = "BLOBS"
BLOBS_SUBJECTS: tuple[str, ...] = ("blob.meta.>", "blob.chunk.>")
BLOBS_BUCKET = "METAMCP_BLOBS"
"""The name of the object store in addresses of blobs; releases before 0.5 kept them in a bucket of
this name."""
LEASES_BUCKET = "METAMCP_LEASES"
WRITE_PROBE = f"$KV.{LEASES_BUCKET}.gateway"
"""What a gateway writes to see whether anything is stored; no lease has this name."""
VIEWS_BUCKET = "METAMCP_VIEWS"
TOKENS_BUCKET = "METAMCP_TOKENS"
LIMITS_BUCKET = "METAMCP_LIMITS"
TICKETS_BUCKET = "METAMCP_TICKETS"
ACCOUNTS_BUCKET = "METAMCP_ACCOUNTS"
"""People and what is theirs: users, identities, sessions, clients, grants, projects, exceptions."""
ACCESS_STREAM = "ACCESS"
ACCESS_SUBJECTS: tuple[str, ...] = ("access.>",)
NOBODY = "-"
"""In place of the user of an event of `ACCESS` that is about nobody."""
CREDENTIAL_BUCKETS = {
    Provider.HUGGINGFACE: "METAMCP_HUGGINGFACE",
    Provider.GITHUB: "METAMCP_GITHUB",
}
"""One for each provider, so that a service can be let at one of them alone; the key is the user."""
EXECUTOR_DURABLE = "executor"
INTAKE_DURABLE = "intake"

WRITTEN: tuple[str, ...] = tuple(dict.fromkeys(chain.from_iterable(WRITES.values())))
"""Where facts are written. None has a subject in common with what earlier releases wrote: theirs
have a token less, the host's owner."""
LOG_SUBJECTS: tuple[str, ...] = (*WRITTEN, *EARLIER)
_TOKEN = r"(?:[A-Za-z0-9_-]{1,64}|\*)"
_GUARDED = re.compile(
    "|".join(
        r"\.".join(_TOKEN if token == "*" else rf"(?:{token}|\*)" for token in one.split("."))
        for one in LOG_SUBJECTS
    )
)
"""Filters that have subjects in common with the log's."""
INTAKE_SUBJECTS: tuple[str, ...] = ("intake.>",)

ROUTES = "task.routed.>"
CANCELLED = "task.cancelled.>"
ANSWERED = "task.answered.>"
DONE = "job.done.>"
FAILED = "job.failed.>"
RESULTS = ("result.stored.>", "result.deleted.>")
REGISTERED = "mcp.registered.>"
REMOVED = "mcp.removed.>"
HOSTS = (REGISTERED, REMOVED, "mcp.health.>")
KEYS = "log.key.>"
ROUTERS = "log.router.*"


class Guard(NamedTuple):
    """Append only if the last sequence on `subject` (a filter) is `seq`; 0: nothing there yet."""

    subject: str
    seq: int


class Parsed(NamedTuple):
    """The parts of a log subject; those it does not have are empty, and of a subject that a newer
    release has added all but the type."""

    type: str
    user: str = ""
    task: str = ""
    host: str = ""
    last: str = ""
    operation: str = ""

    @property
    def number(self) -> int:
        """The attempt, question, term or count at its end; 0 if there is none."""
        # `log.router.<term>-<id>`: said again in this term.
        text = self.last.partition("-")[0]
        return int(text) if text.isascii() and text.isdecimal() else 0

    @property
    def term_begins(self) -> bool:
        """Whether this is the subject on which a router's term begins."""
        return self.type == "log.router" and self.last.isdecimal()


def of(fact: Logged) -> str:
    """Return the one subject of this fact; of what can't be read, the one it stands on."""
    match fact:
        case (
            facts.TaskCreated()
            | facts.TaskCancelled()
            | facts.ResultStored()
            | facts.ResultDeleted()
        ):
            return f"{_tag(fact)}.{fact.user}.{fact.task}"
        case facts.TaskRouted() | facts.JobSigned() | facts.JobFailed():
            return f"{_tag(fact)}.{fact.user}.{fact.task}.{fact.attempt}"
        case facts.TaskAsked() | facts.TaskAnswered():
            return f"{_tag(fact)}.{fact.user}.{fact.task}.{fact.q}"
        case facts.TaskTagged():
            return f"{_tag(fact)}.{fact.user}.{fact.task}.{fact.k}"
        case facts.JobDone():
            return done(fact.user, fact.task)
        case facts.McpRegistered() | facts.McpRemoved() | facts.McpHealth():
            return f"{_tag(fact)}.{_host(fact.host)}.{fact.k}"
        case facts.OperationStarted() | facts.OperationStepped():
            return f"{_tag(fact)}.{fact.user}.{fact.operation}.{fact.k}"
        case facts.OperationStopped():
            return operation_stopped(fact.user, fact.operation)
        case facts.McpPreferred():
            return f"mcp.preferred.{fact.user}.{_host(fact.host)}.{fact.k}"
        case facts.LogRouter():
            return f"log.router.{fact.term}-{fact.id}" if fact.again else f"log.router.{fact.term}"
        case facts.LogKey():
            return f"log.key.{fact.kid}"
        case facts.LogSealed():
            return f"log.sealed.{fact.k}"
        case facts.Unknown():
            return fact.subject


def stands(fact: Logged, subject: str) -> bool:
    """Tell whether the fact may stand on this subject: its own, or where an earlier release has
    put it, which knew no owners of hosts."""
    if subject == of(fact):
        return True
    match fact:
        case facts.McpRegistered() | facts.McpRemoved() | facts.McpHealth():
            return subject == f"{_tag(fact)}.{fact.host}.{fact.k}"
        case facts.McpPreferred():
            return subject == f"mcp.preferred.{fact.user}.{fact.host}.{fact.k}"
        case _:
            return False


def parse(subject: str) -> Parsed:
    """Split a log subject, of today or of an earlier release; the number of tokens tells which."""
    tokens = subject.split(".")
    kind = ".".join(tokens[:2])
    match tokens[0], len(tokens):
        case (("task" | "job" | "result"), 4):
            return Parsed(kind, user=tokens[2], task=tokens[3])
        case (("task" | "job"), 5):
            return Parsed(kind, user=tokens[2], task=tokens[3], last=tokens[4])
        case "mcp", 4:
            return Parsed(kind, host=tokens[2], last=tokens[3])
        case "mcp", 5 if tokens[1] == "preferred":
            return Parsed(kind, user=tokens[2], host=tokens[3], last=tokens[4])
        case "mcp", 5:
            return Parsed(kind, host=host_id(tokens[2], tokens[3]), last=tokens[4])
        case "mcp", 6:
            return Parsed(kind, user=tokens[2], host=host_id(tokens[3], tokens[4]), last=tokens[5])
        case "operation", (4 | 5):
            last = tokens[4] if len(tokens) > 4 else ""
            return Parsed(kind, user=tokens[2], last=last, operation=tokens[3])
        case "log", 3:
            return Parsed(kind, last=tokens[2])
        case _:
            return Parsed(kind)


def job_head(user: str, task: str, seq: int) -> Guard:
    """Guard of the task's job facts: `seq` is the last one the writer knows, 0 if none."""
    return Guard(f"job.*.{user}.{task}.*", seq)


def asked(user: str, task: str, q: int | str = "*") -> str:
    """The subject of a question; also the filter of all of them."""
    return f"task.asked.{user}.{task}.{q}"


def answered(user: str, task: str, q: int) -> str:
    """The subject of its answer."""
    return f"task.answered.{user}.{task}.{q}"


def unanswered(user: str, task: str, q: int) -> Guard:
    """Guard of how a question ends without an answer: there is none to it so far."""
    return Guard(answered(user, task, q), 0)


def router_term(seq: int) -> Guard:
    """Guard of who becomes the active router: `seq` is that of the newest `log.router` fact."""
    return Guard(ROUTERS, seq)


def latest_term(term: int) -> Guard:
    """Guard of what the router of this term writes: no later term has begun."""
    return Guard(f"log.router.{term + 1}", 0)


def of_task(user: str, task: str) -> tuple[str, ...]:
    """Filters that select all facts of one task."""
    return (
        f"task.*.{user}.{task}",
        f"task.*.{user}.{task}.*",
        f"job.*.{user}.{task}.*",
        f"result.*.{user}.{task}",
    )


def created(user: str, task: str) -> str:
    """The subject of the task's creation."""
    return f"task.created.{user}.{task}"


def cancelled(user: str, task: str) -> str:
    """The subject of the wish to cancel the task."""
    return f"task.cancelled.{user}.{task}"


def done(user: str, task: str) -> str:
    """The subject of the task's outcome."""
    return f"job.done.{user}.{task}.end"


def ended(record: facts.Record) -> tuple[str, str] | None:
    """The user and the task that are over by an end that can't be read: the subject says so."""
    if not isinstance(record.fact, facts.Unknown):
        return None
    what = parse(record.subject)
    return (what.user, what.task) if what.type == "job.done" and what.task else None


def preferences(user: str, host: str) -> tuple[str, ...]:
    """Filters that select all this user has said about this host, what was said to an earlier
    release last; the newest of it holds."""
    owner, name = split_host(host)
    earlier = (f"mcp.preferred.{user}.{name}.*",) if owner == OPERATOR else ()
    return (f"mcp.preferred.{user}.{owner}.{name}.*", *earlier)


def preferences_of(user: str) -> tuple[str, ...]:
    """Filters that select all this user has said about hosts."""
    return (f"mcp.preferred.{user}.*.*.*", f"mcp.preferred.{user}.*.*")


def operation_part(user: str, operation: str, k: int) -> str:
    """The subject of the part `k` of an operation's tasks."""
    return f"operation.started.{user}.{operation}.{k}"


def operation_step(user: str, operation: str, k: int) -> str:
    """The subject of what has become of that part."""
    return f"operation.stepped.{user}.{operation}.{k}"


def operation_stopped(user: str, operation: str) -> str:
    """The subject of the wish to stop an operation."""
    return f"operation.stopped.{user}.{operation}"


def operations_of(user: str) -> tuple[str, ...]:
    """Filters that select all facts of a user's operations."""
    return (f"operation.*.{user}.>",)


def of_user(user: str) -> tuple[str, ...]:
    """Filters that select all facts of one user's tasks."""
    return (f"task.*.{user}.>", f"job.*.{user}.>", f"result.*.{user}.>")


def live(filter_: str) -> str:
    """Return the subject on which committed facts that match `filter_` are republished."""
    return LIVE + filter_


def beat(instance: str) -> str:
    """Heartbeat of an executor (core NATS, outside the log)."""
    return f"beat.executor.{instance}"


def health(host: str, k: int | str = "*") -> str:
    """The subject of one change of a host's health; also the filter of all of them."""
    return f"mcp.health.{_host(host)}.{k}"


def removals(host: str) -> str:
    """The filter of a host's removals."""
    return f"mcp.removed.{_host(host)}.*"


def breaker(host: str) -> str:
    """Circuit breaker of an executor for this host (core NATS, outside the log)."""
    return f"breaker.{_host(host)}"


def tools_changed(host: str) -> str:
    """An executor has reason to believe that the tools of this host are others now (core NATS,
    outside the log)."""
    return f"tools.changed.{_host(host)}"


def reads_changed(host: str) -> str:
    """A host has said that its prompts or resources are others now (core NATS, outside the log)."""
    return f"reads.changed.{_host(host)}"


def progress(user: str, task: str) -> str:
    """Live progress of a task (core NATS, outside the log)."""
    return f"progress.{user}.{task}"


def said(user: str, task: str) -> str:
    """Log messages of a task's host (core NATS, outside the log)."""
    return f"said.{user}.{task}"


def access(kind: str, user: str) -> str:
    """Subject of an event of `ACCESS`; also the filter, with `*` for any kind or user."""
    return f"access.{kind.replace('.', '_')}.{user or NOBODY}"


def quota(user: str) -> str:
    """Where the quotas of a user lie, in the bucket of people; also the filter, with `*`."""
    return f"$KV.{ACCOUNTS_BUCKET}.quota.{user}"


def command(service: str, verb: str) -> str:
    """Request/reply command of a service (nats.micro)."""
    return f"cmd.{service}.{verb}"


HOST_TOKEN = command("gateway", "host_token")
"""Request/reply: a user's token for a host that asks for OAuth."""


def look(instance: str) -> str:
    """Request/reply: what a registry asks in the sessions of this executor, see `held`."""
    return f"cmd.executor.look.{instance}"


def check_guard(guard: Guard) -> None:
    """Raise ValueError for a guard that no fact of the log can ever meet: the server lets most of
    those pass, as if there were none."""
    if not _GUARDED.fullmatch(guard.subject) or not 0 <= guard.seq < 2**63:
        raise ValueError(f"{guard} guards nothing: no fact of the log stands there")


def matches(filter_: str, subject: str) -> bool:
    """Tell whether `subject` matches a NATS filter with `*` and `>`."""
    wanted, tokens = filter_.split("."), subject.split(".")
    for i, want in enumerate(wanted):
        if want == ">":
            return len(tokens) > i
        if i >= len(tokens) or (want not in ("*", tokens[i])):
            return False
    return len(wanted) == len(tokens)


def _host(host: str) -> str:
    """A host's two tokens."""
    return ".".join(split_host(host))


def _tag(fact: AnyFact) -> str:
    return str(fact.__struct_config__.tag)
