"""The executor and the registry with the Space that comes with it, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contracts.facts import FailureKind
from contracts.host import Execute, Host, TaskBinding
from services.executor.attempt.call import Call, HostError, Spooled
from services.registry.probes import child
from tests.support import space
from tests.unit.executor.execute_bench import Bench, at

ISSUER = space.Issuer("RS256")
TYPES = {name: TaskBinding() for name in (*space.TYPES, "nothing")}


class Pair(NamedTuple):
    """A Space, and a session with it."""

    space: space.Space
    bench: Bench

    def call(self, type: str, raw: bytes, task: str) -> Call:
        """A call with the permit that belongs to it."""
        claims = ISSUER.claims(raw, task=task, user="alice", type=type)
        return self.bench.call(raw, type=type, task=task, permit=ISSUER.sign(claims))

    async def failure(self, type: str, raw: bytes, task: str) -> HostError:
        """How a call fails."""
        with pytest.raises(HostError) as caught:
            await self.bench.session.call(self.call(type, raw, task))
        return caught.value


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[space.Space]:
    """One Space for all tests; they use task ids of their own."""
    with space.standing(tmp_path_factory.mktemp("space"), ISSUER.jwks) as one:
        yield one


@pytest.fixture
async def pair(shared: space.Space, tmp_path: Path) -> AsyncIterator[Pair]:
    async with at(tmp_path, shared.url, replay="always", task_types=TYPES) as bench:
        yield Pair(shared, bench)


async def test_a_space_takes_the_input_for_what_the_permit_names(pair: Pair) -> None:
    for number, raw in enumerate((b'{"text":"a"}', b'{ "text" : "\\u00e4\xc3\xa4", "n":1.0 }')):
        result = await pair.bench.session.call(pair.call("echo", raw, f"named-{number}"))
        assert isinstance(result, dict)
        assert set(result) == {"content", "structured", "is_error"}
    assert [len(pair.space.calls_of(f"named-{number}")) for number in range(2)] == [1, 1]


async def test_the_same_permit_gets_the_same_answer_and_one_run(pair: Pair) -> None:
    call = pair.call("work", b"{}", "again")
    first = await pair.bench.session.call(call)
    assert await pair.bench.session.call(call) == first
    assert len(pair.space.calls_of("again")) == 1


async def test_what_goes_wrong_in_a_space_is_told_by_its_kind(pair: Pair) -> None:
    cases: dict[str, tuple[str, bytes, FailureKind, str]] = {
        "a": ("fail", b'{"message":"why"}', FailureKind.TOOL, "why"),
        "b": ("nothing", b"{}", FailureKind.PROTOCOL, "404"),
        "c": ("work", b'{"ms":"soon"}', FailureKind.BAD_INPUT, "422: bad_input"),
    }
    for task, (type_, raw, kind, words) in cases.items():
        error = await pair.failure(type_, raw, task)
        assert (error.kind, error.called) == (kind, True)
        assert words in error.message


async def test_a_permit_for_other_bytes_is_refused(pair: Pair) -> None:
    other = ISSUER.claims(b'{"text":"b"}', task="other", user="alice", type="echo")
    permit = ISSUER.sign(other)
    call = pair.bench.call(b'{"text":"a"}', type="echo", task="other", permit=permit)
    with pytest.raises(HostError, match="401: bad_permit") as caught:
        await pair.bench.session.call(call)
    assert caught.value.kind is FailureKind.PROTOCOL
    assert pair.space.calls_of("other") == []


async def test_a_new_kit_tells_an_old_orchestrator_what_to_do(pair: Pair) -> None:
    old = ISSUER.claims(b"{}", task="old", user="alice", type="work", audience="ann-space")
    del old["host"]
    call = pair.bench.call(b"{}", type="work", task="old", permit=ISSUER.sign(old))
    with pytest.raises(HostError, match=r"old_permit: .*upgrade the orchestrator"):
        await pair.bench.session.call(call)
    assert pair.space.calls_of("old") == []


async def test_a_permit_for_another_space_or_user_is_refused(pair: Pair) -> None:
    """What an attacker gets whose own host has this Space's name, or this Space's address."""
    elsewhere = {"audience": "https://mallory.example", "user": "alice"}
    for task, changed in (("elsewhere", elsewhere), ("stranger", {"user": "mallory"})):
        permit = ISSUER.sign(ISSUER.claims(b"{}", task=task, type="work", **changed))
        call = pair.bench.call(b"{}", type="work", task=task, permit=permit)
        with pytest.raises(HostError, match=r"401: bad_permit: wrong_(audience|user)"):
            await pair.bench.session.call(call)
        assert pair.space.calls_of(task) == []


async def test_a_big_answer_of_a_space_lies_in_a_file(pair: Pair) -> None:
    result: Any = await pair.bench.session.call(pair.call("big", b'{"bytes":5000000}', "big"))
    assert isinstance(result, Spooled)
    assert result.size > 5_000_000
    result.remove()


async def test_a_cancelled_call_is_cancelled_in_the_space(pair: Pair) -> None:
    running = asyncio.create_task(pair.bench.session.call(pair.call("hang", b"{}", "hung")))
    await pair.space.until_called(1, task="hung")
    running.cancel()
    await asyncio.wait([running])
    (end,) = await pair.space.until_called(1, "end", task="hung")
    assert end["how"] == "cancelled"


async def test_a_probe_finds_a_space_as_soon_as_it_works(tmp_path: Path) -> None:
    async with space.start(tmp_path, space.Issuer().jwks, ready=False) as one:
        host = Host(id="s", name="s", endpoint=Execute(one.url))
        prober = child.prober(host, asyncio.Semaphore(1), 10.0)
        assert (await prober.probe()).reason == ""
