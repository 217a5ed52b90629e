"""Passwords: what is guessed soon is not taken, hashing is apart and bounded, nobody is told."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from services.gateway.people import passwords
from services.gateway.people.passwords import (
    BEHIND,
    MOST_WAIT_S,
    THREADS,
    HashTurns,
    NoPlace,
    Passwords,
    Verified,
    common,
    weakness,
)

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
GOOD = "correct horse battery"


@pytest.fixture
async def one() -> AsyncIterator[Passwords]:
    made = Passwords(QUICK)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "10 are the least"),
        ("x" * 9, "10 are the least"),
        ("ä" * 600 + "abcdefgh", "more than 1024 bytes"),
        ("ann-the-user", "own name"),
        ("ANN-THE-USER", "own name"),
        ("ann-the-user2026!", "own name"),
        ("ababababababab", "fewer than 4 different"),
        ("1234567890", "most common"),
        ("Password123!", "most common"),
        ("basketball", "most common"),
        ("sunshine2026", "most common"),
        ("!!qwertyuiop!!", "most common"),
    ],
)
def test_what_is_guessed_soon_is_not_taken(password: str, why: str) -> None:
    found = weakness(password, "ann-the-user")
    assert found is not None
    assert why in found


@pytest.mark.parametrize(
    "password", [GOOD, "84736251947", "пароль-длинный", "tr0ub4dor&3x", "a b c d e f g h"]
)
def test_what_is_not_is(password: str) -> None:
    assert weakness(password, "ann") is None


def test_the_list_has_thousands_of_them() -> None:
    assert len(common()) > 10_000
    assert {"password", "iloveyou", "qwertyuiop", "1q2w3e4r5t"} <= common()


async def test_a_password_is_known_by_its_hash_and_no_other(one: Passwords) -> None:
    stored = await one.hash(GOOD, "ann")
    assert stored.startswith("$argon2id$")
    assert GOOD not in stored
    assert stored != await one.hash(GOOD, "ann")
    assert await one.verify(stored, GOOD) == Verified(True)
    for wrong in (GOOD.upper(), GOOD + " ", "", "x" * 5000, "\udcff" * 12):
        assert await one.verify(stored, wrong) == Verified(False)


async def test_an_accent_is_the_same_however_a_keyboard_writes_it(one: Passwords) -> None:
    stored = await one.hash("cafe\u0301 am morgen", "ann")
    assert (await one.verify(stored, "caf\u00e9 am morgen")).good


async def test_nobody_has_any_password(one: Passwords) -> None:
    assert await one.verify("", GOOD) == Verified(False)
    assert await one.verify("not a hash", GOOD) == Verified(False)


async def test_a_weak_one_is_refused_before_it_is_hashed(one: Passwords) -> None:
    with pytest.raises(Rejected) as refused:
        await one.hash("password123", "ann")
    assert refused.value.reason is Reason.BAD_REQUEST
    assert "password123" not in refused.value.message


async def test_a_hash_of_other_parameters_is_made_anew(one: Passwords) -> None:
    stored = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1).hash(GOOD)
    found = await one.verify(stored, GOOD)
    assert found.good
    assert await one.verify(found.better, GOOD) == Verified(True)


async def test_a_wrong_password_takes_as_long_as_an_unknown_user() -> None:
    one = Passwords(PasswordHasher(time_cost=4, memory_cost=16 * 1024, parallelism=1))
    stored = await one.hash(GOOD, "ann")
    await one.verify("", GOOD)

    async def fastest(of: str) -> float:
        # Of the processor's time: others may be busy on it.
        times = []
        for _ in range(5):
            began = time.process_time()
            await one.verify(of, "another password")
            times.append(time.process_time() - began)
        return min(times)

    known, unknown = await fastest(stored), await fastest("")
    assert known / 3 < unknown < known * 3
    await one.close()


async def test_more_than_can_wait_are_sent_away_and_the_loop_goes_on() -> None:
    gate = threading.Event()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            gate.wait(20)
            return QUICK.hash(password)

    one = Passwords(Slow(), most_waiting=3)
    waiting = [asyncio.create_task(one.hash(GOOD, "ann")) for _ in range(3)]
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    await turned.wait()
    with pytest.raises(NoPlace) as refused:
        await one.hash(GOOD, "ann")
    assert refused.value.reason is Reason.UNAVAILABLE
    with pytest.raises(NoPlace) as later:
        await one.hash(GOOD, "ben")
    assert later.value.wait_s > refused.value.wait_s > 0
    gate.set()
    async with asyncio.timeout(20):
        assert all([await task for task in waiting])
        assert await one.hash(GOOD, "ann")
    await one.close()


@given(
    st.floats(0.001, 10.0),
    st.floats(0.0, 1e6),
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
)
def test_each_of_a_crowd_is_told_a_turn_of_their_own(
    each_s: float, now: float, pauses: list[float]
) -> None:
    turns, told, last = HashTurns(each_s), list[float](), now
    for pause in pauses:
        now += pause
        wait = turns.next(now)
        assert 0 < wait <= MOST_WAIT_S
        if wait < MOST_WAIT_S / 2:
            assert not told or now + wait - told[-1] >= each_s / THREADS * 0.999
            told.append(now + wait)
        last = max(last, now + wait)
    # Once the last turn is over, nobody waits for longer than one password takes.
    assert turns.next(last) == pytest.approx(min(each_s / THREADS, MOST_WAIT_S), rel=1e-3)


def test_a_crowd_for_whom_there_is_no_turn_yet_is_spread() -> None:
    turns = HashTurns(THREADS * 0.1)
    crowd = [turns.next(0.0) for _ in range(850)]
    assert crowd[:599] == pytest.approx([n / 10 for n in range(1, 600)])
    late = sorted(crowd[601:])
    assert MOST_WAIT_S / 2 <= late[0] < late[-1] <= MOST_WAIT_S
    assert min(after - before for before, after in itertools.pairwise(late)) >= 0.099


@given(st.lists(st.floats(0.01, 5.0), min_size=100, max_size=100))
def test_a_turn_is_as_long_as_passwords_have_taken_lately(taken: list[float]) -> None:
    turns = HashTurns(1000.0)
    for seconds in taken:
        turns.took(seconds)
    assert min(taken) / THREADS * 0.9 <= turns.next(0.0) <= max(taken) / THREADS + 0.01


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
async def test_the_threads_stand_back_behind_the_loop(one: Passwords) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    here = nice()
    assert await one._apart(nice) == min(here + BEHIND, 19)
    assert nice() == here


def test_todays_parameters_are_those_of_the_page() -> None:
    assert passwords.HASHER.memory_cost == passwords.MEMORY_KIB
    assert passwords.HASHER.type.name == "ID"
