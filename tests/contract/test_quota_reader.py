"""Executors know the quotas of users, and nothing else of people."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from contracts.budget import Budget
from contracts.errors import Rejected
from contracts.subjects import ACCOUNTS_BUCKET
from services.bus.bus import Bus
from services.bus.errors import PermissionDenied
from services.gateway.people.quotas import Quotas
from services.gateway.people.state import PeopleState
from services.store.blobs import Blobs
from services.store.kv import Bucket
from services.store.quotas import FRESH_S, QuotaReader
from tests.support.facts import name
from tests.support.nats import NatsServer

COMMON = Budget(stored_bytes=1000)


@pytest.fixture
async def quotas(nats_server: NatsServer) -> AsyncIterator[Quotas]:
    async with nats_server.connected("gateway") as bus:
        yield Quotas(PeopleState(Bucket(bus, ACCOUNTS_BUCKET)), COMMON)


@pytest.fixture
async def executor(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("executor") as bus:
        yield bus


async def test_what_is_set_holds_within_a_second(quotas: Quotas, executor: Bus) -> None:
    user, now = name("alice"), 0.0
    reader = QuotaReader(executor, COMMON, lambda: now)
    assert await reader.of(user) == COMMON
    await quotas.put(user, {"stored_bytes": 10}, None, "root")
    assert await reader.of(user) == COMMON
    now += FRESH_S
    assert (await reader.of(user)).stored_bytes == 10
    await quotas.delete(user)
    now += FRESH_S
    assert await reader.of(user) == COMMON


async def test_a_result_over_it_is_refused(quotas: Quotas, executor: Bus) -> None:
    user = name("alice")
    await quotas.put(user, {"stored_bytes": 10}, None, "root")
    blobs = Blobs(executor, ask=QuotaReader(executor, COMMON).of)
    with pytest.raises(Rejected, match=f"budget stored_bytes: {user} has 0 bytes"):
        await blobs.put(user, b"x" * 11, "text/plain")
    await blobs.put(name("bob"), b"x" * 11, "text/plain")


async def test_an_executor_reads_nothing_else_of_people(executor: Bus) -> None:
    stream = f"KV_{ACCOUNTS_BUCKET}"
    for subject in (
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.$KV.{ACCOUNTS_BUCKET}.user.alice",
        f"$JS.API.DIRECT.GET.{stream}.$KV.{ACCOUNTS_BUCKET}.session.abc",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$KV.{ACCOUNTS_BUCKET}.quota.alice",
    ):
        with pytest.raises(PermissionDenied):
            await executor.request(subject, json.dumps({"last_by_subj": "$KV.>"}).encode())


async def test_who_may_not_ask_has_the_usual_budget(nats_server: NatsServer) -> None:
    async with nats_server.connected("registry") as bus:
        assert await QuotaReader(bus, COMMON).of("alice") == COMMON


async def test_what_can_be_no_user_is_not_asked_for(executor: Bus) -> None:
    assert await QuotaReader(executor, COMMON).of("a.b") == COMMON
