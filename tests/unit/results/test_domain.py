"""What a result is, made from facts."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.facts import Outcome, Record, ResultDeleted, ResultStored
from contracts.result import Inline, Kept, Pointer, inline
from services.results import domain
from services.results.domain import Blob
from tests.support.facts import done

POINTER = Pointer("nats://METAMCP_BLOBS/ann/00", "00", 5, "text/plain")


def record(fact: object) -> Record:
    return Record(7, 1.5, "", fact, b"")


def test_an_inline_result_is_described_by_its_fact() -> None:
    fact = done("ann", "t1", host="h", attempt=2, result=inline(b'{"a":1}'))
    kept = domain.begin(record(fact), fact)
    assert kept is not None
    assert (kept.kind, kept.uri, kept.size) == ("inline", "", 7)
    assert (kept.created, kept.seq, kept.host, kept.attempt) == (1.5, 7, "h", 2)


def test_a_pointer_is_described_by_where_it_points() -> None:
    fact = done("ann", "t1", result=POINTER)
    kept = domain.begin(record(fact), fact)
    assert kept is not None
    assert (kept.kind, kept.uri, kept.media_type) == ("pointer", POINTER.uri, "text/plain")


def test_a_task_without_a_result_leaves_nothing() -> None:
    fact = done("ann", "t1", Outcome.FAILED)
    assert domain.begin(record(fact), fact) is None


def test_a_deletion_always_has_a_reason() -> None:
    fact = ResultDeleted(id="", by="", user="ann", task="t", reason="")
    assert domain.why_deleted(fact)


def test_a_move_changes_where_the_bytes_lie() -> None:
    fact = ResultStored(id="", by="", user="ann", task="t", pointer=POINTER)
    where = ("pointer", "text/plain", 5, "00", POINTER.uri, "object_store")
    assert domain.moved(fact) == where


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, Blob.MISSING),
        (POINTER, Blob.THERE),
        (Pointer(POINTER.uri, "00", 6), Blob.WRONG_SIZE),
    ],
)
def test_a_blob_is_judged_by_its_size(found: Pointer | None, verdict: Blob) -> None:
    assert domain.judge(POINTER, found) is verdict


@hypothesis.given(st.binary(max_size=200).map(lambda data: b'"' + data.hex().encode() + b'"'))
def test_only_the_right_bytes_are_given_out(data: bytes) -> None:
    good = inline(data)
    assert domain.checked(good) == data
    for bad in (
        Inline(good.value, "0" * 64, good.size),
        Inline(good.value, good.sha256, good.size + 1),
    ):
        with pytest.raises(Rejected) as refusal:
            domain.checked(bad)
        assert refusal.value.reason is Reason.DIGEST_MISMATCH


@hypothesis.given(st.lists(st.tuples(st.sampled_from(["a/x", "b/y", ""]), st.integers(0, 9))))
def test_every_path_in_a_dataset_is_found_under_its_repository(lies: list[tuple[str, int]]) -> None:
    places = [domain.InDataset(repo, "0" * 40, f"results/{n}") for repo, n in lies if repo]
    every = [kept_at(place.uri) for place in places] + [kept_at("") for repo, _ in lies if not repo]
    found = domain.by_repo(every)
    assert sorted((repo, path) for repo, paths in found.items() for path in paths) == sorted(
        (place.repo, place.path) for place in places
    )


def kept_at(uri: str) -> Kept:
    pointer = Pointer(uri, "00", 5)
    fact = done("ann", "t1", result=pointer)
    kept = domain.begin(Record(7, 1.5, "", fact, b""), fact)
    assert kept is not None
    return kept
