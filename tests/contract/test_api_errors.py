"""What JetStream refuses is told apart by its numbers, whatever the words are."""

from __future__ import annotations

import pytest

from services.bus.jetstream import ApiError, ApiReason
from services.log.port import ApiRefused, LogUnavailable
from services.log.wire import Wire
from services.store.stream import StoreError, ensure_stream
from tests.support.facts import name
from tests.support.nats import NatsServer


def test_the_reason_is_in_the_number_and_not_in_the_words() -> None:
    assert ApiError(404, 10059, "").reason is ApiReason.NOT_FOUND
    assert ApiError(400, 10052, "stream not found (10059)").reason is ApiReason.OTHER
    assert not isinstance(LogUnavailable("no answer (10059)"), ApiRefused)


async def test_a_stream_that_is_not_there_is_not_found(nats_server: NatsServer) -> None:
    async with nats_server.connected("operator") as bus:
        wire = Wire(bus)
        await wire.start()
        with pytest.raises(ApiRefused, match=r"stream not found \(10059\)") as refused:
            await wire.api("$JS.API.STREAM.INFO.NOPE")
        assert (refused.value.reason, refused.value.code) == (ApiReason.NOT_FOUND, 10059)


async def test_a_store_makes_what_is_not_there_and_says_what_else_is_wrong(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("operator") as bus:
        own = name("S")
        config = {"name": own, "subjects": [f"{own}.*"], "storage": "memory"}
        await ensure_stream(bus, config)
        await ensure_stream(bus, config)
        with pytest.raises(StoreError) as refused:
            await ensure_stream(bus, config | {"storage": "file"})
        assert refused.value.reason is ApiReason.OTHER
        assert refused.value.code
