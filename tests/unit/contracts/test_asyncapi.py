"""The AsyncAPI document: current, whole, and true of what is really sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from jsonschema import Draft7Validator

from contracts import asyncapi, facts, result, subjects, wire
from contracts.errors import Reason
from contracts.route import Policy, Route
from contracts.task import TaskRequest
from services.up import nats_config
from tests.support import facts as make
from tests.support.nats import NatsServer

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = asyncapi.document()
CHANNELS, OPERATIONS = DOCUMENT["channels"], DOCUMENT["operations"]
OF_TASK = {"id": "f", "by": "x-1", "user": "u", "task": "t"}
ROUTE = Route(
    host="h",
    host_seq=3,
    basis=9,
    now=1.5,
    term=1,
    policy=Policy(1, "s"),
    input_sha256="0" * 64,
)
OF_TASKS: list[facts.TaskFact] = [
    make.created("u", "t"),
    make.cancelled("u", "t"),
    facts.TaskRouted(**OF_TASK, attempt=2, route=ROUTE),
    make.asked("u", "t", 2),
    make.answered("u", "t", 2),
    make.signed("u", "t", 2),
    make.failed("u", "t", 2),
    make.done("u", "t", result=result.inline(b'{"a":1}')),
    facts.ResultStored(**OF_TASK, pointer=result.Pointer("nats://b/u/0", "0" * 64, 7)),
    facts.ResultDeleted(**OF_TASK, reason="old"),
    make.tagged("u", "t", 2, tags={"run": "7"}),
]
REQUEST = TaskRequest(
    type="mcp.call",
    input=msgspec.Raw(b'{"tool":"echo"}'),
    id="t",
    delay_s=1.5,
    tags={"run": "7"},
    again="t0",
    batch="b",
)
EVENTS = [wire.Event(n, 1.5, msgspec.Raw(facts.encode(f))) for n, f in enumerate(OF_TASKS, 1)]
FRAMES: list[wire.ClientFrame | wire.ServerFrame] = [
    wire.ClientAuth(1, "token"),
    wire.Subscribe(2, "s", types=("job.done",), after="start", epoch="e"),
    wire.Subscribe(2, "s", to="task", task="t", after=7),
    wire.Unsubscribe(3, "s"),
    wire.Submit(4, REQUEST),
    wire.Cancel(5, "t"),
    wire.Hello(wire.PROTOCOL, "e", 9, 25, {"frame_bytes": 1}),
    wire.Ack(2, recovered=False, seq=9),
    wire.Events("s", EVENTS),
    wire.CaughtUp("s", 9),
    wire.ProgressFrame("t", 1, 0.5, None, "half"),
    wire.ErrorFrame("bad_request", "not a frame", None),
]
OTHERS = [
    REQUEST,
    wire.Progress("u", "t", 1, 0.5, 1.0),
    wire.Accepted("t", 7),
    wire.Refused(Reason.CONFLICT, "another", "t"),
]


def target(ref: str) -> Any:
    """What a reference stands for; KeyError if there is no such thing."""
    found = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def validator(name: str) -> Draft7Validator:
    payload = DOCUMENT["components"]["messages"][name]["payload"]
    return Draft7Validator({"components": DOCUMENT["components"], **payload})


def test_the_document_in_the_repository_is_current() -> None:
    assert asyncapi.PATH.read_text(encoding="utf-8") == asyncapi.render(), "run `make schema`"
    assert asyncapi.PATH == ROOT / "docs/asyncapi.json"


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    listed = set(references(DOCUMENT))
    assert all(target(ref) for ref in listed)
    for kind, parts in DOCUMENT["components"].items():
        assert {name for name in parts if f"#/components/{kind}/{name}" not in listed} == set()
    assert {name for name in CHANNELS if f"#/channels/{name}" not in listed} == set()
    assert {name for name in DOCUMENT["servers"] if f"#/servers/{name}" not in listed} == set()


def test_every_operation_carries_messages_of_its_channel() -> None:
    carried = set()
    for operation in OPERATIONS.values():
        assert operation["action"] in {"send", "receive"}
        assert operation.keys() <= {"action", "channel", "messages", "reply"}
        for part in filter(None, (operation, operation.get("reply"))):
            channel = part["channel"]["$ref"]
            assert part["messages"]
            for message in part["messages"]:
                assert message["$ref"].rpartition("/messages/")[0] == channel
                assert target(message["$ref"])["$ref"].startswith("#/components/messages/")
                carried.add(message["$ref"])
    every = {f"#/channels/{c}/messages/{m}" for c in CHANNELS for m in CHANNELS[c]["messages"]}
    assert carried == every


def test_the_parameters_of_an_address_are_described() -> None:
    for channel in CHANNELS.values():
        names = re.findall(r"{(\w+)}", channel["address"] or "")
        assert set(names) == channel.get("parameters", {}).keys()
    for server in DOCUMENT["servers"].values():
        assert set(re.findall(r"{(\w+)}", server["host"])) == server["variables"].keys()


def test_every_schema_is_one_that_asyncapi_allows() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft7Validator.check_schema(schema)
        text = json.dumps(schema)
        assert schema["description"] or schema["enum"], name
        assert not re.search(r'"(prefixItems|\$defs|discriminator|unevaluated\w+)":', text), name


def test_all_frames_and_facts_of_tasks_are_tried_here() -> None:
    assert {type(fact) for fact in OF_TASKS} == set(facts.TaskFact.__args__)
    assert {type(frame) for frame in FRAMES} == {
        *wire.ClientFrame.__args__,
        *wire.ServerFrame.__args__,
    }
    tried = {type(one).__name__ for one in (*OF_TASKS, *FRAMES, *OTHERS)}
    assert tried | {asyncapi.CONFIRMED} == DOCUMENT["components"]["messages"].keys()


@pytest.mark.parametrize("one", [*OF_TASKS, *FRAMES, *OTHERS], ids=lambda one: type(one).__name__)
def test_what_is_sent_is_what_the_document_says(one: msgspec.Struct) -> None:
    name = type(one).__name__
    sent = json.loads(msgspec.json.encode(one))
    validator(name).validate(sent)
    tag = one.__struct_config__.tag
    assert DOCUMENT["components"]["messages"][name]["name"] == (tag or name)
    for wrong in ({}, [], sent | {"op": "?", "type": 7, "task": [], "reason": ""}):
        assert not validator(name).is_valid(wrong)


def test_a_fact_inside_an_events_frame_is_checked_too() -> None:
    frame = json.loads(msgspec.json.encode(wire.Events("s", EVENTS)))
    del frame["events"][7]["event"]["outcome"]
    assert not validator("Events").is_valid(frame)


def test_a_publisher_sees_these_subjects_and_no_others() -> None:
    account = nats_config.example().partition('"PUBLISHER-publisher" {')[2]
    allowed = set(re.findall(r'to: "([^"]+)"', account))
    used = set()
    for channel in CHANNELS.values():
        if channel["servers"] == [{"$ref": "#/servers/nats"}] and channel["address"]:
            subject = re.sub(r"{\w+}", "x", channel["address"])
            mine = [one for one in allowed if subjects.matches(one, subject)]
            assert len(mine) == 1, subject
            used |= set(mine)
    assert used == allowed


@pytest.mark.parametrize("fact", OF_TASKS, ids=lambda fact: type(fact).__name__)
def test_the_address_of_a_fact_is_its_subject_without_the_user(fact: facts.TaskFact) -> None:
    numbers = ("attempt", "q", "k")
    values = {"task": fact.task} | {name: getattr(fact, name, None) for name in numbers}
    address = CHANNELS[fact.__struct_config__.tag]["address"].format_map(values)
    assert address == subjects.of(fact).replace(".u.t", ".t", 1)


async def test_jetstream_confirms_as_the_document_says(nats_server: NatsServer) -> None:
    async with nats_server.connected("publisher") as bus:
        answer = await bus.request("task.created", msgspec.json.encode(REQUEST))
    confirmed = json.loads(answer)
    validator(asyncapi.CONFIRMED).validate(confirmed)
    assert confirmed["stream"] == subjects.INTAKE_STREAM
