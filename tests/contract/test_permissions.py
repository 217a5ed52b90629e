"""Who may do what on a real server with the generated accounts: what is not listed is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from contracts import roles, subjects
from contracts.errors import Rejected
from contracts.facts import AnyFact
from contracts.publisher import Publisher
from services.bus.bus import Bus, NoResponders, PermissionDenied
from services.bus.names import replay_consumers
from services.up import nats_config
from services.up.nats_config import AUDITOR, OPERATOR, ROLES
from tests.support.nats import NatsServer

ROOT = Path(__file__).parents[2]
STREAM = subjects.STREAM
MANAGEMENT = (
    f"STREAM.CREATE.{STREAM}",
    f"STREAM.UPDATE.{STREAM}",
    f"CONSUMER.CREATE.{STREAM}.mine",
    f"CONSUMER.DURABLE.CREATE.{STREAM}.mine",
    "STREAM.CREATE.MINE",
    "STREAM.NAMES",
)
DESTRUCTION = (
    f"STREAM.DELETE.{STREAM}",
    f"STREAM.PURGE.{STREAM}",
    f"STREAM.MSG.DELETE.{STREAM}",
    f"STREAM.SNAPSHOT.{STREAM}",
    f"STREAM.RESTORE.{STREAM}",
    f"CONSUMER.DELETE.{STREAM}.{subjects.EXECUTOR_DURABLE}",
    f"STREAM.PURGE.{subjects.BLOBS_STREAM}",
    f"STREAM.PURGE.OBJ_{subjects.BLOBS_BUCKET}",
    f"STREAM.DELETE.KV_{subjects.LEASES_BUCKET}",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server of this module alone: its log gets things that are no facts."""
    folder = tmp_path_factory.mktemp("permissions")
    server = NatsServer(folder / "data", publishers=("publisher", "other"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def operator(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected(OPERATOR) as bus:
        yield bus


@pytest.fixture
async def gateway(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected("gateway") as bus:
        yield bus


@pytest.fixture
async def publisher(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected("publisher") as bus:
        yield bus


async def api(bus: Bus, what: str, **payload: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        await bus.request(f"{bus.api}.{what}", json.dumps(payload).encode(), timeout=2)
    )
    return answer


async def stored(operator: Bus) -> tuple[int, int]:
    """Last sequences of the log and of the intake."""
    infos = [await api(operator, f"STREAM.INFO.{name}") for name in (STREAM, "INTAKE")]
    return infos[0]["state"]["last_seq"], infos[1]["state"]["last_seq"]


async def refused(bus: Bus, subject: str) -> bool:
    """Whether the server refuses to take a message on this subject from this user."""
    try:
        await bus.request_message(subject, b"{}", timeout=2)
    except PermissionDenied:
        return True
    except NoResponders:
        # It was taken, and no stream is there to store it.
        return False
    return False


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_appends_its_own_facts_and_no_others(server: NatsServer, role: str) -> None:
    async with server.connected(role) as bus:
        mine = {
            filter_
            for filter_ in subjects.LOG_SUBJECTS
            if not await refused(bus, filter_.replace("*", f"X-{role}"))
        }
    assert mine == set(roles.WRITES.get(role, ()))


def test_every_fact_of_the_log_has_a_writer() -> None:
    tags = {member.__struct_config__.tag for member in get_args(AnyFact)}
    assert {".".join(filter_.split(".")[:2]) for filter_ in subjects.LOG_SUBJECTS} == tags


@pytest.mark.parametrize("role", [*roles.SERVICES, AUDITOR])
async def test_no_service_manages_streams_or_consumers(server: NatsServer, role: str) -> None:
    others = (replay_consumers(one)[0] for one in roles.SERVICES if one != role)
    async with server.connected(role) as bus:
        verbs = ("CREATE", "DELETE", "MSG.NEXT")
        theirs = (f"CONSUMER.{verb}.{STREAM}.{name}" for name in others for verb in verbs)
        every = (*MANAGEMENT, *DESTRUCTION, *theirs)
        assert [what for what in every if not await refused(bus, f"$JS.API.{what}")] == []


async def test_not_even_the_operator_purges_or_deletes(operator: Bus) -> None:
    assert [w for w in DESTRUCTION if not await refused(operator, f"$JS.API.{w}")] == []


@pytest.mark.parametrize("role", [*roles.SERVICES, AUDITOR])
@pytest.mark.parametrize("subject", [">", "task.>", "_INBOX.>", "_INBOX_operator.>", "intake.>"])
async def test_nobody_overhears_what_is_not_theirs(
    server: NatsServer, role: str, subject: str
) -> None:
    async with server.connected(role) as bus:
        with pytest.raises(PermissionDenied):
            await bus.subscribe(subject, print)


@pytest.mark.parametrize("role", [*roles.SERVICES, AUDITOR])
async def test_everybody_reads_the_log_and_follows_it(server: NatsServer, role: str) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    subject = f"task.created.reader.{role}"
    async with server.connected(role) as bus, server.connected("gateway") as gateway:
        await bus.subscribe("live.>", lambda message: seen.put_nowait(message.subject))
        await gateway.request(subject, b"{}")
        async with asyncio.timeout(2):
            assert await seen.get() == f"live.{subject}"
        assert (await api(bus, f"STREAM.INFO.{STREAM}"))["config"]["name"] == STREAM
        query = json.dumps({"last_by_subj": subject}).encode()
        answer = await bus.request_message(f"{bus.api}.DIRECT.GET.{STREAM}", query)
        assert (answer.headers or {})["Nats-Subject"] == subject
        led = json.loads(await bus.request(f"{bus.api}.STREAM.MSG.GET.{STREAM}", query))
        assert led["message"]["subject"] == subject


@pytest.mark.parametrize("role", [*roles.SERVICES, AUDITOR])
def test_the_leader_is_asked_by_those_alone_who_read_the_whole_stream(role: str) -> None:
    may = nats_config.permissions(role).publish
    led = {one.rpartition(".")[2] for one in may if ".STREAM.MSG.GET." in one}
    read = {one.split(".DIRECT.GET.")[1] for one in may if ".DIRECT.GET." in one}
    assert led == {stream for stream in read if f"{stream}.>" in read}


async def test_the_auditor_reads_in_batches(server: NatsServer, gateway: Bus) -> None:
    for number in range(299):
        await gateway.publish(f"task.created.batch.t{number}", b"{}")
    await gateway.request("task.created.batch.last", b"{}")
    got: asyncio.Queue[str] = asyncio.Queue()
    async with server.connected(AUDITOR) as auditor:
        inbox = auditor.nc.new_inbox()
        await auditor.subscribe(
            inbox, lambda message: got.put_nowait((message.headers or {}).get("Status", "fact"))
        )
        query = {"seq": 1, "next_by_subj": "task.created.batch.*", "batch": 1000}
        await auditor.publish(
            f"{auditor.api}.DIRECT.GET.{STREAM}", json.dumps(query).encode(), reply=inbox
        )
        async with asyncio.timeout(30):
            statuses = [await got.get() for _ in range(301)]
    assert statuses == ["fact"] * 300 + ["204"]


async def test_the_auditor_writes_nothing_by_naming_a_log_subject_as_reply(
    server: NatsServer, operator: Bus
) -> None:
    before = await stored(operator)
    async with server.connected(AUDITOR) as auditor:
        for what in ("STREAM.INFO", "DIRECT.GET", "STREAM.MSG.GET"):
            subject = f"{auditor.api}.{what}.{STREAM}"
            await auditor.publish(subject, b'{"seq":1}', reply="job.done.victim.t9.end")
        # Answered after those two.
        await api(auditor, f"STREAM.INFO.{STREAM}")
    assert await stored(operator) == before


@pytest.mark.parametrize("role", roles.SERVICES)
async def test_only_its_worker_pulls_from_a_durable(server: NatsServer, role: str) -> None:
    pulls = {
        "executor": f"$JS.API.CONSUMER.INFO.{STREAM}.{subjects.EXECUTOR_DURABLE}",
        "gateway": f"$JS.API.CONSUMER.INFO.INTAKE.{subjects.INTAKE_DURABLE}",
    }
    async with server.connected(role) as bus:
        allowed = {owner for owner, subject in pulls.items() if not await refused(bus, subject)}
    assert allowed == {role} & set(pulls)


@pytest.mark.parametrize("role", roles.SERVICES)
async def test_leases_are_the_routers_and_blobs_not_everyones(
    server: NatsServer, role: str
) -> None:
    async with server.connected(role) as bus:
        lease = not await refused(bus, f"$KV.{subjects.LEASES_BUCKET}.router")
        copy = not await refused(bus, f"$KV.{subjects.VIEWS_BUCKET}.router.0-63")
        blobs = not await refused(bus, "blob.chunk.permissions.0")
        earlier = not await refused(bus, f"$O.{subjects.BLOBS_BUCKET}.C.permissions")
    assert lease == copy == (role == "router")
    assert earlier == (role == "results")
    assert blobs == (role in ("gateway", "executor", "results"))


async def test_the_server_writes_to_disk_before_it_acknowledges(server: NatsServer) -> None:
    async with server.connected(nats_config.SYSTEM) as system:
        answer = json.loads(await system.request("$SYS.REQ.SERVER.PING.VARZ"))
    assert answer["data"]["jetstream"]["config"]["sync_always"] is True
    assert answer["data"]["max_payload"] == nats_config.MAX_PAYLOAD


async def test_a_task_published_from_outside_is_captured(publisher: Bus, operator: Bus) -> None:
    _, intake = await stored(operator)
    answer = json.loads(await publisher.request("task.created", b'{"type":"x"}'))
    assert answer == {"stream": "INTAKE", "seq": intake + 1}
    query = json.dumps({"seq": intake + 1}).encode()
    info = await api(operator, "STREAM.INFO.INTAKE", subjects_filter=">")
    assert info["state"]["subjects"]["intake.publisher.created.publisher"] >= 1, query


async def test_a_publisher_asks_the_gateway_under_its_own_name(
    publisher: Bus, gateway: Bus
) -> None:
    async def answer(message: Any) -> None:
        await message.respond(message.subject.encode())

    await gateway.subscribe("submit.*.*", answer)
    assert await publisher.request("metamcp.tasks.submit", b"{}") == b"submit.publisher.publisher"


async def test_a_publisher_follows_its_own_facts_only(
    server: NatsServer, publisher: Bus, gateway: Bus
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    for subject in ("task.>", "job.>", "progress.>", "intake.>", "live.>", "result.>"):
        await publisher.subscribe(subject, lambda message: seen.put_nowait(message.subject))
    async with server.connected("executor") as executor:
        for user in ("other", "publisher"):
            await gateway.request(f"task.created.{user}.f1", b"{}")
            await executor.request(f"job.signed.{user}.f1.1", b"{}")
            await executor.publish(f"progress.{user}.f1", b"{}")
            await executor.request(f"job.done.{user}.f1.end", b"{}")
            await gateway.publish(f"live.intake.error.{user}", b"{}")
    async with asyncio.timeout(2):
        got = {await seen.get() for _ in range(5)}
    assert got == {
        "task.created.f1",
        "job.signed.f1.1",
        "progress.f1",
        "job.done.f1.end",
        "intake.error",
    }
    assert seen.empty()


REPLIES = (
    "job.done.victim.t1.end",
    "task.created.victim.t1",
    "live.job.done.victim.t1.end",
    "live.intake.error.other",
    "progress.victim.t1",
    "intake.victim.created",
    "intake.victim.created.publisher",
    "submit.victim",
    "submit.victim.publisher",
    "cmd.registry.register",
    "$JS.API.STREAM.PURGE.METAMCP",
)


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("subject", ["task.created", "metamcp.tasks.submit"])
async def test_a_publishers_reply_subject_stays_in_its_own_account(
    publisher: Bus, gateway: Bus, operator: Bus, subject: str, reply: str
) -> None:
    seen = await _overhear(gateway)
    log, intake = await stored(operator)
    await publisher.publish(subject, b"{}", reply=reply)
    await publisher.request("metamcp.tasks.submit", b"last")
    assert await stored(operator) == (log, intake + (subject == "task.created"))
    assert [entry for entry in seen if not entry.startswith("submit.publisher")] == []


async def test_a_publisher_reaches_nothing_else_of_ours(
    publisher: Bus, gateway: Bus, operator: Bus
) -> None:
    seen = await _overhear(gateway)
    before = await stored(operator)
    for subject in REPLIES:
        await publisher.publish(subject, b"{}")
    await publisher.request("metamcp.tasks.submit", b"last")
    assert await stored(operator) == before
    assert seen == ["submit.publisher.publisher"]


@pytest.mark.parametrize(
    "what", ["STREAM.INFO.METAMCP", "STREAM.MSG.GET.METAMCP", "DIRECT.GET.METAMCP", "STREAM.NAMES"]
)
async def test_a_publisher_has_no_jetstream(publisher: Bus, what: str) -> None:
    try:
        answer = json.loads(await publisher.request(f"$JS.API.{what}", b'{"seq":1}'))
    except NoResponders:
        return
    assert answer["error"]["description"] == "JetStream not enabled for account"


async def test_one_publisher_does_not_see_the_other(server: NatsServer, publisher: Bus) -> None:
    seen: list[str] = []
    async with server.connected("other") as other:
        await other.subscribe(">", lambda message: seen.append(message.subject))
        await publisher.publish("task.created", b"{}")
        await publisher.publish("job.done.t1.end", b"{}")
        await publisher.flush()
        await other.flush()
    assert [subject for subject in seen if not subject.startswith("_INBOX")] == []


async def _overhear(gateway: Bus) -> list[str]:
    """All that reaches the gateway from now on; it answers what is asked of it."""
    seen: list[str] = []

    async def note(message: Any) -> None:
        seen.append(message.subject)
        if message.reply:
            await message.respond(b"{}")

    for subject in ("live.>", "submit.*", "submit.*.*", "progress.*.*", "cmd.gateway.>"):
        await gateway.subscribe(subject, note)
    return seen


@pytest.mark.parametrize("name", [OPERATOR, "gateway", nats_config.SYSTEM])
def test_a_publisher_may_not_be_called_like_a_role(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*is taken"):
        nats_config.users((Publisher(name, name),))


@pytest.mark.parametrize("name", ["-", "a.b", "", "a b"])
def test_a_publisher_has_the_name_of_a_user(name: str) -> None:
    with pytest.raises(Rejected, match="publisher"):
        nats_config.users((Publisher(name, name),))


def test_the_example_configuration_is_the_generated_one() -> None:
    assert (ROOT / "deploy/nats/metamcp.conf").read_text() == nats_config.example()


def test_the_security_page_says_who_writes_what() -> None:
    page = (ROOT / "docs/security.md").read_text()
    for role, facts in roles.WRITES.items():
        row = f"| {role} | " + ", ".join(f"`{fact}`" for fact in facts) + " |"
        assert row in page
