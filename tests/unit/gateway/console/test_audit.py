"""The console audits as `metamcp audit` does: the same stories, true and bent, through both."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from contracts import facts
from contracts.audit import Check, RouteRecomputed
from contracts.facts import JobDone, JobSigned, TaskCreated, TaskRouted
from contracts.host import Execute, Noop, StreamableHttp
from contracts.result import Pointer, inline
from contracts.subjects import parse
from services.cli.commands.log import recomputer
from services.gateway.console.assets import WEB
from services.gateway.http.audit import as_stored, audiences
from services.keys.permits import SigningKey
from tests.support.node import node
from tests.unit.cli import story as stories
from tests.unit.cli.story import TASK, Story, retried, succeeded
from tests.unit.cli.test_audit import HTTPS, LIES, SPACE

RANDOM_LIES = 150
ENGINES_OWN = re.compile(r"(the permit (?:is not valid|names no key): )[^;]*")
"""What a library says of a malformed token is its own affair."""
ODD = (
    b'{"z": 1.0, "a":[1e5,"\\u00e4\\"}],{"], "10":{},"9":null, "value":"}",'
    b'"b":"\xc3\xa4\xf0\x9f\x8c\xb2"}'
)


def odd_texts() -> Story:
    """An input and a result that no parser writes back as they are."""
    story = succeeded()
    story.change(JobDone, result=inline(ODD))
    return story


def moved() -> Story:
    story = succeeded()
    story.change(JobDone, result=Pointer("nats://blobs/ann/0", "0" * 64, 70_000))
    return story


def claims(name: str, value: str) -> Story:
    return succeeded(HTTPS, aud="https://tools.example.com", **{name: value})


def other_names() -> Story:
    story = succeeded()
    story.change(JobSigned, user="o'neil\\", input_sha256='"', expires=1.5)
    return story


def cancelled() -> Story:
    story = Story()
    story.add(facts.TaskCancelled(**story.who("gateway-1"), user=stories.USER, task=TASK))
    story.change(TaskCreated, asked_by="token:x")
    return story


TRUE: tuple[Callable[[], Story], ...] = (
    *(succeeded, retried, odd_texts, moved, cancelled, other_names, Story),
    *(lambda: succeeded(HTTPS), lambda: succeeded(HTTPS, aud="https://tools.example.com")),
    *(lambda: succeeded(SPACE), lambda: succeeded(SPACE, aud="https://ann-tools.hf.space")),
    lambda: succeeded(Execute("https://tools.example.com:8443/x"), aud="x"),
    lambda: succeeded(StreamableHttp("https://u:p@x/"), aud="x"),
    lambda: succeeded(Noop(), aud="two", host=""),
    *(lambda: claims("iss", "other"), lambda: claims("host", "")),
    *(lambda: claims("sub", "it's \U0001f332\n\u2028"), lambda: claims("task_id", "'\"")),
)


def bent() -> Iterator[Story]:
    """Each way to lie, then two of them, one upon the other."""
    chosen = random.Random(1807)
    lies = [lie for lie, _ in LIES]
    pairs = [chosen.sample(lies, 2) for _ in range(RANDOM_LIES)]
    for told in [*([lie] for lie in lies), *pairs]:
        story = chosen.choice((succeeded, retried))() if len(told) > 1 else succeeded()
        try:
            for lie in told:
                lie(story)
        except (ValueError, StopIteration):
            continue  # The first has taken away what the second bends.
        yield story


def unread() -> Story:
    story = succeeded()
    story.add(facts.decode(b'{"type":"task.paused"}', f"task.paused.{stories.USER}.{TASK}.1"))
    story.add(facts.decode(b"\xff", f"job.failed.{stories.USER}.{TASK}.2"))
    return story


def given(story: Story) -> dict[str, Any]:
    """What the API tells of it, and what a router has recomputed."""
    own = [r for r in story.records if parse(r.subject).task == TASK]
    keys = [r for r in story.records if isinstance(r.fact, facts.LogKey)]
    again = recomputer(story.records)
    routes = []
    for record in own:
        if isinstance(record.fact, TaskRouted):
            one = again(record)
            routes.append(
                RouteRecomputed(
                    record.seq, record.fact.attempt, one.host or "", one.score, one.candidates
                )
                if not one.problem
                else RouteRecomputed(record.seq, record.fact.attempt, problem=one.problem)
            )
    hosts = {r.seq: r for r in story.records if isinstance(r.fact, facts.McpRegistered)}
    audited = {
        "records": as_stored(own),
        "keys": as_stored(keys),
        "audiences": audiences(hosts.values()),
    }
    found: dict[str, Any] = json.loads(msgspec.json.encode({"audited": audited, "routes": routes}))
    return found


def verdicts(checks: list[Check]) -> list[tuple[str, bool, str]]:
    return [(one.name, one.ok, ENGINES_OWN.sub(r"\1", one.detail)) for one in checks]


@pytest.mark.timeout(120)
def test_both_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [make() for make in TRUE] + [unread(), *bent()]
    with monkeypatch.context() as patched:
        key = SigningKey(ed25519.Ed25519PrivateKey.generate())
        patched.setattr(stories, "key", lambda: key)
        told += [succeeded(), retried()]
    python = [verdicts(story.audit()) for story in told]
    # Otherwise this would compare nothing with nothing.
    assert sum(all(ok for _, ok, _ in found) for found in python) > 5
    assert len({name for found in python for name, ok, _ in found if not ok}) == 8
    script = str(Path(__file__).with_name("audit.mjs"))
    ran = subprocess.run(
        [node(), script, str(WEB / "audit" / "checks.js")],
        input=json.dumps([given(story) for story in told]).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr.decode()
    browser = [verdicts(msgspec.convert(found, list[Check])) for found in json.loads(ran.stdout)]
    assert len(browser) == len(python)
    for theirs, ours, story in zip(browser, python, told, strict=True):
        assert theirs == ours, story.records
