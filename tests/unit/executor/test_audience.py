"""Whom permits are for: the address that is called, whatever a host is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.facts import FailureKind, JobDone, JobFailed, JobSigned
from contracts.host import Execute
from services.executor.attempt.call import Answer, Call
from services.keys import permits
from services.keys.permits import SigningKey
from tests.unit.executor.world import fresh_key, host, world


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


async def forever(call: Call) -> Answer:
    await call.begin()
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_host_without_an_address_fails_its_attempts_and_stops_nobody(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key) as one:
        lost = host("lost", endpoint=Execute("hf://no-such-thing"))
        seq = await one.register(lost)
        await one.task("t1", host="lost", host_seq=seq, basis=seq)
        fact = (await one.fact(JobFailed, "t1")).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called) == (FailureKind.UNREACHABLE, False)
        assert "names no Space" in fact.message
        await one.task("t2")
        await one.fact(JobDone, "t2")


async def test_a_permit_is_for_the_address_that_is_called(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=forever) as one:
        called = host("alice/h", owner="alice", endpoint=Execute("https://Tools.example.com/x/"))
        seq = await one.register(called)
        await one.task("t1", host="alice/h", host_seq=seq, basis=seq)
        signed = (await one.fact(JobSigned, "t1")).fact
        assert isinstance(signed, JobSigned)
        claims = permits.verify(signed.permit, key.jwk)
        assert (claims.aud, claims.host) == ("https://tools.example.com", "alice/h")
        await one.task("t2")
        signed = (await one.fact(JobSigned, "t2")).fact
        assert isinstance(signed, JobSigned)
        claims = permits.verify(signed.permit, key.jwk)
        assert (claims.aud, claims.host) == ("h1", "h1"), "it has no address"
