"""Random lifecycles with duplicated, late and refused appends: what must hold whatever happens."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from itertools import pairwise

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from contracts.asks import AnswerAction
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    TaskAnswered,
    TaskAsked,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Access, HealthStatus, TaskBinding
from contracts.permitted import asker_of, may_run
from contracts.task import Priority
from services.router.domain import NeedsHost, decide, demand, evolve, initial
from services.router.plan import Decision, TermPlan
from services.router.projection import SCHEMA, rows
from services.router.recompute import recompute
from services.router.select import policy, select
from services.router.settings import Settings
from services.router.state import FLYING, OpenTask, Phase
from tests.unit.router.world import World, flags, host, space

RULES = Settings(
    max_concurrent_jobs=5,
    max_per_user=3,
    default_deadline_s=200.0,
    max_attempts=2,
    question_timeout_s=90.0,
)
HOSTS = {
    "a": host("a", 1),
    "b": host("b", 1, "work", "other"),
    "c": host("c", 2, flags=flags(accepts_heavy=True)),
    "s": space("s", "alice", 1),
}
users = st.sampled_from(["alice", "bob", "carol"])
FEW = Access(roles=("admin",), users=("alice",))
GUARDS = [
    {},
    {},
    {"access": FEW},
    {"task_types": {"work": TaskBinding(access=FEW), "other": TaskBinding()}},
    {"approve": ("go",)},
]
"""For whom a host may be, and what of it a person has to allow."""


class Tables:
    """The router's rows, kept by applying every change."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:")
        for statement in SCHEMA:
            self.db.execute(statement)

    def apply(self, changes) -> None:
        for change in changes:
            self.db.executemany(change.sql, change.rows)

    def close(self) -> None:
        self.db.close()

    def dump(self) -> dict[str, list[tuple]]:
        names = [name for (name,) in self.db.execute("SELECT name FROM sqlite_master")]
        return {name: list(self.db.execute(f"SELECT * FROM {name}")) for name in names}


