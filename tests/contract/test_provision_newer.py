"""Streams that a newer release has widened: an older `up` takes nothing away; services start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts import subjects
from services.bus.bus import Bus
from services.log import jetstream
from services.log.jetstream import CONSUMER_CONFIG, CONSUMERS, INTAKE_CONFIG, STREAM_CONFIG, NatsLog
from services.log.port import LogMismatch
from services.store import blobs, kv, lease
from services.store.access import access_config
from services.store.shelf import shelf_config
from tests.support.nats import NatsServer

TTL = {"allow_msg_ttl": True}
NEWER: tuple[dict[str, Any], ...] = (
    STREAM_CONFIG
    | {
        "subjects": ["task.paused.*.*.*", *subjects.LOG_SUBJECTS, "schedule.>"],
        "max_msg_size": 2 * 1024 * 1024,
        "max_age": 400 * 86_400 * 10**9,
        "metadata": {"of": "a newer release"},
        **TTL,
    },
    INTAKE_CONFIG
    | {"subjects": ["intake.>", "also.>"], "max_bytes": 2**20, "max_msgs_per_subject": 20_000},
    shelf_config() | {"subjects": [*subjects.BLOBS_SUBJECTS, "blob.tile.>"]},
    lease.bucket_config() | {"subjects": [f"$KV.{subjects.LEASES_BUCKET}.>", "lease.>"]},
    kv.accounts_config() | {"max_msg_size": 2**20, "metadata": {"of": "a newer release"}},
    access_config(None, 90) | {"subjects": [*subjects.ACCESS_SUBJECTS, "denied.>"], **TTL},
)


async def asked(bus: Bus, what: str, body: object = None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer: dict[str, Any] = json.loads(await bus.request(f"$JS.API.{what}", payload))
    assert "error" not in answer, answer
    config: dict[str, Any] = answer["config"]
    return config


async def widen(bus: Bus) -> dict[str, dict[str, Any]]:
    """What a newer release makes of streams and the executors' queue; as the server has it then."""
    found = {}
    for config in NEWER:
        name = config["name"]
        before = await asked(bus, f"STREAM.INFO.{name}")
        found[name] = await asked(bus, f"STREAM.UPDATE.{name}", before | config)
    routes = CONSUMER_CONFIG | CONSUMERS[0][1] | {"max_ack_pending": 9000}
    del routes["filter_subject"]
    routes |= {"filter_subjects": [subjects.ROUTES, "schedule.>"], "metadata": {"of": "newer"}}
    body = {"stream_name": subjects.STREAM, "config": routes}
    what = f"{subjects.STREAM}.{subjects.EXECUTOR_DURABLE}"
    found["queue"] = await asked(bus, f"CONSUMER.DURABLE.CREATE.{what}", body)
    return found


async def test_an_older_provisioning_takes_nothing_away(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("operator") as bus:
        widened = await widen(bus)
        for name, config in zip(widened, NEWER, strict=False):
            assert set(config["subjects"]) == set(widened[name]["subjects"])
        await jetstream.provision(bus)
        await blobs.provision(bus)
        for name, before in widened.items():
            queue = f"CONSUMER.INFO.{subjects.STREAM}.{subjects.EXECUTOR_DURABLE}"
            after = await asked(bus, queue if name == "queue" else f"STREAM.INFO.{name}")
            ours = {"max_bytes", "max_age"} if name != subjects.STREAM else set()
            kept = {key: value for key, value in before.items() if key not in ours}
            for key in ("subjects", "filter_subjects"):
                assert set(after.get(key, ())) == set(kept.pop(key, ()))
            metadata = kept.pop("metadata", {})
            assert metadata.items() <= after["metadata"].items()
            assert kept.items() <= after.items(), name


async def test_services_start_on_what_a_newer_release_has_widened(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("operator") as bus:
        await widen(bus)
    async with fresh_nats.connected("router") as bus, await NatsLog.open(bus) as log:
        assert await log.head() == 0


async def test_what_makes_it_the_log_is_still_as_it_must_be(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("operator") as bus:
        newer = (await widen(bus))[subjects.STREAM]
        fewer = [one for one in newer["subjects"] if one != "job.done.*.*.end"]
        spoilt = newer | {"subjects": fewer, "republish": {"src": ">", "dest": "other.>"}}
        await asked(bus, f"STREAM.UPDATE.{subjects.STREAM}", spoilt)
        with pytest.raises(LogMismatch, match=r"lack job\.done\.\*\.\*\.end; republish\.dest is"):
            await NatsLog.open(bus)
        await jetstream.provision(bus)
        after = await asked(bus, f"STREAM.INFO.{subjects.STREAM}")
    assert set(after["subjects"]) == set(newer["subjects"])
    assert {**after, "subjects": 0} == {**newer, "subjects": 0}
