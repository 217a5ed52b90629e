"""The operator's way out: what is an abuser's is listed, disabled, deleted and revoked, timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import httpx

from tests.support.apart import ACT_S, User, World

COMMAND_S = 30.0
"""A command has to start first, which takes long where all processors are at work."""


class Act(NamedTuple):
    """Something that the operator did."""

    name: str
    ok: bool
    """It was answered, and took effect."""
    seconds: float
    said: str
    """What went wrong; empty: nothing."""


async def acted(
    name: str,
    ask: Callable[[], Awaitable[httpx.Response]],
    effect: Callable[[httpx.Response], bool],
) -> Act:
    """Do one thing, and look whether it was done."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(ACT_S):
            answer = await ask()
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        return Act(name, False, time.perf_counter() - began, type(error).__name__)
    seconds = time.perf_counter() - began
    good = effect(answer)
    return Act(name, good, seconds, "" if good else f"{answer.status_code} {answer.text[:200]}")


def data_of(answer: httpx.Response) -> Any:
    """What an answer carries; None if it is a refusal."""
    return answer.json()["data"] if answer.status_code < 300 else None


async def way_out(
    world: World, abuser: User, hosts: Iterable[str], blobs: Iterable[str] = ()
) -> list[Act]:
    """List, disable, delete and revoke what is the abuser's, by HTTP, as the operator.

    `hosts` are ids: all are disabled, the first is taken away too. `blobs` are digests.
    """
    admin, hosts = world.admin, list(hosts)

    async def do(
        name: str, method: str, path: str, effect: Callable[[httpx.Response], bool], **query: str
    ) -> Act:
        return await acted(name, lambda: admin.request(method, path, params=query), effect)

    def gone(answer: httpx.Response) -> bool:
        return answer.status_code in (200, 204)

    def disabled(answer: httpx.Response) -> bool:
        return (data_of(answer) or {}).get("enabled") is False

    def listed(ids: set[str]) -> Callable[[httpx.Response], bool]:
        return lambda answer: ids <= {one["id"] for one in data_of(answer) or ()}

    acts = [
        await do("list hosts", "GET", "/api/mcps", listed(set(hosts))),
        await do("list tokens", "GET", "/api/tokens", listed({abuser.id}), user=abuser.name),
    ]
    for host in hosts:
        acts.append(await do("disable", "POST", f"/api/mcps/{host}/disable", disabled))
    for host in hosts[:1]:
        acts.append(await do("remove", "DELETE", f"/api/mcps/{host}", gone))
    for blob in blobs:
        acts.append(await do("delete blob", "DELETE", f"/api/blobs/{blob}", gone, user=abuser.name))
    acts.append(await do("revoke", "DELETE", f"/api/tokens/{abuser.id}", gone))
    locked = world.client(abuser.token, timeout_s=ACT_S)
    acts.append(
        await acted("be rid", lambda: locked.get("/api/mcps"), lambda a: a.status_code == 401)
    )
    return acts


async def by_command(world: World, host: str) -> Act:
    """Disable a host with `metamcp`, its start included."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *world.executable("hosts", "disable", host),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Act("disable by command", False, time.perf_counter() - began, "no end")
    seconds = time.perf_counter() - began
    good = process.returncode == 0
    said = "" if good else errors.decode()[-200:]
    return Act("disable by command", good, seconds, said)
