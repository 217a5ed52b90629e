"""The object store fails: told at once, or asked again, and never blamed on the host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.errors import Reason, Rejected
from contracts.facts import FailureKind, JobDone, JobFailed
from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET
from contracts.task import TaskSpec
from services.executor.attempt.call import Answer, Call, HostError
from services.executor.attempt.output import Data
from services.keys.permits import SigningKey
from services.store.blobs import StoreError, StoreRefused
from tests.unit.executor.world import fresh_key, host, spec, world

BIG = "x" * 100_000
WANTED = Pointer(f"nats://{BLOBS_BUCKET}/alice/{'0' * 64}", "0" * 64, 3)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


class Store:
    """An object store that raises what it is given, one after the other, and then works."""

    def __init__(self, *errors: Exception, for_ever: Exception | None = None) -> None:
        self.asked = 0
        self._errors = list(errors)
        self._for_ever = for_ever

    async def put(self, user: str, data: Data, media_type: str = "application/json") -> Pointer:
        self._fail()
        assert isinstance(data, bytes)
        return Pointer(f"nats://{BLOBS_BUCKET}/{user}/x", "0" * 64, len(data), media_type)

    async def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        self._fail()
        yield b'{"tool":"noop"}'

    async def read(self, what: Pointer | str) -> bytes:
        return b"".join([part async for part in self.get(what)])

    def _fail(self) -> None:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        if self._for_ever is not None:
            raise self._for_ever


async def answers(call: Call) -> Answer:
    await call.begin()
    call.called = True
    return Answer([], BIG)


async def ended(
    folder: Path, key: SigningKey, store: Store, task: TaskSpec | None = None, **route: float
) -> JobFailed | JobDone:
    """Run one task on a host that answers at once with a big result."""
    script = answers if task is None else None
    async with world(folder, key, script=script, blobs=store, hosts=(host(),)) as one:
        await one.task(spec_=task, **route)
        last = (await one.fact(JobFailed | JobDone)).fact  # type: ignore[arg-type]
        assert isinstance(last, JobFailed | JobDone)
        return last


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreRefused("stream OBJ_x does not exist"), FailureKind.LOST),
        (StoreRefused("NATS refuses this user"), FailureKind.LOST),
        (Rejected(Reason.TOO_LARGE, "the blob is over 7 bytes"), FailureKind.TOO_LARGE),
    ],
)
async def test_what_the_store_will_never_do_is_told_at_once(
    tmp_path: Path, key: SigningKey, error: Exception, kind: FailureKind
) -> None:
    store = Store(for_ever=error)
    failed = await ended(tmp_path, key, store)
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called, store.asked) == (kind, True, 1)
    refused = "could not be stored: the store refuses it"
    assert (error.message if isinstance(error, Rejected) else refused) in failed.message


async def test_a_store_that_comes_back_gets_the_result(tmp_path: Path, key: SigningKey) -> None:
    store = Store(StoreError("away"), StoreError("away"))
    done = await ended(tmp_path, key, store)
    assert isinstance(done, JobDone)
    assert isinstance(done.result, Pointer)
    assert store.asked == 3


async def test_a_store_that_stays_away_is_named_at_the_deadline(
    tmp_path: Path, key: SigningKey
) -> None:
    failed = await ended(tmp_path, key, Store(for_ever=StoreError("away")), timeout_s=0.5)
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called) == (FailureKind.LOST, True)
    assert "not done within 0.5 s" in failed.message
    assert "could not be stored: the store or the log does not answer" in failed.message


LONG = "begins " + "x" * 100_000 + " FAILED test_a: expected 1, got 2"


async def refuses(call: Call) -> Answer:
    await call.begin()
    answer = Answer([{"type": "text", "text": LONG}], is_error=True)
    raise HostError(FailureKind.TOOL, answer.said(), called=True, answer=answer.wire())


async def refused(folder: Path, key: SigningKey, store: Store | None, **route: float) -> JobFailed:
    """Run one task whose tool answers with a big error."""
    async with world(folder, key, script=refuses, blobs=store, hosts=(host(),)) as one:
        await one.task(**route)
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called, fact.retryable) == (FailureKind.TOOL, True, False)
        assert fact.message.startswith("begins ")
        return fact


async def test_a_big_answer_that_is_an_error_is_kept_before_it_is_told(
    tmp_path: Path, key: SigningKey
) -> None:
    store = Store(StoreError("away"))
    fact = await refused(tmp_path, key, store)
    assert isinstance(fact.result, Pointer)
    assert fact.message.endswith("FAILED test_a: expected 1, got 2")
    assert store.asked == 2


@pytest.mark.parametrize(
    ("store", "why"),
    [
        (Store(for_ever=StoreRefused("away")), "the store refuses it"),
        (Store(for_ever=StoreError("away")), "the store or the log does not answer"),
        (None, "there is no object store"),
    ],
)
async def test_a_tool_s_error_is_told_also_when_it_can_not_be_kept(
    tmp_path: Path, key: SigningKey, store: Store | None, why: str
) -> None:
    fact = await refused(tmp_path, key, store, timeout_s=0.5)
    assert fact.result is None
    assert "got 2; the whole answer is not kept: " in fact.message
    assert fact.message.endswith(why)


def pointing() -> TaskSpec:
    return spec(input_pointer=WANTED)


async def test_an_input_is_read_once_the_store_is_back(tmp_path: Path, key: SigningKey) -> None:
    store = Store(StoreError("away"))
    assert isinstance(await ended(tmp_path, key, store, pointing()), JobDone)
    assert store.asked == 2


@pytest.mark.parametrize("error", [StoreError("from_nats"), StoreRefused("from_nats")])
async def test_an_input_that_cannot_be_read_calls_nobody_and_names_the_store(
    tmp_path: Path, key: SigningKey, error: Exception
) -> None:
    failed = await ended(tmp_path, key, Store(for_ever=error), pointing(), timeout_s=0.5)
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called, failed.retryable) == (FailureKind.LOST, False, True)
    assert "the input could not be read: the store" in failed.message
    assert "from_nats" not in failed.message
