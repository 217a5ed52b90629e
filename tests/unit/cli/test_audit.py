"""The audit believes honest histories and notices every way to bend one."""

from __future__ import annotations

from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from contracts import facts
from contracts.facts import (
    JobDone,
    JobFailed,
    JobSigned,
    LogKey,
    Outcome,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Endpoint, Execute, Noop, StreamableHttp
from contracts.result import inline
from contracts.route import Candidate
from services.audit.checks import audit, passed
from services.cli.commands.log import recomputer
from services.keys.permits import verify
from tests.unit.cli.story import SPEC, TASK, USER, Lie, Story, key, retried, succeeded


@pytest.mark.parametrize("story", [succeeded(), retried()], ids=["at once", "after a retry"])
def test_an_honest_history_passes_every_check(story: Story) -> None:
    checks = story.audit()
    assert [check for check in checks if not check.ok] == []
    assert passed(checks)


def test_a_task_that_is_not_over_fails_only_for_its_missing_outcome() -> None:
    story = Story()
    story.sign(story.route())
    assert story.failed() == {"one outcome"}


def test_a_task_rejected_without_a_route_is_fine() -> None:
    story = Story()
    story.add(JobDone(**story.who("router-1"), user=USER, task=TASK, outcome=Outcome.REJECTED))
    assert story.failed() == set()


def test_a_late_wish_to_cancel_is_fine() -> None:
    story = succeeded()
    story.add(facts.TaskCancelled(**story.who("gateway-1"), user=USER, task=TASK))
    assert story.failed() == set()


def test_what_cannot_be_read_is_named_and_proves_nothing() -> None:
    story = succeeded()
    story.add(facts.decode(b'{"type":"task.paused"}', f"task.paused.{USER}.{TASK}.1"))
    assert story.failed() == {"facts in order"}
    assert "can't read it" in story.audit()[0].detail


def test_nothing_is_no_history() -> None:
    assert not passed(audit([], [], recomputer([])))
    assert not passed([])


HTTPS = StreamableHttp("https://tools.example.com/mcp")
SPACE = Execute("hf://ann/tools")


@pytest.mark.parametrize(
    ("endpoint", "claims"),
    [
        (HTTPS, {"aud": "https://tools.example.com"}),
        (Execute("https://tools.example.com:8443/x"), {"aud": "https://tools.example.com:8443"}),
        # Where a Space is called is up to the deployment.
        (SPACE, {"aud": "https://ann-tools.hf.space"}),
        (SPACE, {"aud": "http://127.0.0.1:7860"}),
        # Releases before 0.4 named the host there, and had no claim `host`.
        (HTTPS, {"aud": "one", "host": ""}),
        (SPACE, {"aud": "one", "host": ""}),
        (Noop(), {"aud": "one", "host": ""}),
    ],
)
def test_a_permit_is_for_the_address_that_was_called(endpoint: Endpoint, claims: Any) -> None:
    assert succeeded(endpoint, **claims).failed() == set()


@pytest.mark.parametrize(
    ("endpoint", "claims"),
    [
        (HTTPS, {}),
        (HTTPS, {"aud": "https://other.example.com"}),
        (HTTPS, {"aud": "https://tools.example.com", "host": "two"}),
        (HTTPS, {"aud": "https://tools.example.com", "host": ""}),
        (SPACE, {}),
        (Noop(), {"aud": "https://tools.example.com"}),
        (Noop(), {"aud": "two", "host": ""}),
    ],
)
def test_a_permit_for_somebody_else_is_noticed(endpoint: Endpoint, claims: Any) -> None:
    assert succeeded(endpoint, **claims).failed() == {"permits"}


def _other_host(story: Story) -> None:
    story.change(JobDone, host="elsewhere")


def _claim_for_another_host(story: Story) -> None:
    story.change(JobSigned, host="elsewhere")


def _swapped(story: Story) -> None:
    *before, signed, done = story.records
    story.records = [*before, done, signed]


def _done_before_signed(story: Story) -> None:
    *before, signed, done = story.records
    story.records = [
        *before,
        replace(done, seq=signed.seq, at=signed.at),
        replace(signed, seq=done.seq, at=done.at),
    ]


def _time_runs_back(story: Story) -> None:
    story.records[-1] = replace(story.records[-1], at=0.0)


def _two_outcomes(story: Story) -> None:
    story.succeed("one")


def _work_after_the_end(story: Story) -> None:
    story.sign("one", 1)


def _somebody_elses_fact(story: Story) -> None:
    story.records[-1] = replace(story.records[-1], subject="job.done.bob.t1.end")


def _no_creation(story: Story) -> None:
    story.records = [r for r in story.records if not isinstance(r.fact, TaskCreated)]


def _forged_permit(story: Story) -> None:
    (true,) = [r.fact.permit for r in story.records if isinstance(r.fact, JobSigned)]
    claims = msgspec.to_builtins(verify(true, key().jwk))
    stranger = rsa.generate_private_key(65537, 2048)
    forged = jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": key().kid})
    story.change(JobSigned, permit=forged)


def _unknown_key(story: Story) -> None:
    story.records = [replace(r, seq=99) if isinstance(r.fact, LogKey) else r for r in story.records]


def _no_permit(story: Story) -> None:
    story.change(JobSigned, permit="not.a.permit")


def _longer_permit(story: Story) -> None:
    story.change(JobSigned, expires=4_000_000_000.0)


def _old_permit(story: Story) -> None:
    story.records = [replace(r, at=r.at + 3600) for r in story.records]


def _other_input(story: Story) -> None:
    changed = msgspec.structs.replace(SPEC, input=msgspec.Raw(b'{"a":2}'))
    story.change(TaskCreated, spec=changed)


def _outcome_for_other_input(story: Story) -> None:
    story.change(JobDone, input_sha256="0" * 64)


def _other_score(story: Story) -> None:
    story.change_route(candidates=(Candidate("one", 0.99), Candidate("two", 0.1)))


def _worse_host(story: Story) -> None:
    record = next(r for r in story.records if isinstance(r.fact, TaskRouted))
    assert isinstance(record.fact, TaskRouted)
    route = record.fact.route
    other = next(c.host for c in route.candidates if c.host != route.host)
    story.change_route(host=other)
    for kind in (JobSigned, JobDone):
        story.change(kind, host=other)


def _basis_in_the_future(story: Story) -> None:
    story.change_route(basis=50)


def _basis_before_the_task(story: Story) -> None:
    story.change_route(basis=3)


def _attempt_left_out(story: Story) -> None:
    story.change(TaskRouted, attempt=2)


def _unsigned(story: Story) -> None:
    story.records = [r for r in story.records if not isinstance(r.fact, JobSigned)]


def _other_result(story: Story) -> None:
    true = inline(b'{"content":[]}')
    story.change(JobDone, result=msgspec.structs.replace(true, value=msgspec.Raw(b"{}")))


def _no_result(story: Story) -> None:
    story.change(JobDone, result=None)


def test_the_answer_of_a_failed_attempt_is_held_against_its_digest() -> None:
    story = retried()
    true = inline(b'{"is_error":true}')
    story.change(JobFailed, result=true)
    assert story.failed() == set()
    story.change(JobFailed, result=msgspec.structs.replace(true, value=msgspec.Raw(b"{}")))
    assert story.failed() == {"result digest"}


LIES: list[tuple[Lie, str]] = [
    (_other_host, "same host and input"),
    (_claim_for_another_host, "same host and input"),
    (_swapped, "facts in order"),
    (_done_before_signed, "claim before outcome"),
    (_time_runs_back, "facts in order"),
    (_two_outcomes, "one outcome"),
    (_work_after_the_end, "facts in order"),
    (_somebody_elses_fact, "facts in order"),
    (_no_creation, "facts in order"),
    (_forged_permit, "permits"),
    (_claim_for_another_host, "permits"),
    (_unknown_key, "permits"),
    (_no_permit, "permits"),
    (_longer_permit, "permits"),
    (_old_permit, "permits"),
    (_other_input, "same host and input"),
    (_outcome_for_other_input, "same host and input"),
    (_other_score, "routes recomputed"),
    (_worse_host, "routes recomputed"),
    (_basis_in_the_future, "routes recomputed"),
    (_basis_before_the_task, "routes recomputed"),
    (_attempt_left_out, "attempts without gap"),
    (_unsigned, "claim before outcome"),
    (_other_result, "result digest"),
    (_no_result, "result digest"),
]


@pytest.mark.parametrize(("lie", "check"), LIES)
def test_a_bent_history_is_noticed(lie: Lie, check: str) -> None:
    story = succeeded()
    lie(story)
    assert check in story.failed()


def test_a_second_route_without_a_failure_before_it_is_noticed() -> None:
    story = retried()
    story.records = [r for r in story.records if not isinstance(r.fact, facts.JobFailed)]
    assert "attempts without gap" in story.failed()


def test_a_call_without_a_claim_is_noticed_also_when_it_failed() -> None:
    story = Story()
    story.fail(story.route())
    assert "claim before outcome" in story.failed()
