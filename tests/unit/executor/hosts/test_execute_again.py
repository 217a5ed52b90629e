"""Calls of `/execute` that are sent again, waited for, cancelled or cut."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from contracts.facts import FailureKind
from contracts.host import Limits
from tests.support.http_host import Reply, answer, cut, hang, parts, serving
from tests.unit.executor.execute_bench import GOOD, Bench, bench, failure_of, said
from tests.unit.executor.sessions import failure

K = FailureKind

# Busy hosts.


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_host_is_asked_again(tmp_path: Path, status: int) -> None:
    busy = answer(said("starting", "soon"), status)
    async with bench(tmp_path, busy, busy, answer(GOOD), limits=Limits()) as (one, server):
        call = one.call()
        assert await one.session.call(call) == GOOD
        assert call.called is True
        assert len({seen.body for seen in server.seen}) == 1, "the same request each time"
        assert len(server.seen) == 3


async def test_a_host_that_stays_busy_was_not_called(tmp_path: Path) -> None:
    async with bench(tmp_path, answer(said("starting", "soon"), 503)) as (one, server):
        call = one.call()
        error = await failure(one.session, call)
        assert (error.kind, error.called, call.called) == (K.UNREACHABLE, False, False)
        assert "503: starting: soon" in error.message
        assert len(server.seen) > 1


async def test_the_host_says_when_to_come_back(tmp_path: Path) -> None:
    later = answer({}, 503, Retry_After="1")
    async with bench(tmp_path, later, answer({}), limits=Limits(start_s=5.0)) as (one, _):
        began = time.monotonic()
        await one.session.call(one.call())
        assert time.monotonic() - began > 0.9
    never = answer({}, 429, Retry_After="3600")
    async with bench(tmp_path, never) as (one, server):
        assert (await failure_of(one)).kind is K.UNREACHABLE
        assert len(server.seen) == 1, "10 s at most are waited, and here there was only one"


async def test_while_a_busy_host_is_waited_for_the_attempt_may_be_taken_away(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, answer({}, 503), limits=Limits()) as (one, server):
        call = one.call()
        running = asyncio.create_task(failure(one.session, call))
        await server.until(1)
        one.ours = False
        error = await running
        assert (error.kind, error.called, call.called) == (K.LOST, False, False)


# Lost connections.


async def test_a_lost_call_is_sent_again_where_the_host_answers_it_only_once(
    tmp_path: Path,
) -> None:
    script = [
        cut(),
        answer("bad gateway", 502),
        answer({}, 503),
        parts(b"{", then="cut"),
        answer(GOOD),
    ]
    async with bench(tmp_path, *script, replay="always") as (one, server):
        call = one.call()
        assert await one.session.call(call) == GOOD
        assert len({seen.body for seen in server.seen}) == 1, "the same permit, the same bytes"
        assert len(server.seen) == 5


async def test_a_host_that_went_away_in_a_call_is_waited_for(tmp_path: Path) -> None:
    async with serving(cut()) as server:
        one = Bench(tmp_path, server.url, replay="always")
        call = one.call()
        running = asyncio.create_task(one.session.call(call))
        await server.until(1)
    port = int(server.url.rpartition(":")[2])
    await asyncio.wait([running], timeout=0.5)
    assert not running.done(), "nobody there is no proof that the call was not made"
    assert call.called is None
    async with serving(answer(GOOD), port=port):
        assert await running == GOOD
    await one.session.close()


async def test_a_lost_call_that_time_runs_out_for_has_no_known_outcome(tmp_path: Path) -> None:
    async with bench(tmp_path, cut(), replay="always") as (one, server):
        call = one.call()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):
                await one.session.call(call)
        assert call.called is None
        assert len(server.seen) > 1


async def test_an_answer_that_is_unknown_for_good_is_not_asked_for_again(tmp_path: Path) -> None:
    script = [cut(), answer(said("outcome_unknown", "it died"), 409)]
    async with bench(tmp_path, *script, replay="always") as (one, server):
        error = await failure_of(one)
        assert (error.kind, error.called) == (K.CUT, None)
        assert len(server.seen) == 2


# Cancelling and closing.


@pytest.mark.parametrize("reply", [hang, parts(b"{", then="hang")], ids=["mute", "begun"])
async def test_a_cancelled_call_is_gone_at_once_for_the_host_too(
    tmp_path: Path, reply: Reply
) -> None:
    async with bench(tmp_path, reply, answer(GOOD)) as (one, server):
        call = one.call()
        running = asyncio.create_task(one.session.call(call))
        await server.until(1)
        if reply is not hang:
            while call.called is not True:
                await asyncio.wait([running], timeout=0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(1):
            await server.gone.wait()
        assert await one.session.call(one.call()) == GOOD
        assert one.left() == []


@pytest.mark.parametrize("replay", ["hints", "always"])
async def test_closing_cuts_the_calls_in_flight_and_refuses_later_ones(
    tmp_path: Path, replay: str
) -> None:
    async with bench(tmp_path, hang, replay=replay) as (one, server):
        running = asyncio.create_task(failure_of(one))
        await server.until(1)
        await one.session.close()
        async with asyncio.timeout(1):
            error = await running
        assert (error.kind, error.called) == (K.CUT, None)
        later = await failure_of(one)
        assert (later.kind, later.called) == (K.UNREACHABLE, False)
        await one.session.close()
        assert len(server.seen) == 1


async def test_closing_ends_the_wait_for_a_busy_host(tmp_path: Path) -> None:
    busy = answer({}, 503, Retry_After="9")
    async with bench(tmp_path, busy, limits=Limits(start_s=60)) as (one, server):
        call = one.call()
        running = asyncio.create_task(failure(one.session, call))
        await server.until(1)
        while call.called is not False:
            await asyncio.wait([running], timeout=0.01)
        await one.session.close()
        async with asyncio.timeout(1):
            error = await running
        assert (error.kind, error.called) == (K.UNREACHABLE, False)
