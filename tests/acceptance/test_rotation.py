"""A permit key is replaced under load, with executors that die meanwhile: nothing is lost by it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from contracts.facts import JobSigned, LogKey, Record
from services.audit import checks as audit
from services.cli.app import execute
from services.cli.commands.log import audit_task
from services.cli.common import Exit
from services.keys.files import KeyFolder
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

WORK = {"type": "work", "input": {"ms": 5}}
OVERLAP_S = 3.0


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[System]:
    overlap = {"METAMCP_EXECUTOR_PERMIT_OVERLAP_S": str(OVERLAP_S)}
    async with system(tmp_path, {"one": 8}, executors=2, **overlap) as running:
        yield running


async def jwks(one: System) -> dict[str, jwt.PyJWK]:
    """The public keys, as a host gets them."""
    found = (await one.get("/.well-known/jwks.json")).json()["keys"]
    return {str(key["kid"]): jwt.PyJWK(key) for key in found}


async def only_key(one: System) -> str:
    """The key before any change."""
    keys: dict[str, jwt.PyJWK] = {}

    async def served() -> bool:
        nonlocal keys
        keys = await jwks(one)
        return bool(keys)

    await until(served)
    (kid,) = keys
    return kid


def kid(permit: str) -> str:
    return str(jwt.get_unverified_header(permit)["kid"])


def signed(records: list[Record]) -> list[tuple[Record, str]]:
    return [(r, r.fact.permit) for r in records if isinstance(r.fact, JobSigned)]


def announced(records: list[Record]) -> dict[str, tuple[Record, LogKey]]:
    return {r.fact.kid: (r, r.fact) for r in records if isinstance(r.fact, LogKey)}


@pytest.mark.long
async def test_a_key_is_replaced_while_tasks_run_and_executors_die(one: System) -> None:
    tasks = [await one.submit(**WORK)]
    old = await only_key(one)

    rotate = ["keys", "rotate", "--data", str(one.running.data)]
    assert await asyncio.to_thread(execute, rotate) == Exit.OK
    made = KeyFolder(one.running.data).look().next
    assert made is not None
    one.running.kill("executor")
    killed: list[int] = []

    async def signs() -> bool:
        tasks.append(await one.submit(**WORK))
        newest = await one.facts()
        if made.kid in announced(newest) and not killed:
            # The first one may have announced the key before it died, and be starting still.
            with contextlib.suppress(KeyError):
                killed.extend(one.running.kill("executor"))
        return any(kid(permit) == made.kid for _, permit in signed(newest))

    await until(signs, every=0.2)
    assert killed, "nobody died between the announcement and the change"
    records = await one.all_done(tasks)

    known = announced(records)
    assert set(known) == {old, made.kid}
    assert known[made.kid][1].replaces == old
    first = min(r.at for r, permit in signed(records) if kid(permit) == made.kid)
    assert first >= known[made.kid][0].at + OVERLAP_S

    keys = await jwks(one)
    assert set(keys) == {old, made.kid}, "old permits may still be under way"
    for record, permit in signed(records):
        assert record.seq > known[kid(permit)][0].seq
        assert isinstance(record.fact, JobSigned)
        verified(permit, keys, record.fact)
    async with one.log() as log:
        for task in tasks:
            checks = await audit_task(log, task)
            assert audit.passed(checks), checks


def verified(permit: str, keys: dict[str, jwt.PyJWK], fact: JobSigned) -> dict[str, Any]:
    """Checked as a host would, but for the time: the attempt is over."""
    key = keys[kid(permit)]
    claims: dict[str, Any] = jwt.decode(
        permit,
        key,
        algorithms=[key.algorithm_name],
        audience=fact.host,
        issuer="metamcp",
        options={"verify_exp": False},
    )
    assert claims["jti"] == f"{fact.task}.{fact.attempt}"
    assert claims["input_sha256"] == fact.input_sha256
    return claims


async def test_the_setting_changes_the_kind_of_key_at_the_next_start(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 8}, real=False) as first:
        old = await only_key(first)
        tasks = [await first.submit(**WORK)]
        await first.finished(tasks[0])
    settings = {
        "METAMCP_EXECUTOR_PERMIT_ALGORITHM": "EdDSA",
        "METAMCP_EXECUTOR_PERMIT_OVERLAP_S": "1",
    }
    async with system(tmp_path, {"one": 8}, real=False, **settings) as second:
        permits: dict[str, str] = {}

        async def changed() -> bool:
            nonlocal permits
            tasks.append(await second.submit(**WORK))
            await second.finished(tasks[-1])
            permits = {kid(permit): permit for _, permit in signed(await second.facts())}
            return len(permits) == 2

        await until(changed)
        keys = await jwks(second)
        assert set(keys) == set(permits)
        assert {key.algorithm_name for key in keys.values()} == {"RS256", "EdDSA"}
        assert keys[old].algorithm_name == "RS256"
        async with second.log() as log:
            for task in (tasks[0], tasks[-1]):
                assert audit.passed(await audit_task(log, task))
