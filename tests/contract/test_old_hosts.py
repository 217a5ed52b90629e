"""A log of an earlier release on a real server: it is read, taken over, and never written so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts import roles, subjects
from contracts.facts import McpHealth, McpPreferred, McpRegistered, McpRemoved, encode
from contracts.host import COMMAND, HealthStatus, Host, StreamableHttp
from services.bus.bus import PermissionDenied
from services.log import jetstream
from services.log.jetstream import NatsLog
from services.log.port import LogMismatch
from services.up import nats_config
from services.up.nats_config import OPERATOR
from tests.histories.test_histories import RELEASES
from tests.histories.views import lines
from tests.support.nats import NatsServer
from tests.unit.registry.test_actor import running

HELD = (*(one for one in subjects.WRITTEN if not one.startswith("mcp.")), *roles.EARLIER)
"""What a stream of release 0.3 holds."""


def spec(id_: str, owner: str | None) -> Host:
    endpoint = StreamableHttp("https://tools.example.com/mcp")
    return Host(id=id_, name=id_, owner=owner, source=COMMAND, endpoint=endpoint, enabled=False)


def registered(id_: str, owner: str | None) -> McpRegistered:
    return McpRegistered(id=f"r-{id_}", by="registry-1", host=id_, k=1, spec=spec(id_, owner))


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An earlier release's permissions and stream, until it is undone."""
    for role in ("registry", "gateway"):
        old = nats_config.permissions(role)
        publish = (*old.publish, *roles.EARLIER)
        monkeypatch.setitem(
            nats_config._PERMISSIONS,  # type: ignore[arg-type]
            role,
            msgspec.structs.replace(old, publish=publish),
        )
    stream = jetstream.STREAM_CONFIG | {"subjects": list(HELD)}
    monkeypatch.setattr(jetstream, "STREAM_CONFIG", stream)
    yield monkeypatch
    monkeypatch.undo()


(GOLDEN,) = (one for one in RELEASES if one.name == "0.3.0")
"""The last release whose hosts had no owners in their ids."""
HEALTH = McpHealth(id="h", by="registry-1", host="hers", k=1, status=HealthStatus.WARNING)
SAID = McpPreferred(id="p", by="gateway-1", user="alice", host="ops", k=1, weight=0.25)


async def written_earlier(server: NatsServer) -> None:
    """The hosts of 0.3.0's golden log, a user's, and one of the operator's that a user likes."""
    async with server.connected("registry") as bus:
        for line in lines(GOLDEN / "log.jsonl"):
            if line.subject.startswith("mcp.") and ".preferred." not in line.subject:
                await bus.request(line.subject, bytes(line.fact))
        await bus.request("mcp.registered.hers.1", encode(registered("hers", "alice")))
        await bus.request("mcp.health.hers.1", encode(HEALTH))
        await bus.request("mcp.registered.ops.1", encode(registered("ops", None)))
    async with server.connected("gateway") as bus:
        await bus.request("mcp.preferred.alice.ops.1", encode(SAID))


async def taken_over(log: NatsLog, folder: Path) -> None:
    """A registry of today gives the user's host its id, once."""
    async with running(log, folder / "registry.sqlite") as registry:  # type: ignore[arg-type]
        specs = {name: known.spec for name, known in registry.hosts.items()}
        assert specs["hers"] is None
        hers = msgspec.structs.replace(spec("hers", "alice"), id="alice/hers")
        assert specs["alice/hers"] == hers
        assert registry.hosts["alice/hers"].status is HealthStatus.WARNING
        assert specs["ops"] == spec("ops", None)
    found = await log.read(("mcp.*.alice.hers.*", "mcp.*.-.hers.*", "mcp.*.hers.*"))
    assert [type(record.fact) for record in found] == [
        *(McpRegistered, McpHealth),
        *(McpRegistered, McpHealth, McpRemoved),
    ]
    seqs = [record.seq for record in found[2:]]
    assert seqs == list(range(seqs[0], seqs[0] + 3)), "in one go"
    head = await log.head()
    async with running(log, folder / "anew.sqlite") as again:  # type: ignore[arg-type]
        assert again.hosts["alice/hers"].registered_k == 1
    assert await log.head() == head


async def counted_on(log: NatsLog) -> None:
    """What was said to an earlier release holds, and is counted on."""
    new, old = subjects.preferences("alice", "ops")
    last = await log.last(old)
    assert await log.last(new) is None
    assert last is not None
    assert last.fact == SAID
    await log.append(msgspec.structs.replace(SAID, id="p2", k=2, weight=None))
    last = await log.last(new)
    assert last is not None
    assert last.subject == "mcp.preferred.alice.-.ops.2"


async def test_a_log_of_an_earlier_release_goes_on(
    tmp_path: Path, earlier: pytest.MonkeyPatch
) -> None:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    await written_earlier(server)
    await server.stop()
    earlier.undo()

    await server.start(provision=False)
    try:
        async with server.connected("registry") as bus:
            with pytest.raises(LogMismatch, match="configured as a log"):
                await NatsLog.open(bus)
        async with server.connected(OPERATOR) as operator:
            await jetstream.provision(operator)
        async with server.connected("registry") as bus, server.connected("gateway") as gateway:
            for one, filters in ((bus, roles.EARLIER[:3]), (gateway, roles.EARLIER[3:])):
                for filter_ in filters:
                    with pytest.raises(PermissionDenied):
                        await one.request(filter_.replace("*", "x"), b"{}", timeout=2)
            async with await NatsLog.open(bus) as log:
                await taken_over(log, tmp_path)
            async with await NatsLog.open(gateway) as log:
                await counted_on(log)
    finally:
        await server.stop()