class Lifecycles(RuleBasedStateMachine):
    late = Bundle("late")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(RULES)
        self.tables = Tables()
        self.world.watch = lambda changes: self.tables.apply(rows(self.world.state, changes))
        self.world.register(*HOSTS.values())
        self.world.lead()
        self.tasks = 0

    @rule(user=users, count=st.integers(1, 6), priority=st.sampled_from(Priority))
    def submit_many(self, user, count, priority) -> None:
        for _ in range(count):
            self.tasks += 1
            self.world.submit(f"t{self.tasks}", user, priority=priority, on_unknown="retry")

    @rule(
        user=users,
        type_=st.sampled_from(["work", "work", "work", "other", "never"]),
        priority=st.sampled_from(Priority),
        heavy=st.sampled_from([False, False, True]),
        unknown=st.sampled_from(["fail", "retry"]),
        delay=st.sampled_from([None, None, 5.0]),
        deadline=st.sampled_from([None, None, 30.0]),
        invalid=st.sampled_from(["", "", "", "", "bad"]),
        roles=st.sampled_from([(), (), ("admin",)]),
    )
    def submit(
        self, user, type_, priority, heavy, unknown, delay, deadline, invalid, roles
    ) -> None:
        self.tasks += 1
        self.world.submit(
            f"t{self.tasks}",
            user,
            type=type_,
            priority=priority,
            is_heavy=heavy,
            on_unknown=unknown,
            delay_s=delay,
            deadline_s=deadline,
            invalid=invalid,
            roles=roles,
        )

    @rule(id_=st.sampled_from(sorted(HOSTS)), healthy=st.booleans(), guard=st.sampled_from(GUARDS))
    def register(self, id_, healthy, guard) -> None:
        self.world.register(msgspec.structs.replace(HOSTS[id_], **guard), healthy=healthy)

    @rule(id_=st.sampled_from(sorted(HOSTS)), status=st.sampled_from(HealthStatus))
    def health(self, id_, status) -> None:
        self.world.health(id_, status)

    @rule(id_=st.sampled_from(sorted(HOSTS)))
    def remove(self, id_) -> None:
        self.world.remove(id_)

    @rule(user=users, id_=st.sampled_from(sorted(HOSTS)), weight=st.sampled_from([None, 0.0, 1.0]))
    def prefer(self, user, id_, weight) -> None:
        self.world.prefer(user, id_, weight)

    @rule(data=st.data())
    def cancel(self, data) -> None:
        for task in self._some(data, *Phase):
            if not task.cancelled:
                self.world.cancel(task.task, task.user)

    @rule(seconds=st.sampled_from([1.0, 6.0, 70.0]), beating=st.booleans())
    def wait(self, seconds, beating) -> None:
        self.world.later(seconds, "executor-1/i1" if beating else "")

    @rule(run=st.sampled_from(["i1", "i2"]))
    def restart_executor(self, run) -> None:
        self.world.beat(f"executor-1/{run}")

    @rule()
    def round(self) -> None:
        self._check_routes(self.world.run())
        self._nobody_waits_in_vain()

    @rule(target=late, limit=st.integers(1, 4))
    def decide_and_lose_sight(self, limit):
        """What was decided reaches the log later, or never, or twice."""
        decisions = self.world.decide(limit)
        return multiple((self.world.plan, decisions)) if decisions else multiple()

    @rule(batch=late)
    def append_late(self, batch: tuple[TermPlan, list[Decision]]) -> None:
        plan, decisions = batch
        self._check_routes(self.world.commit(decisions, plan))

    @rule(limit=st.integers(1, 4))
    def cancel_what_is_being_routed(self, limit) -> None:
        plan, decisions = self.world.plan, self.world.decide(limit)
        for decision in decisions:
            self.world.cancel(decision.fact.task, decision.fact.user)
        self.round()
        self.append_late((plan, decisions))

    @rule(data=st.data())
    def claim_what_is_being_ended(self, data) -> None:
        for task in self._some(data, Phase.ROUTED):
            self.world.cancel(task.task, task.user)
        plan, decisions = self.world.plan, self.world.decide(4)
        for task in [self.world.state.tasks[decision.key] for decision in decisions]:
            if task.phase is Phase.ROUTED:
                self.world.sign(self._route(task))
        self.round()
        self.append_late((plan, decisions))

    @rule()
    def take_over(self) -> None:
        self.world.lead()

    @rule(data=st.data())
    def claim(self, data) -> None:
        for task in self._some(data, Phase.ROUTED):
            self.world.sign(self._route(task))

    @rule(data=st.data())
    def ask(self, data) -> None:
        for task in self._some(data, Phase.RUNNING):
            self.world.ask(self._route(task))

    @rule(data=st.data(), action=st.sampled_from([*AnswerAction, "accept", "accept"]))
    def answer(self, data, action) -> None:
        for task in self._some(data, Phase.ASKED):
            self.world.answer(task.task, action, task.user)

    @rule(data=st.data(), action=st.sampled_from(AnswerAction))
    def answer_what_is_being_ended(self, data, action) -> None:
        for task in self._some(data, Phase.ASKED):
            if not task.cancelled:
                self.world.cancel(task.task, task.user)
        plan, decisions = self.world.plan, self.world.decide(4)
        for task in [self.world.state.tasks[decision.key] for decision in decisions]:
            if task.phase is Phase.ASKED:
                self.world.answer(task.task, action, task.user)
        self.round()
        self.append_late((plan, decisions))

    @rule(data=st.data(), kind=st.sampled_from(FailureKind), called=st.sampled_from([True, False]))
    def fail(self, data, kind, called) -> None:
        for task in self._some(data, Phase.ROUTED, Phase.RUNNING):
            self.world.fail(self._route(task), kind, called=called and task.phase == "running")

    @rule(data=st.data())
    def succeed(self, data) -> None:
        for task in self._some(data, Phase.RUNNING):
            self.world.succeed(self._route(task))

    @invariant()
    def counts_are_those_of_the_open_tasks(self) -> None:
        state = self.world.state
        flying = [task for task in state.tasks.values() if task.phase in FLYING]
        assert state.flights.hosts == Counter(task.host for task in flying)
        assert state.flights.users == Counter(task.user for task in flying)
        assert state.flights.total == len(flying)

    @invariant()
    def no_limit_is_passed(self) -> None:
        state = self.world.state
        assert state.flights.total <= RULES.max_concurrent_jobs
        assert all(busy <= RULES.max_per_user for busy in state.flights.users.values())
        for id_, used in state.flights.hosts.items():
            assert used <= HOSTS[id_].limits.max_concurrency

    def teardown(self) -> None:
        """Let everything come to its end, then look at the whole log."""
        with contextlib.closing(self.tables):
            self._finish()

    def _finish(self) -> None:
        # An append that never came back has cost the router its term.
        self.world.lead()
        for _ in range(200):
            self.world.run()
            for task in list(self.world.state.tasks.values()):
                if task.phase is Phase.ROUTED:
                    self.world.sign(self._route(task), "executor-1/i3")
                    self.world.succeed(self._route(task))
            if not self.world.state.tasks:
                break
            self.world.later(10.0, "executor-1/i3")
        self._every_task_ended_once()
        self._attempts_follow_each_other()
        self._a_rebuilt_projection_is_the_same()

    def _some(self, data, *phases: Phase) -> list[OpenTask]:
        """A few neighbours among the open tasks in these phases."""
        found = [task for task in self.world.state.tasks.values() if task.phase in phases]
        first = data.draw(st.integers(0, max(0, len(found) - 1)))
        return found[first : first + data.draw(st.integers(1, 4))]

    def _route(self, task: OpenTask) -> TaskRouted:
        return next(
            record.fact
            for record in reversed(self.world.records)
            if isinstance(record.fact, TaskRouted)
            and (record.fact.user, record.fact.task) == (task.user, task.task)
        )

    def _check_routes(self, facts) -> None:
        for fact in facts:
            if isinstance(fact, TaskRouted):
                again = recompute(self.world.records, fact, RULES)
                assert again.host == fact.route.host
                assert again.host_seq == fact.route.host_seq
                assert again.candidates == fact.route.candidates
                assert again.removed == fact.route.removed
                assert again.slots == fact.route.slots
                assert again.policy == fact.route.policy
                self._check_permitted(fact)

    def _check_permitted(self, fact) -> None:
        seen = {record.seq: record.fact for record in self.world.records}
        created = next(
            found
            for found in seen.values()
            if isinstance(found, TaskCreated) and (found.user, found.task) == (fact.user, fact.task)
        )
        spec = seen[fact.route.host_seq].spec
        assert may_run(spec, created.spec.type, None, asker_of(created))

    def _nobody_waits_in_vain(self) -> None:
        """A ready task that a host could take has been routed, unless a limit or backoff holds it.

        Decisions still on their way hold slots, so nothing is said while there are any.
        """
        world, state = self.world, self.world.state
        assert world.decide() == []
        if world.plan.pending or state.flights.total >= RULES.max_concurrent_jobs:
            return
        for task in state.tasks.values():
            step = decide(task, world.moment.now, RULES, world.clock)
            limited = state.flights.users.get(task.user, 0) >= RULES.max_per_user
            if limited or not isinstance(step, NeedsHost) or step.spare_until > world.moment.now:
                continue
            wanted = demand(state, task)._replace(user=task.user)
            hosts = state.hosts.values()
            assert select(wanted, hosts, state.flights.hosts, state.taste, policy(RULES)) is None

    def _every_task_ended_once(self) -> None:
        facts = [record.fact for record in self.world.records]
        created = Counter((f.user, f.task) for f in facts if isinstance(f, TaskCreated))
        ended = Counter((f.user, f.task) for f in facts if isinstance(f, JobDone))
        assert created == ended
        assert set(created.values()) <= {1}

    def _attempts_follow_each_other(self) -> None:
        story: dict[tuple, list] = {}
        for record in self.world.records:
            if isinstance(
                record.fact, TaskRouted | TaskAsked | TaskAnswered | JobSigned | JobFailed | JobDone
            ):
                story.setdefault((record.fact.user, record.fact.task), []).append(record.fact)
        for facts in story.values():
            attempts = [fact.attempt for fact in facts if isinstance(fact, TaskRouted)]
            assert attempts == list(range(1, len(attempts) + 1))
            spared = sum(isinstance(after, TaskAsked) and after.kind == "input" for after in facts)
            assert len(attempts) - spared <= RULES.max_attempts
            questions = [fact.q for fact in facts if isinstance(fact, TaskAsked)]
            assert questions == list(range(1, len(questions) + 1))
            for before, after in pairwise(facts):
                self._may_follow(before, after)

    def _may_follow(self, before, after) -> None:
        """Nobody acts on what is somebody else's by then."""
        match after:
            case TaskRouted() if isinstance(before, TaskAnswered):
                assert before.action == "accept" or after.attempt > 1
            case TaskRouted():
                assert isinstance(before, JobFailed)
            case TaskAsked() if isinstance(before, JobFailed):
                assert after.kind == "approval" or before.kind == "input_required"
            case TaskAsked():
                assert isinstance(before, TaskAnswered)
            case TaskAnswered():
                assert isinstance(before, TaskAsked)
            case JobSigned() | JobFailed():
                assert isinstance(before, TaskRouted | JobSigned)
                assert before.attempt == after.attempt
                assert after.by == "test" or isinstance(before, JobSigned), "lost, unclaimed"
            case JobDone() if isinstance(before, JobSigned):
                assert after.by == "test" or after.outcome == "timed_out"
            case JobDone() if isinstance(before, TaskAsked):
                assert after.outcome in ("timed_out", "cancelled")
            case JobDone():
                assert isinstance(before, TaskRouted | JobFailed | TaskAnswered)

    def _a_rebuilt_projection_is_the_same(self) -> None:
        state, records = initial(), self.world.records
        with contextlib.closing(Tables()) as tables:
            for start in range(0, len(records), 7):
                for record in records[start : start + 7]:
                    evolve(state, record)
                tables.apply(rows(state, state.take_changes()))
            assert tables.dump() == self.tables.dump()


TestLifecycles = Lifecycles.TestCase
TestLifecycles.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
