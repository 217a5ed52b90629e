"""Facts, subjects, status: what is stored for ever."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import facts, ids, result, schema, status, subjects, task
from contracts.errors import Reason, Rejected
from contracts.facts import Record
from contracts.host import Host, Noop
from contracts.operation import Action, StepFailure
from contracts.route import Policy, Route
from contracts.task import TaskSpec
from tests.support import facts as make

tokens = st.text("abcXYZ019_-", min_size=1, max_size=64)
ROUTE = Route(
    host="h",
    host_seq=3,
    basis=9,
    now=1.5,
    term=1,
    policy=Policy(1, "s"),
    input_sha256="0" * 64,
)


def all_kinds(user: str, name: str, host: str, n: int) -> list[facts.AnyFact]:
    """One fact of every kind."""
    base = {"id": "f", "by": "x-1"}
    of_task = {**base, "user": user, "task": name}
    pointer = result.Pointer("nats://b/u/0", "0" * 64, 7)
    return [
        make.created(user, name),
        make.cancelled(user, name),
        facts.TaskRouted(**of_task, attempt=n, route=ROUTE),
        make.asked(user, name, n, host=host),
        make.answered(user, name, n),
        make.tagged(user, name, n, tags={"run": "7"}, tagged_by=user),
        make.signed(user, name, n),
        make.failed(user, name, n),
        make.done(user, name, result=result.inline(b'{"a":1}')),
        facts.ResultStored(**of_task, pointer=pointer),
        facts.ResultDeleted(**of_task, reason="old"),
        facts.McpRegistered(**base, host=host, k=n, spec=Host(id=host, name=host, endpoint=Noop())),
        facts.McpRemoved(**base, host=host, k=n),
        facts.McpHealth(**base, host=host, k=n, status=facts.HealthStatus.HEALTHY),
        facts.McpPreferred(**base, user=user, host=host, k=n, weight=0.5),
        facts.OperationStarted(
            **base,
            user=user,
            operation=name,
            k=n,
            parts=n,
            total=n,
            action=Action.TAG,
            tasks=("a", "b"),
            tags={"run": "7"},
        ),
        facts.OperationStepped(
            **base,
            user=user,
            operation=name,
            k=n,
            done=1,
            failed=1,
            failures=(StepFailure("a", "not_found", "there is no task a"),),
        ),
        facts.OperationStopped(**base, user=user, operation=name),
        facts.LogRouter(**base, term=n),
        facts.LogKey(**base, kid=name, jwk={"kty": "RSA"}),
        facts.LogSealed(**base, k=n, through=4, digest="d"),
    ]


def test_every_fact_is_covered_here() -> None:
    covered = {type(fact) for fact in all_kinds("u", "t", "h", 1)}
    assert covered == set(facts.AnyFact.__args__)


@given(tokens, tokens, tokens, st.integers(1, 10**6))
def test_a_fact_survives_the_wire_and_has_one_subject_of_the_log(
    user: str, name: str, host: str, n: int
) -> None:
    seen = set()
    for fact in all_kinds(user, name, host, n):
        assert facts.decode(facts.encode(fact)) == fact
        subject = subjects.of(fact)
        assert [f for f in subjects.LOG_SUBJECTS if subjects.matches(f, subject)] != []
        parsed = subjects.parse(subject)
        assert parsed.type == fact.__struct_config__.tag
        for part in ("user", "task", "host"):
            assert getattr(parsed, part) in ("", getattr(fact, part, ""))
        seen.add(subject)
    assert len(seen) == len(facts.AnyFact.__args__)


@given(tokens, tokens, tokens, tokens)
def test_filters_of_a_task_and_a_user_select_nothing_of_others(
    user: str, name: str, other: str, another: str
) -> None:
    for fact in all_kinds(other, another, user, 1):
        subject, parsed = subjects.of(fact), subjects.parse(subjects.of(fact))
        mine = any(subjects.matches(f, subject) for f in subjects.of_task(user, name))
        assert mine == ((parsed.user, parsed.task) == (user, name))
        theirs = any(subjects.matches(f, subject) for f in subjects.of_user(user))
        assert theirs == (parsed.user == user and bool(parsed.task))


def test_subjects_by_name_are_those_of_the_facts() -> None:
    assert subjects.created("u", "t") == subjects.of(make.created("u", "t"))
    assert subjects.cancelled("u", "t") == subjects.of(make.cancelled("u", "t"))
    assert subjects.done("u", "t") == subjects.of(make.done("u", "t"))


def test_unknown_fields_are_skipped_so_that_old_readers_go_on() -> None:
    fact = make.created("u", "t")
    stored = json.loads(facts.encode(fact)) | {"field_of_tomorrow": {"deep": [1]}}
    assert facts.decode(json.dumps(stored).encode()) == fact


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "*", ">", "x" * 65, "ü", None, 7])
def test_what_is_no_token_is_refused_by_name(bad: object) -> None:
    assert not ids.is_token(bad)
    with pytest.raises(Rejected, match="user") as refused:
        ids.check_token(bad, "user")
    assert refused.value.reason is Reason.BAD_ID


def test_an_intake_message_always_gets_the_same_id() -> None:
    first = ids.intake_task_id("2026-01-01T00:00:00Z", 7)
    assert first == ids.intake_task_id("2026-01-01T00:00:00Z", 7)
    assert first != ids.intake_task_id("2026-01-01T00:00:00Z", 8)
    assert ids.is_token(first)


def test_the_digest_of_a_task_follows_its_content() -> None:
    one = TaskSpec(type="x", input=msgspec.Raw(task.canonical({"b": 1, "a": 2})))
    same = TaskSpec(type="x", input=msgspec.Raw(b'{"a":2,"b":1}'))
    assert task.content_digest(one) == task.content_digest(same)
    assert task.content_digest(one) != task.content_digest(msgspec.structs.replace(one, type="y"))
    assert task.input_sha256(one) == result.sha256_hex(b'{"a":2,"b":1}')


def test_the_schema_in_the_repository_is_current() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.render(), "run `make schema`"


OBVIOUS = {"type", "id", "by", "user", "task", "host", "attempt"}


def test_every_fact_and_field_is_documented() -> None:
    document = schema.document()
    for reference in document["facts"]:
        definition = document["$defs"][reference["$ref"].rpartition("/")[2]]
        assert definition["description"]
        silent = {n for n, field in definition["properties"].items() if "description" not in field}
        assert silent <= OBVIOUS, definition["title"]


def test_the_text_below_a_field_is_its_description() -> None:
    defs = schema.document()["$defs"]
    done = defs["JobDone"]["properties"]
    assert done["attempt"]["description"] == "The attempt that decided it; 0 if none ran."
    assert done["id"]["description"].startswith("UUIDv7"), "inherited"
    assert done["result"]["anyOf"], "what the schema says stays"
    request = defs["TaskRequest"]["properties"]
    assert request["host"]["description"] == "Only this host may run the task."
    assert "description" not in defs["Cancel"]["properties"]["task"]


def test_named_subjects_are_those_of_the_facts() -> None:
    assert subjects.created("u", "t") == subjects.of(make.created("u", "t"))
    assert subjects.done("u", "t") == subjects.of(make.done("u", "t"))
    of_kind = {subjects.of(fact) for fact in all_kinds("u", "t", "h", 1)}
    filters = (subjects.CANCELLED, subjects.ROUTES, subjects.DONE, subjects.KEYS)
    for filter_ in (*filters, subjects.ROUTERS, *subjects.HOSTS, *subjects.RESULTS):
        assert len([one for one in of_kind if subjects.matches(filter_, one)]) == 1, filter_


def records(*listed: facts.AnyFact) -> list[Record]:
    return [
        Record(n, float(n), subjects.of(fact), fact, facts.encode(fact))
        for n, fact in enumerate(listed, 1)
    ]


def test_status_follows_the_facts() -> None:
    routed = facts.TaskRouted(id="r", by="b", user="u", task="t", attempt=1, route=ROUTE)
    again = msgspec.structs.replace(routed, attempt=2)
    life = records(
        make.created("u", "t"),
        routed,
        make.signed("u", "t"),
        make.failed("u", "t", message="boom"),
        again,
        make.signed("u", "t", 2),
        make.done("u", "t", attempt=2, host="h"),
    )
    seen = [status.fold(life[:n]) for n in range(1, len(life) + 1)]
    words = ["pending", "queued", "running", "queued", "queued", "running", "succeeded"]
    assert [view.status for view in seen if view] == words
    last = seen[-1]
    assert last is not None
    assert (last.over, last.attempt, last.seq, last.done_at) == (True, 2, 7, 7.0)
    assert last.last_failure is not None
    assert last.last_failure.message == "boom"


@given(st.lists(st.sampled_from(["stored", "deleted"]), max_size=6))
def test_a_deleted_result_stays_deleted_wherever_its_bytes_have_moved(order: list[str]) -> None:
    base = {"id": "f", "by": "results-1", "user": "u", "task": "t"}
    pointer = result.Pointer("hf://datasets/a/b@c/d", "0" * 64, 7)
    kinds = {
        "stored": facts.ResultStored(**base, pointer=pointer),
        "deleted": facts.ResultDeleted(**base, reason="old"),
    }
    end = make.done("u", "t", result=result.inline(b"1"))
    view = status.fold(records(make.created("u", "t"), end, *(kinds[kind] for kind in order)))
    assert view is not None
    assert (view.result is None) == ("deleted" in order)
    if order and "deleted" not in order:
        assert view.result == pointer


@pytest.mark.parametrize("outcome", list(facts.Outcome))
def test_every_outcome_is_a_status_that_ends(outcome: facts.Outcome) -> None:
    view = status.fold(records(make.created("u", "t"), make.done("u", "t", outcome)))
    assert view is not None
    assert view.status == outcome
    assert view.over


def test_without_its_creation_there_is_no_task() -> None:
    assert status.fold(records(make.done("u", "t"))) is None
