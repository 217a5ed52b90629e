"""The console folds facts to the same view as the gateway: one table of stories through both."""

from __future__ import annotations

import json
import random
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import status
from contracts.asks import AnswerAction, QuestionKind
from contracts.facts import (
    AnyFact,
    Failure,
    FailureKind,
    Outcome,
    Record,
    ResultDeleted,
    ResultStored,
    TaskCreated,
    decode,
    encode,
)
from contracts.host import Access
from contracts.result import Inline, Pointer
from contracts.route import Earlier
from contracts.task import TaskSpec
from services.gateway.console.assets import WEB
from tests.histories.test_histories import RELEASES
from tests.histories.views import lines
from tests.support import facts as make
from tests.support.node import node

POINTER = Pointer("nats://blobs/alice/00", "0" * 64, 99_999)
INLINE = Inline(msgspec.Raw(b'{"content":[{"type":"text","text":"\\u00e4"}]}'), "1" * 64, 40)
A, T = "alice", "t1"
VIEW = {*status.TaskView.__struct_fields__, "from"}
FORM = {"type": "object", "properties": {"name": {"type": "string"}}}


NEXT: tuple[Callable[[], AnyFact], ...] = (
    lambda: make.routed(A, T, 1, host="h1"),
    lambda: make.routed(A, T, 2, host="bob/h2"),
    lambda: make.signed(A, T, 2, host="h2"),
    lambda: make.failed(A, T, message="broke", result=POINTER),
    lambda: make.failed(A, T, kind=FailureKind.INPUT_REQUIRED),
    lambda: make.asked(A, T, approvers=Access(roles=("admin",))),
    lambda: make.asked(A, T, 2, kind=QuestionKind.INPUT, schema=FORM, keys=("a",), url="u"),
    lambda: make.asked(A, T, 3, kind=QuestionKind.INPUT, tool="", host="", keys=("a", "b")),
    lambda: make.answered(A, T, action=AnswerAction.DECLINE),
    lambda: make.cancelled(A, T),
    lambda: make.tagged(A, T, tags={"run": "7", "a.b": "é"}),
    lambda: make.tagged(A, T, 2),
    lambda: ResultStored(id=make.new_id(), by="test", user=A, task=T, pointer=POINTER),
    lambda: ResultDeleted(id=make.new_id(), by="test", user=A, task=T, reason="old"),
    lambda: make.done(A, T, attempt=3, host="h3", result=INLINE, remarks=("one", "two")),
    lambda: make.done(A, T, Outcome.TIMED_OUT, error=Failure("timeout", "too late")),
    lambda: make.done(A, T, Outcome.CANCELLED),
    lambda: make.done(A, T, result=INLINE, from_="t0", earlier=Earlier(3, "h9", 1, 5.0)),
)


def story(facts: list[AnyFact]) -> list[Record]:
    return [
        Record(seq, 1000.25 + seq / 8, f"facts.{seq}", fact, encode(fact))
        for seq, fact in enumerate(facts, start=7)
    ]


def made_up() -> list[list[Record]]:
    chosen = random.Random(1851)
    begun = [
        make.created(A, T),
        make.created(
            *(A, T),
            asked_by="token:x",
            project="p",
            spec=TaskSpec(type="scan", tags={"run": "6"}, again="t0", batch="b1"),
        ),
    ]
    each = [[begun[0], *(fact() for fact in (first, second))] for first in NEXT for second in NEXT]
    walks = [
        [begun[n % 2], *(fact() for fact in chosen.choices(NEXT, k=n % 12))] for n in range(300)
    ]
    return [story(facts) for facts in [*each, *walks, [make.cancelled(A, T)]]]


def golden() -> list[list[Record]]:
    """The tasks of logs that releases have written."""
    found: dict[tuple[Path, str, str], list[Record]] = defaultdict(list)
    for release in RELEASES:
        for line in lines(release / "log.jsonl"):
            fact = decode(bytes(line.fact), line.subject)
            record = Record(line.seq, line.at, line.subject, fact, bytes(line.fact))
            if isinstance(user := getattr(record.fact, "user", None), str) and hasattr(
                record.fact, "task"
            ):
                found[release, user, record.fact.task].append(record)
    return list(found.values())


def shown(view: status.TaskView | None) -> Any:
    return json.loads(msgspec.json.encode(view))


def without_defaults(view: dict[str, Any] | None) -> Any:
    """As the API leaves out what is empty."""
    if view is None:
        return None
    empty = (None, "", 0, False, [], {})
    return {name: value for name, value in view.items() if not (name in VIEW and value in empty)}


def test_both_fold_alike(tmp_path: Path) -> None:
    stories = [*made_up(), *golden()]
    assert any(isinstance(one[0].fact, TaskCreated) for one in golden())
    given = [
        [{"seq": r.seq, "at": r.at, "event": json.loads(r.data)} for r in one] for one in stories
    ]
    script = str(Path(__file__).with_name("fold.mjs"))
    ran = subprocess.run(
        [node(), script, str(WEB / "fold.js")],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr.decode()
    folded = json.loads(ran.stdout)
    assert len(folded) == len(stories)
    for records, view, facts in zip(stories, folded, given, strict=True):
        assert without_defaults(view) == shown(status.fold(records)), facts


@pytest.mark.parametrize("word", sorted(status.OVER))
def test_the_ends_are_those_of_the_contracts(word: str) -> None:
    assert f'"{word}"' in (WEB / "fold.js").read_text().partition("new Set(")[2].partition(")")[0]
