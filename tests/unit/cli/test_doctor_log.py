"""What the doctor says of secrets in the log of an older release."""

from __future__ import annotations

import pytest

from contracts.facts import McpRegistered, McpRemoved
from contracts.host import Host, Stdio, StreamableHttp
from services.cli.commands.doctor_log import found, records, spotted
from services.log.memory import MemoryLog
from services.process.ids import new_id

SECRET = Stdio("npx", ("-y", "x", "--api-key", "hunter22"))
CLEAN = Stdio("npx", ("-y", "x", "--api-key", "{secret:X_KEY}"))


def registered(host: str, k: int, endpoint: Stdio | StreamableHttp) -> McpRegistered:
    spec = Host(id=host, name=host, endpoint=endpoint)
    return McpRegistered(id=new_id(), by="registry-1", host=host, k=k, spec=spec)


async def test_it_says_where_they_stand_and_what_to_do() -> None:
    log = MemoryLog()
    for fact in (
        registered("clean", 1, CLEAN),
        registered("now", 1, CLEAN),
        registered("now", 2, SECRET),
        registered("now", 3, SECRET),
        registered("mended", 1, SECRET),
        registered("mended", 2, CLEAN),
        registered("gone", 1, StreamableHttp("https://h.example/mcp?api_key=hunter22")),
        McpRemoved(id=new_id(), by="registry-1", host="gone", k=1),
    ):
        await log.append(fact)
    told = {one.name: one for one in found(await spotted(records(log)))}
    assert list(told) == ["secrets of now", "secrets of gone", "secrets of mended"]
    assert [one.state for one in told.values()] == ["failed", "off", "off"]
    now = told["secrets of now"]
    assert "seq 3 to 4 (2 facts): endpoint.args[3] (the name api-key)" in now.detail
    assert "{secret:NAME}" in now.hint
    assert "seq 7: endpoint.url" in told["secrets of gone"].detail
    assert all("Change it where it comes from" in one.hint for one in told.values())
    assert "hunter22" not in str(told)


@pytest.mark.parametrize("count", [100, 103])
async def test_many_are_counted(count: int) -> None:
    log = MemoryLog()
    for number in range(count):
        await log.append(registered(f"h{number}", 1, SECRET))
    told = found(await spotted(records(log)))
    assert len(told) == min(count, 101)
    assert (told[-1].detail == "and of 3 hosts more") == (count == 103)
