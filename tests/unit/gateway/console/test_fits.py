"""The console decides by itself which tasks fit a filter, as the API does: both are asked."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from contracts.facts import AnyFact, Outcome
from contracts.tags import TaskTagged
from contracts.task import TaskSpec
from services.gateway.console.assets import WEB
from services.process.ids import new_id
from tests.support import facts as make
from tests.support.node import node
from tests.unit.gateway.world import World

TAGS = ({}, {"env": "prod"}, {"env": "test", "team": "a=b"}, {"prod": ""})
ENDS = (None, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)
PARTS = (
    *("status=failed", "status=failed&status=pending&status=running", "type=scan.Deep"),
    *("host=h1", "tag=env", "tag=env%3Dprod", "tag=env&tag=team%3Da%3Db", "tag=env%3D"),
    *("text=DEEP", "text=t1", "batch=b1", "created_after={middle}", "created_before={middle}"),
    *("ended_after={middle}", "ended_before={middle}", "longer_s=0.001", "shorter_s=60s"),
)


def story() -> list[AnyFact]:
    """Tasks of all sorts."""
    found: list[AnyFact] = []
    for number, (tags, end) in enumerate(itertools.product(TAGS, ENDS)):
        task = f"t{number}"
        type_ = ("scan.Deep", "parse")[number % 2]
        spec = TaskSpec(type=type_, tags=tags, batch="b1" if number % 3 == 0 else None)
        found.append(make.created("alice", task, spec=spec))
        if number % 3:
            found.append(make.routed("alice", task, host=("h1", "h2")[number % 2]))
            found.append(make.signed("alice", task, host=("h1", "h2")[number % 2]))
        if end is not None:
            found.append(make.done("alice", task, end))
    known: dict[str, Any] = {"id": new_id(), "by": "test", "user": "alice", "task": "t2"}
    return [*found, TaskTagged(**known, k=1, tags={"env": "prod"})]


def decided(given: dict[str, Any]) -> Any:
    """What the console's modules say."""
    ran = subprocess.run(
        [node(), str(Path(__file__).with_name("fits.mjs")), str(WEB)],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr.decode()
    return json.loads(ran.stdout)


async def listed(http: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    """All pages."""
    rows: list[dict[str, Any]] = []
    cursor: Any = ""
    while cursor is not None:
        answer = await http.get(f"/api/tasks?limit=50&{query}{cursor}")
        assert answer.status_code == 200, answer.text
        rows += answer.json()["data"]
        after = answer.json().get("next_cursor")
        cursor = None if after is None else f"&cursor={after}"
    return rows


async def test_both_say_the_same_of_every_filter(gateway: World) -> None:
    await gateway.append(*story())
    await gateway.settled()
    await gateway.site.parts.caught_up()
    async with gateway.http() as http:
        rows = await listed(http, "")
        middle = rows[len(rows) // 2]["created_at"]
        alone = [part.format(middle=middle) for part in PARTS]
        queries = [*alone, *(f"{one}&{other}" for one, other in itertools.pairwise(alone))]
        given = {"rows": rows, "queries": [*queries, "status=odd&longer_s=long"], "now": middle}
        said = await asyncio.to_thread(decided, given)
        *told, odd = said["told"]
        for query, one in zip(queries, told, strict=True):
            assert one["wrong"] == [], query
            assert one["ids"] == [row["id"] for row in await listed(http, one["asked"])], query
    assert len({len(one["ids"]) for one in told}) > 5
    assert odd["wrong"] == ["status: odd", "longer than: long"]
    assert len(odd["ids"]) == len(rows)
    assert said["spans"] == [90, 300, 7200, 129600, None, None, None]
    assert said["moments"] == [middle - 7200, 1_700_000_000, 1_798_135_200, None]
    assert said["places"] == [0, 1, 1, 2]
