"""Tasks that wait for a person: which calls have to be allowed, and what follows from an answer.

Pure. An approval is good for one host and one tool; the task's input never changes.
"""

from __future__ import annotations

from math import inf

from contracts.approval import to_approve
from contracts.asks import AnswerAction, QuestionKind, TaskAsked
from contracts.facts import Failure, Outcome
from contracts.host import Host
from contracts.message import bounded
from services.log.clock import LogClock
from services.router.state import Inquiry, OpenTask, Phase
from services.router.steps import End, Step, Wait

MOST_QUESTIONS = 100
"""Questions of one task; with the next one it is over."""
EARLY_S = 0.5
"""An executor that gives up waiting may read its clock a little early."""


def needed(task: OpenTask, host: Host) -> str | None:
    """The tools that a person has to allow before this host gets the task; None: it may go.

    Empty: which tool is called is not known.
    """
    names = _names(task, host)
    if names is None:
        return None
    said = ", ".join(names)
    return None if _allows(task, host, said) else said


def approved(task: OpenTask, host: Host) -> int:
    """The question whose answer lets the task go there; 0: none was needed."""
    if task.allowed is None:
        return 0
    return task.allowed.q if _names(task, host) is not None else 0


def asking(task: OpenTask, host: Host, timeout_s: float, id_: str, by: str) -> TaskAsked:
    """The question whether this host may have the task."""
    tools = needed(task, host) or ""
    by_host = to_approve(host, task.need.type, task.tool)
    return TaskAsked(
        id=id_,
        by=by,
        user=task.user,
        task=task.task,
        q=task.questions + 1,
        kind=QuestionKind.APPROVAL,
        message=bounded(f"May {_what(tools)} of host {host.id} be called?"),
        timeout_s=timeout_s,
        # Where the task alone asks, it is for its user to say.
        approvers=None if by_host is None else host.approvers,
        attempt=task.attempt,
        host=host.id,
        tool=tools,
        input_sha256=task.digest,
    )


def holds(task: OpenTask, clock: LogClock) -> float:
    """Until when a running attempt may wait for its answer; minus infinity: it asks nothing."""
    asked = task.asked
    if task.phase is not Phase.HELD or asked is None:
        return -inf
    return clock.moved(asked.at, asked.seq) + asked.timeout_s


def waits(task: OpenTask, now: float, clock: LogClock) -> Step:
    """A question is its answerer's, until its time is over."""
    asked = task.asked
    assert asked is not None
    if asked.q > MOST_QUESTIONS:
        text = f"it has asked {MOST_QUESTIONS} questions, the most there may be of one task"
        return End(Outcome.FAILED, Failure("questions", text))
    until = clock.moved(asked.at, asked.seq) + asked.timeout_s
    if now < until:
        return Wait(until)
    return _unanswered(asked)


def unheard(task: OpenTask, failed_at: float, clock: LogClock) -> End | None:
    """The end of a task whose attempt has ended because nobody has answered in time."""
    asked = task.asked
    if asked is None or asked.action is not None or asked.kind is not QuestionKind.INPUT:
        return None
    late = failed_at >= clock.moved(asked.at, asked.seq) + asked.timeout_s - EARLY_S
    return _unanswered(asked) if late else None


def _unanswered(asked: Inquiry) -> End:
    if asked.kind is QuestionKind.APPROVAL:
        about = f"whether {_what(asked.tool)} of host {asked.host} may be called"
    else:
        about = f"what host {asked.host} has asked"
    text = f"nobody has answered within {asked.timeout_s:g} s {about}"
    return End(Outcome.TIMED_OUT, Failure("unanswered", bounded(text)))


def refused(task: OpenTask) -> End | None:
    """The end of a task that a person has not allowed. A host that has asked hears any answer."""
    asked = task.asked
    if asked is None or asked.kind is not QuestionKind.APPROVAL:
        return None
    why = f": {asked.reason}" if asked.reason else ""
    what = f"{_what(asked.tool)} of host {asked.host}"
    if asked.action is AnswerAction.DECLINE:
        text = f"{asked.who} did not allow {what}{why}"
        return End(Outcome.REJECTED, Failure("declined", bounded(text)))
    if asked.action is AnswerAction.CANCEL:
        text = f"{asked.who} cancelled the task when asked about {what}{why}"
        return End(Outcome.CANCELLED, Failure("cancelled", bounded(text)))
    return None


def _names(task: OpenTask, host: Host) -> tuple[str, ...] | None:
    return to_approve(host, task.need.type, task.tool, every=task.approve)


def _allows(task: OpenTask, host: Host, tools: str) -> bool:
    allowed = task.allowed
    return allowed is not None and (allowed.host, allowed.tool) == (host.id, tools)


def _what(tools: str) -> str:
    if not tools:
        return "a tool"
    return f"{'the tools' if ', ' in tools else 'tool'} {tools}"
