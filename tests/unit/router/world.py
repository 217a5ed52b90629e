"""A log on paper for the router's pure parts: facts get a sequence and the time the test says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from contracts import subjects
from contracts.asks import AnswerAction, QuestionKind
from contracts.facts import (
    AnyFact,
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    LogRouter,
    McpHealth,
    McpPreferred,
    McpRegistered,
    McpRemoved,
    Outcome,
    Record,
    TaskAnswered,
    TaskAsked,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
)
from contracts.host import (
    Capability,
    Execute,
    Flags,
    HealthStatus,
    Host,
    Limits,
    Noop,
    Placement,
    Step,
    TaskBinding,
)
from contracts.task import TaskSpec
from contracts.wire import Beat
from services.log.clock import LogClock, Moment
from services.router.beats import Beats
from services.router.domain import State, evolve, initial, key_of
from services.router.plan import Decision, TermPlan
from services.router.settings import Settings
from services.router.state import Changes

START = 1_000_000.0
MONO = 500.0


def host(id_: str = "h1", slots: int = 2, *types: str, **fields: Any) -> Host:
    known: dict[str, Any] = {
        "name": id_,
        "endpoint": Noop(),
        "task_types": {type_: TaskBinding((Step("go"),)) for type_ in types or ("work",)},
        "limits": Limits(max_concurrency=slots),
    }
    return Host(id=id_, **known | fields)


def space(id_: str, owner: str | None, slots: int = 2, **fields: Any) -> Host:
    known: dict[str, Any] = {
        "placement": Placement.USER_SPACE,
        "owner": owner,
        "endpoint": Execute("https://example.org"),
    }
    return host(id_, slots, **known | fields)


class World:
    """Facts in, decisions out. `commit` appends decisions as the log would: guards included."""

    def __init__(self, rules: Settings | None = None) -> None:
        self.rules = rules or Settings()
        self.state: State = initial()
        self.records: list[Record] = []
        self.elapsed = 0.0
        self.clock = LogClock(START, MONO)
        self.beats = Beats(self.rules.lost_after_s)
        self.beats.listen(MONO)
        # Of a release that did not say its slots: only the settings limit what is in flight.
        self.beats.hear(Beat("executor-0", "i0"), MONO)
        self.ids = (f"id-{n}" for n in itertools.count())
        self.k = itertools.count(1)
        self.plan: TermPlan | None = None
        self.watch: Callable[[Changes], None] = lambda _: None

    @property
    def moment(self) -> Moment:
        return self.clock.moment(MONO + self.elapsed)

    def later(self, seconds: float, beating: str = "executor-1/i1") -> None:
        """Let time pass while this run of an executor beats."""
        end = self.elapsed + seconds
        while self.elapsed < end:
            self.elapsed = min(end, self.elapsed + 0.5)
            if beating:
                self.beat(beating)
            self.beats.look(self.moment.mono)

    def beat(self, who: str) -> None:
        self.beats.hear(Beat(*who.split("/")), self.moment.mono)

    def put(self, fact: AnyFact, at: float | None = None) -> Record:
        """Append a fact and fold it."""
        when = self.moment.now if at is None else at
        record = Record(len(self.records) + 1, when, subjects.of(fact), fact, b"")
        self.records.append(record)
        evolve(self.state, record)
        changes = self.state.take_changes()
        self.watch(changes)
        if self.plan is not None:
            self.plan.notice(changes, self.moment)
        return record

    def lead(self) -> TermPlan:
        """Begin a term."""
        self.put(LogRouter(id=next(self.ids), by="router-1", term=self.state.term + 1))
        self.plan = TermPlan(self.state, self.rules, self.clock, "router-1", self.ids.__next__)
        self.plan.begin(self.moment)
        return self.plan

    def decide(self, limit: int = 100) -> list[Decision]:
        """One round, not appended."""
        assert self.plan is not None
        return self.plan.decide(self.moment, self.beats, limit)

    def commit(self, decisions: list[Decision], plan: TermPlan | None = None) -> list[AnyFact]:
        """Append what this plan decided; facts whose guard does not hold are refused."""
        plan = plan or self.plan
        assert plan is not None
        stored: list[AnyFact] = []
        for decision in decisions:
            subject, seq = decision.guard
            known = [r for r in self.records if subjects.matches(subject, r.subject)]
            own = subjects.of(decision.fact)
            taken = [r for r in self.records if r.subject == own]
            if isinstance(decision.fact, TaskAsked) and plan.term != self.state.term:
                # The batch that it is of is guarded by the term.
                continue
            if taken or (known[-1].seq if known else 0) != seq:
                plan.refused(decision.key, (taken or known)[-1].seq, self.moment)
            else:
                self.put(decision.fact)
                stored.append(decision.fact)
        return stored

    def run(self) -> list[AnyFact]:
        """Decide and append until nothing is left to do now."""
        stored: list[AnyFact] = []
        while decisions := self.decide():
            stored += self.commit(decisions)
        return stored

    def register(self, *hosts: Host, healthy: bool = True) -> None:
        for spec in hosts:
            self.put(self._fact(McpRegistered, host=spec.id, k=next(self.k), spec=spec))
            if healthy:
                self.health(spec.id, HealthStatus.HEALTHY)

    def health(self, id_: str, status: HealthStatus, reason: str = "") -> None:
        fact = self._fact(McpHealth, host=id_, k=next(self.k), status=status, reason=reason)
        self.put(fact)

    def remove(self, id_: str) -> None:
        self.put(self._fact(McpRemoved, host=id_, k=next(self.k)))

    def prefer(self, user: str, id_: str, weight: float | None) -> None:
        self.put(self._fact(McpPreferred, user=user, host=id_, k=next(self.k), weight=weight))

    def submit(self, task: str, user: str = "alice", **fields: Any) -> Record:
        known: dict[str, Any] = {"type": "work"}
        about = {name: fields.pop(name) for name in ("invalid", "roles") if name in fields}
        spec = TaskSpec(**known | fields)
        return self.put(self._fact(TaskCreated, user=user, task=task, spec=spec, **about))

    def cancel(self, task: str, user: str = "alice") -> None:
        self.put(self._fact(TaskCancelled, user=user, task=task))

    def sign(
        self, route: TaskRouted, executor: str = "executor-1/i1", permit_s: float = 300
    ) -> None:
        name, run = executor.split("/")
        self.put(
            self._fact(
                JobSigned,
                user=route.user,
                task=route.task,
                attempt=route.attempt,
                host=route.route.host,
                input_sha256=route.route.input_sha256,
                executor=name,
                incarnation=run,
                expires=self.moment.now + permit_s,
                permit="p",
            )
        )

    def fail(self, route: TaskRouted, kind: FailureKind, **fields: Any) -> None:
        never = kind in (FailureKind.HOST_GONE, FailureKind.UNREACHABLE)
        known: dict[str, Any] = {"host": route.route.host, "message": f"it was {kind}"}
        known["called"] = False if never else None
        self.put(
            self._fact(
                JobFailed,
                user=route.user,
                task=route.task,
                attempt=route.attempt,
                kind=kind,
                **known | fields,
            )
        )

    def ask(self, route: TaskRouted, timeout_s: float = 100.0) -> None:
        """The attempt ends because its host has asked something."""
        self.fail(route, FailureKind.INPUT_REQUIRED, called=True)
        self.hold(route, timeout_s)

    def hold(self, route: TaskRouted, timeout_s: float = 100.0) -> None:
        """Its host asks something."""
        task = self.state.tasks.get(key_of(route.user, route.task))
        self.put(
            self._fact(
                TaskAsked,
                user=route.user,
                task=route.task,
                q=(task.questions if task else 0) + 1,
                kind=QuestionKind.INPUT,
                message="which one?",
                timeout_s=timeout_s,
                attempt=route.attempt,
                host=route.route.host,
            )
        )

    def answer(
        self, task: str, action: str = "accept", user: str = "alice", **fields: Any
    ) -> Record:
        """Answer the task's question, as the gateway does."""
        q = self.state.tasks[key_of(user, task)].questions
        fact = self._fact(
            TaskAnswered,
            user=user,
            task=task,
            q=q,
            action=AnswerAction(action),
            answered_by="bob",
            **fields,
        )
        return self.put(fact)

    def succeed(self, route: TaskRouted) -> None:
        self.put(
            self._fact(
                JobDone,
                user=route.user,
                task=route.task,
                outcome=Outcome.SUCCEEDED,
                attempt=route.attempt,
                host=route.route.host,
            )
        )

    def _fact(self, cls: Any, /, **fields: Any) -> Any:
        return cls(id=next(self.ids), by="test", **fields)


def ready(*hosts: Host, rules: Settings | None = None) -> World:
    """An active router that knows these hosts, all healthy."""
    world = World(rules)
    world.register(*hosts)
    world.lead()
    return world


def questions(facts: list[AnyFact]) -> list[TaskAsked]:
    return [fact for fact in facts if isinstance(fact, TaskAsked)]


def routes(facts: list[AnyFact]) -> list[TaskRouted]:
    return [fact for fact in facts if isinstance(fact, TaskRouted)]


def ends(facts: list[AnyFact]) -> list[JobDone]:
    return [fact for fact in facts if isinstance(fact, JobDone)]


def one_route(world: World) -> TaskRouted:
    """Run, and expect exactly one new route."""
    (route,) = routes(world.run())
    return route


def one_question(world: World) -> TaskAsked:
    """Run, and expect exactly one new question."""
    (asked,) = questions(world.run())
    return asked


def one_end(world: World) -> JobDone:
    """Run, and expect exactly one new end."""
    (end,) = ends(world.run())
    return end


def flags(**fields: Any) -> Flags:
    return Flags(**fields)


def capability(name: str, version: str = "1.0.0", *parameters: str) -> Capability:
    return Capability(name, version, parameters)
