"""What every log does, in memory and over JetStream alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Record
from contracts.subjects import Guard, job_head
from contracts.task import TaskSpec
from services.log.jetstream import NatsLog
from services.log.memory import MemoryLog
from services.log.port import START, AlreadyRecorded, Append, Batch, Checkpoint, Log, LogMismatch
from tests.support import facts
from tests.support.nats import NatsServer

EVERYTHING = (">",)
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Logs:
    """The log as two of its writers see it; each may append its own facts only."""

    def __init__(self, gateway: Log, executor: Log) -> None:
        self.gateway = gateway
        self.executor = executor


@pytest.fixture(params=["memory", "nats"])
async def logs(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Logs]:
    if request.param == "memory":
        log = MemoryLog()
        yield Logs(log, log)
        return
    async with (
        nats_server.connected("gateway") as one,
        nats_server.connected("executor") as other,
        await NatsLog.open(one) as gateway,
        await NatsLog.open(other) as executor,
    ):
        yield Logs(gateway, executor)


async def collect(follow: AsyncIterator[Batch], seq: int) -> list[Record]:
    """Everything a follower delivers, until it has reached `seq`."""
    records: list[Record] = []
    async with asyncio.timeout(20), contextlib.aclosing(follow) as batches:
        async for batch in batches:
            records += batch.records
            if batch.through >= seq and batch.live:
                break
    return records


def outcomes(found: Sequence[int | AlreadyRecorded]) -> tuple[list[int], list[AlreadyRecorded]]:
    stored = [outcome for outcome in found if isinstance(outcome, int)]
    return stored, [outcome for outcome in found if isinstance(outcome, AlreadyRecorded)]


async def test_what_was_appended_is_found_at_its_sequence(logs: Logs) -> None:
    first, second = facts.created(), facts.created()
    one, two = (
        await logs.gateway.append(first),
        await logs.gateway.append(second, trace=TRACE),
    )
    assert two > one
    record = await logs.gateway.at(two)
    assert record is not None
    assert (record.fact, record.seq, record.trace) == (second, two, TRACE)
    assert record.subject == subjects.of(second)
    assert record.at > 1.7e9
    assert await logs.gateway.head() >= two


async def test_the_same_fact_twice_is_one_fact(logs: Logs) -> None:
    fact = facts.created()
    assert await logs.gateway.append(fact) == await logs.gateway.append(fact)


async def test_another_fact_on_the_subject_is_refused_and_named(logs: Logs) -> None:
    fact = facts.created()
    seq = await logs.gateway.append(fact)
    with pytest.raises(AlreadyRecorded) as refused:
        await logs.gateway.append(facts.created(task=fact.task))
    assert refused.value.record is not None
    assert (refused.value.record.seq, refused.value.record.fact) == (seq, fact)


async def test_a_guard_that_has_moved_refuses(logs: Logs) -> None:
    task = facts.name()
    claim = facts.signed("alice", task)
    head = await logs.executor.append(claim, job_head("alice", task, 0))
    with pytest.raises(AlreadyRecorded) as refused:
        await logs.executor.append(facts.done("alice", task), job_head("alice", task, 0))
    assert refused.value.record is not None
    assert refused.value.record.fact == claim
    assert (
        await logs.executor.append(facts.done("alice", task), job_head("alice", task, head)) > head
    )


async def test_of_many_racers_one_wins(logs: Logs) -> None:
    task = facts.name()
    racers = [facts.signed("alice", task, n) for n in range(1, 60)]
    guard = job_head("alice", task, 0)
    results = await asyncio.gather(
        *(logs.executor.append(fact, guard) for fact in racers), return_exceptions=True
    )
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(r, AlreadyRecorded) for r in results if not isinstance(r, int))


async def test_a_large_batch_with_refusals_settles_each_fact_by_itself(logs: Logs) -> None:
    taken = [facts.created() for _ in range(20)]
    await logs.gateway.append_all([Append(fact) for fact in taken])
    fresh = [facts.created() for _ in range(1500)]
    mixed = [*fresh[:700], *(facts.created(task=fact.task) for fact in taken), *fresh[700:]]
    stored, refused = outcomes(await logs.gateway.append_all([Append(fact) for fact in mixed]))
    assert len(stored) == len(set(stored)) == 1500
    assert {r.record.fact.id for r in refused if r.record} == {fact.id for fact in taken}


async def test_appends_of_one_task_in_a_crowd_keep_their_guards(logs: Logs) -> None:
    async def life(task: str) -> int:
        head = await logs.executor.append(facts.signed("u", task), job_head("u", task, 0))
        head = await logs.executor.append(facts.failed("u", task), job_head("u", task, head))
        return await logs.executor.append(facts.done("u", task), job_head("u", task, head))

    ends = await asyncio.gather(*(life(facts.name()) for _ in range(200)))
    assert len(set(ends)) == 200


async def test_what_is_appended_together_is_stored_in_one_piece(logs: Logs) -> None:
    one, two = facts.name(), facts.name()
    items = [Append(facts.signed("u", t), job_head("u", t, 0)) for t in (one, two)]
    first, second = await logs.executor.append_together(items)
    assert second == first + 1
    assert await logs.executor.append_together(items) == [first, second], "sent again, stored once"
    alone = Append(facts.done("u", one), job_head("u", one, first))
    (end,) = await logs.executor.append_together([alone])
    assert end > second


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_refusal_keeps_out_all_that_is_appended_together(logs: Logs, place: int) -> None:
    tasks = [facts.name() for _ in range(3)]
    claim = facts.signed("u", tasks[place])
    head = await logs.executor.append(claim, job_head("u", tasks[place], 0))
    items = [Append(facts.done("u", task), job_head("u", task, 0)) for task in tasks]
    with pytest.raises(AlreadyRecorded) as refused:
        await logs.executor.append_together(items)
    assert refused.value.record is not None
    assert refused.value.record.fact == claim
    assert await logs.executor.read_last([subjects.of(item.fact) for item in items]) == []
    items[place] = items[place]._replace(guard=job_head("u", tasks[place], head))
    assert len(await logs.executor.append_together(items)) == 3


async def test_a_fact_that_is_too_large_is_refused(logs: Logs) -> None:
    with pytest.raises(Rejected) as refused:
        await logs.gateway.append(facts.created(invalid="x" * (1024 * 1024)))
    assert refused.value.reason is Reason.TOO_LARGE


async def test_one_that_is_too_large_does_not_keep_the_others_out(logs: Logs) -> None:
    crowd = [facts.created(), facts.created(invalid="x" * (1024 * 1024)), facts.created()]
    with pytest.raises(Rejected):
        await logs.gateway.append_all([Append(fact) for fact in crowd])
    found = await logs.gateway.read_last([subjects.of(fact) for fact in crowd])
    assert [record.fact for record in found] == [crowd[0], crowd[2]]


async def test_a_follower_gets_history_then_news_once_and_in_order(logs: Logs) -> None:
    after = await facts.here(logs.gateway)
    start = after.seq
    old = [facts.created() for _ in range(1200)]
    await logs.gateway.append_all([Append(fact) for fact in old])
    follow = logs.gateway.follow(EVERYTHING, after)
    records: list[Record] = []
    new: list[int] = []
    async with asyncio.timeout(20), contextlib.aclosing(follow) as batches:
        async for batch in batches:
            records += batch.records
            if batch.live and not new:
                new = [await logs.gateway.append(facts.created()) for _ in range(30)]
            if new and batch.through >= new[-1]:
                break
    mine = [r for r in records if r.seq > start]
    assert [r.seq for r in mine] == list(range(start + 1, new[-1] + 1))


async def test_filters_choose_and_several_keep_the_order_of_the_log(logs: Logs) -> None:
    user, after = facts.name("u"), await facts.here(logs.gateway)
    tasks = [facts.name() for _ in range(40)]
    follow = logs.gateway.follow(subjects.of_user(user), after)
    reading = asyncio.create_task(collect_tasks(follow, 120))
    for task in tasks:
        await logs.gateway.append(facts.created(user, task))
        await logs.gateway.append(facts.created("somebody-else"))
        head = await logs.executor.append(facts.signed(user, task), job_head(user, task, 0))
        await logs.executor.append(facts.done(user, task), job_head(user, task, head))
    records = await reading
    assert [r.seq for r in records] == sorted(r.seq for r in records)
    assert [subjects.parse(r.subject).task for r in records] == [t for t in tasks for _ in range(3)]


async def collect_tasks(follow: AsyncIterator[Batch], count: int) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(20), contextlib.aclosing(follow) as batches:
        async for batch in batches:
            records += batch.records
            if len(records) >= count:
                break
    return records


async def test_a_follower_goes_on_from_its_checkpoint(logs: Logs) -> None:
    one = facts.created()
    seq = await logs.gateway.append(one)
    later = [await logs.gateway.append(facts.created()) for _ in range(5)]
    mark = Checkpoint(logs.gateway.epoch, seq, one.id)
    records = await collect(logs.gateway.follow(EVERYTHING, mark), later[-1])
    assert [r.seq for r in records][:5] == later


async def test_a_batch_names_the_fact_that_it_ends_at(logs: Logs) -> None:
    user, after = facts.name("u"), await facts.here(logs.gateway)
    ours = [facts.created(user if n % 3 else "somebody-else") for n in range(2200)]
    await logs.gateway.append_all([Append(fact) for fact in ours])
    follow = logs.gateway.follow(subjects.of_user(user), after)
    head, ends = await facts.here(logs.gateway), []
    async with asyncio.timeout(20), contextlib.aclosing(follow) as batches:
        async for batch in batches:
            ends.append(Checkpoint(logs.gateway.epoch, batch.through, batch.named))
            if batch.through >= head.seq:
                break
    assert len(ends) > 1
    assert ends[-1] == head
    for end in ends:
        found = await logs.gateway.at(end.seq)
        assert found is not None
        assert found.fact.id == end.fact_id


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mark: mark._replace(epoch="1999-01-01T00:00:00Z"),
        lambda mark: mark._replace(seq=10**12),
        lambda mark: mark._replace(fact_id="another"),
        lambda mark: mark._replace(fact_id=""),
    ],
)
async def test_a_checkpoint_of_another_log_is_noticed(logs: Logs, wrong) -> None:  # type: ignore[no-untyped-def]
    fact = facts.created()
    seq = await logs.gateway.append(fact)
    mark = wrong(Checkpoint(logs.gateway.epoch, seq, fact.id))
    with pytest.raises(LogMismatch):
        await collect(logs.gateway.follow(EVERYTHING, mark), seq)


async def test_reading_by_filter_subject_and_range(logs: Logs) -> None:
    user, task = facts.name("u"), facts.name()
    created = await logs.gateway.append(facts.created(user, task))
    claim = await logs.executor.append(facts.signed(user, task), job_head(user, task, 0))
    end = await logs.executor.append(facts.done(user, task), job_head(user, task, claim))
    log = logs.gateway
    whole = await log.read(subjects.of_task(user, task))
    assert [r.seq for r in whole] == [created, claim, end]
    assert await log.read(subjects.of_task(user, "nothing")) == []
    for until, seen in ((0, []), (created, [created]), (claim, [created, claim])):
        earlier = await log.read(subjects.of_task(user, task), until=until)
        assert [r.seq for r in earlier] == seen
    newest = await log.last(f"job.*.{user}.{task}.*")
    assert newest is not None
    assert newest.seq == end
    assert await log.last(f"job.*.{user}.nothing.*") is None
    named = [f"task.created.{user}.{task}", f"task.created.{user}.nothing"]
    assert [r.seq for r in await log.read_last(named)] == [created]
    scanned = [r.seq async for b in log.scan(subjects.of_user(user), 0, end) for r in b.records]
    assert scanned == [created, claim, end]
    with pytest.raises(ValueError, match="more than 2"):
        await log.read(subjects.of_task(user, task), limit=2)


async def test_many_tasks_are_read_at_once(logs: Logs) -> None:
    created = [facts.created() for _ in range(600)]
    await logs.gateway.append_all([Append(fact) for fact in created])
    found = await logs.gateway.read_last([subjects.of(fact) for fact in created])
    assert {r.fact.id for r in found} == {fact.id for fact in created}


async def test_a_long_history_is_scanned_in_batches_without_loss(logs: Logs) -> None:
    user, after = facts.name("u"), await facts.here(logs.gateway)
    mine = [facts.created(user) for _ in range(2300)]
    others = [facts.created("other") for _ in range(2300)]
    mixed = [Append(fact) for pair in zip(mine, others, strict=True) for fact in pair]
    await logs.gateway.append_all(mixed)
    head = await logs.gateway.head()
    batches = [b async for b in logs.gateway.scan(subjects.of_user(user), after.seq, head)]
    assert [r.fact.id for b in batches for r in b.records] == [fact.id for fact in mine]
    assert len(batches) > 1
    assert batches[-1].through == head


async def test_a_follower_starts_at_the_beginning(logs: Logs) -> None:
    seq = await logs.gateway.append(facts.created())
    records = await collect(logs.gateway.follow(EVERYTHING, START), seq)
    assert [r.seq for r in records][:seq] == list(range(1, seq + 1))


async def test_the_spec_survives_the_wire(logs: Logs) -> None:
    spec = TaskSpec(type="code_analysis", is_heavy=True, host="h", timeout_s=3)
    seq = await logs.gateway.append(facts.created(spec=spec))
    record = await logs.gateway.at(seq)
    assert record is not None
    assert record.fact.spec == spec  # type: ignore[union-attr]


async def test_history_of_large_facts_is_read_whole(logs: Logs) -> None:
    start = await logs.gateway.head()
    user, text = facts.name("u"), "x" * 60_000
    large = [facts.created(user, invalid=text) for _ in range(1300)]
    await logs.gateway.append_all([Append(fact) for fact in large])
    head = await logs.gateway.head()
    scanned = [b async for b in logs.gateway.scan(EVERYTHING, start, head)]
    assert [r.seq for b in scanned for r in b.records] == list(range(start + 1, head + 1))
    some = [Append(facts.created(f"{user}b", invalid=text)) for _ in range(900)]
    await logs.gateway.append_all(some)
    whole = await logs.gateway.read(subjects.of_user(f"{user}b"))
    assert [r.fact.id for r in whole] == [item.fact.id for item in some]


async def test_a_scan_ends_where_it_was_told_with_nothing_left_out(logs: Logs) -> None:
    """Several filters, one of them with far more facts behind the end than before it."""
    start, user = await logs.gateway.head(), facts.name("u")
    tasks = [facts.created(user) for _ in range(990)]
    await logs.gateway.append_all([Append(fact) for fact in tasks])
    asked = await logs.gateway.append(facts.cancelled(user, tasks[0].task))
    await logs.gateway.append_all([Append(facts.created(user)) for _ in range(300)])
    filters = (f"task.created.{user}.>", f"task.cancelled.{user}.>")
    for until in (asked - 1, asked, asked + 1):
        batches = [b async for b in logs.gateway.scan(filters, start, until)]
        assert [r.seq for b in batches for r in b.records] == list(range(start + 1, until + 1))
        assert batches[-1].through == until


@pytest.mark.parametrize(
    "guard",
    [Guard("job.*.u.*", 0), Guard("jobs.*.u.t.*", 0), Guard("job.*.u.t.*", -1), Guard("", 0)],
    ids=["too short", "misspelt", "no sequence", "nothing"],
)
async def test_a_guard_that_guards_nothing_is_an_error_alone_and_among_many(
    logs: Logs, guard: Guard
) -> None:
    crowd = [Append(facts.signed("u", facts.name())) for _ in range(40)]
    wrong = facts.signed("u", facts.name())
    before = await logs.executor.head()
    async with asyncio.timeout(20):
        with pytest.raises(ValueError, match="guards nothing"):
            await logs.executor.append(wrong, guard)
        with pytest.raises(ValueError, match="guards nothing"):
            await logs.executor.append_all([*crowd, Append(wrong, guard)])
        assert await logs.executor.last(subjects.of(wrong)) is None
        assert await logs.executor.append(wrong) > before
