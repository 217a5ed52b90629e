"""A host is its owner's: nobody stands in another's place, and no permit serves at another's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from contracts.facts import JobSigned
from services.cli.commands.log import audit_task
from tests.support.http_host import HttpHost, answer, serving
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

NAME = "bob-analysis"
"""What Bob's Space is called, and what Mallory calls hers."""
WELL = {"status": "healthy", "success": True, "result": {"text": "done"}}


async def client_of(one: System, user: str) -> httpx.AsyncClient:
    made = await one.http.post(f"{one.url}/api/tokens", json={"user": user})
    token = made.json()["data"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=one.url, headers=headers, timeout=30, trust_env=False)


def entry(host: HttpHost) -> dict[str, Any]:
    return {
        "endpoint": {"kind": "execute", "url": host.url},
        "task_types": {"analyse": {"summary": "look at it"}},
    }


def permits(host: HttpHost) -> list[dict[str, Any]]:
    """The claims of the permits that came with calls."""
    bodies = [json.loads(seen.body) for seen in host.seen if seen.path == "/execute"]
    unverified = {"verify_signature": False}
    return [jwt.decode(body["signature"], options=unverified) for body in bodies]


async def registered(mallory: httpx.AsyncClient, bob: httpx.AsyncClient, *hosts: HttpHost) -> None:
    """She takes the name first; then he registers his own under it."""
    hers, his = hosts
    taken = await mallory.post(f"/api/mcps/{NAME}", json=entry(hers))
    assert (taken.status_code, taken.json()["data"]["id"]) == (201, f"mallory/{NAME}")
    refused = await mallory.post(f"/api/mcps/bob/{NAME}", json=entry(hers))
    assert refused.status_code == 403
    own = await bob.post(f"/api/mcps/{NAME}", json=entry(his))
    assert (own.status_code, own.json()["data"]["id"]) == (201, f"bob/{NAME}")

    async def healthy() -> bool:
        views = [await who.get(f"/api/mcps/{NAME}") for who in (mallory, bob)]
        # A gateway that does not know the host yet says so.
        known = [v.json()["data"] for v in views if v.status_code == 200]
        return len(known) == len(views) and all(
            host["health"]["status"] == "healthy" for host in known
        )

    await until(healthy)


async def test_who_takes_the_name_of_anothers_space_gets_neither_it_nor_its_permits(
    tmp_path: Path,
) -> None:
    async with (
        serving(answer(WELL)) as hers,
        serving(answer(WELL)) as his,
        system(tmp_path, {"one": 2}, real=False, METAMCP_ALLOW_PRIVATE_HOSTS="true") as one,
        await client_of(one, "mallory") as mallory,
        await client_of(one, "bob") as bob,
    ):
        await registered(mallory, bob, hers, his)
        tasks = {}
        for user, client in (("mallory", mallory), ("bob", bob)):
            body = {"type": "analyse", "host": NAME, "input": {"of": user}}
            sent = await client.post("/api/tasks", params={"wait": "20"}, json=body)
            assert sent.status_code in (200, 201), sent.text
            tasks[user] = sent.json()["data"]["id"]
        # By its id nobody reaches the other's either.
        pinned = {"type": "analyse", "host": f"bob/{NAME}", "input": {}}
        stolen = (await mallory.post("/api/tasks", json=pinned)).json()["data"]["id"]
        await asyncio.gather(hers.until(2), his.until(2))

        async def over() -> bool:
            found = (await mallory.get(f"/api/tasks/{stolen}")).json()["data"]
            return found["status"] in ("rejected", "failed")

        await until(over)
        async with one.log() as log:
            for user, task in tasks.items():
                checks = await audit_task(log, task, user)
                by_name = {check.name: check for check in checks}
                assert by_name["permits"].ok, by_name["permits"]
                assert by_name["routes recomputed"].ok
        signed = [r.fact for r in await one.facts() if isinstance(r.fact, JobSigned)]
        assert {(fact.user, fact.host) for fact in signed} == {
            ("mallory", f"mallory/{NAME}"),
            ("bob", f"bob/{NAME}"),
        }
        (hers_permit, *_), (his_permit, *_) = permits(hers), permits(his)
        assert (hers_permit["sub"], hers_permit["aud"]) == ("mallory", hers.url)
        assert hers_permit["host"] == f"mallory/{NAME}"
        assert (his_permit["sub"], his_permit["aud"]) == ("bob", his.url)
        assert {claims["aud"] for claims in permits(hers)} == {hers.url}, "not one for his"
