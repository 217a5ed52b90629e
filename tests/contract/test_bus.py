"""One service's connection on a real server: answers, refusals, denials, crashes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from contracts.errors import Reason, Rejected
from services.bus.bus import (
    Bus,
    BusTimeout,
    ConnectFailed,
    Credentials,
    Disconnected,
    NoResponders,
    PermissionDenied,
    read_credentials,
)
from services.up.nats_server import Embedded
from tests.support.nats import NatsServer


async def test_wrong_credentials_fail_at_once(nats_server: NatsServer) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(ConnectFailed, match="refuses these credentials"):
            await Bus.connect(nats_server.url, name="x", credentials=Credentials("gateway", "no"))


async def test_nobody_at_the_address_is_said_after_the_wait() -> None:
    with pytest.raises(ConnectFailed, match=r"No NATS server answers at nats://127\.0\.0\.1:9 "):
        await Bus.connect("nats://u:secret@127.0.0.1:9", name="x", wait=0.2)


async def test_a_server_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        url, credentials = server.url, server.credentials("router")
    connecting = asyncio.create_task(Bus.connect(url, name="early", credentials=credentials))
    async with Embedded(tmp_path):
        bus = await connecting
        assert bus.connected
        await bus.close()


def test_unreadable_credentials_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConnectFailed, match=r"x\.json"):
        read_credentials(tmp_path / "x.json")


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Credentials("u", "hunter2"))


async def test_a_service_answers_refuses_and_fails(nats_server: NatsServer) -> None:
    async def echo(data: bytes) -> bytes:
        return data.upper()

    async def refuse(data: bytes) -> bytes:
        raise Rejected(Reason.NOT_FOUND, "kein Gerät ✗")

    async def fail(data: bytes) -> bytes:
        raise ZeroDivisionError(data)

    handlers = {"echo": echo, "refuse": refuse, "fail": fail}
    async with nats_server.connected("registry") as registry:
        await registry.serve("registry", "1.0.0", handlers)
        async with nats_server.connected("gateway") as gateway:
            assert await gateway.request("cmd.registry.echo", b"abc") == b"ABC"
            with pytest.raises(Rejected) as refusal:
                await gateway.request("cmd.registry.refuse")
            assert (refusal.value.reason, refusal.value.message) == (
                Reason.NOT_FOUND,
                "kein Gerät ✗",
            )
            with pytest.raises(Rejected) as failure:
                await gateway.request("cmd.registry.fail")
            assert failure.value.reason == Reason.INTERNAL
        async with nats_server.connected("operator") as operator:
            found = json.loads(await operator.request("$SRV.INFO.registry"))
    assert {endpoint["name"] for endpoint in found["endpoints"]} == set(handlers)


async def test_a_slow_request_holds_up_no_other(nats_server: NatsServer) -> None:
    release = asyncio.Event()

    async def handle(data: bytes) -> bytes:
        if data == b"slow":
            await release.wait()
        return data

    async with (
        nats_server.connected("results") as results,
        nats_server.connected("gateway") as gateway,
    ):
        await results.serve("results", "1.0.0", {"get": handle})
        slow = asyncio.create_task(gateway.request("cmd.results.get", b"slow"))
        assert await gateway.request("cmd.results.get", b"fast", timeout=2) == b"fast"
        assert not slow.done()
        release.set()
        assert await slow == b"slow"


async def test_nobody_there_and_no_answer_are_told_apart(nats_server: NatsServer) -> None:
    async with (
        nats_server.connected("router") as router,
        nats_server.connected("gateway") as gateway,
    ):
        with pytest.raises(NoResponders, match=r"cmd\.router\.why"):
            await gateway.request("cmd.router.why")
        await router.subscribe("cmd.router.why", lambda message: None)
        with pytest.raises(BusTimeout):
            await gateway.request("cmd.router.why", timeout=0.1)


async def test_a_denial_wakes_whoever_waits(nats_server: NatsServer) -> None:
    heard: list[str] = []
    async with nats_server.connected("results") as bus:
        bus.on_denied.append(lambda subject, error: heard.append(subject))
        with pytest.raises(PermissionDenied, match=r"task\.created\.Ann\.T1"):
            await bus.request("task.created.Ann.T1", timeout=30)
        assert heard == ["task.created.Ann.T1"]
        with pytest.raises(PermissionDenied):
            await bus.publish("task.created.Ann.T1")
        await bus.publish("task.created.ann.t1")
        with pytest.raises(PermissionDenied, match=r"task\.created\.ann\.T1"):
            await bus.request("task.created.ann.T1", timeout=30)
        assert bus.connected


async def test_a_denied_subscription_says_so(nats_server: NatsServer) -> None:
    async with nats_server.connected("results") as bus:
        with pytest.raises(PermissionDenied):
            await bus.subscribe("submit.*", print)
        with pytest.raises(PermissionDenied):
            await bus.subscribe("cmd.registry.x", print)


async def test_a_failing_callback_does_not_stop_the_next_message(nats_server: NatsServer) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    def callback(message: object) -> None:
        data: bytes = getattr(message, "data", b"")
        got.put_nowait(data)
        raise RuntimeError("no")

    async with (
        nats_server.connected("executor") as executor,
        nats_server.connected("router") as router,
    ):
        await router.subscribe("beat.executor.*", callback)
        for number in (b"1", b"2"):
            await executor.publish("beat.executor.fails", number)
        async with asyncio.timeout(2):
            assert [await got.get(), await got.get()] == [b"1", b"2"]


async def test_subscriptions_services_and_hooks_survive_a_crash(fresh_nats: NatsServer) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()
    down, up = asyncio.Event(), asyncio.Event()

    async def echo(data: bytes) -> bytes:
        return data

    async with (
        fresh_nats.connected("executor") as executor,
        fresh_nats.connected("gateway") as gateway,
    ):
        await gateway.subscribe("progress.*.*", lambda message: got.put_nowait(message.data))
        await executor.serve("executor", "1.0.0", {"echo": echo})
        gateway.on_disconnected.append(down.set)

        async def reconnected() -> None:
            up.set()

        gateway.on_reconnected.append(reconnected)
        await fresh_nats.kill()
        async with asyncio.timeout(30):
            await down.wait()
            assert not gateway.connected
            with pytest.raises(Disconnected):
                await gateway.publish("cmd.executor.echo")
            await fresh_nats.embedded.start()
            await up.wait()
            await executor.wait_connected()
            await executor.publish("progress.u.t", b"after")
            assert await got.get() == b"after"
            assert await gateway.request("cmd.executor.echo", b"x") == b"x"


async def test_a_request_under_way_learns_of_the_crash(fresh_nats: NatsServer) -> None:
    asked = asyncio.Event()
    async with (
        fresh_nats.connected("router") as router,
        fresh_nats.connected("gateway") as gateway,
    ):
        await router.subscribe("cmd.router.x", lambda message: asked.set())
        asking = asyncio.create_task(gateway.request("cmd.router.x", timeout=60))
        async with asyncio.timeout(30):
            await asked.wait()
            await fresh_nats.kill()
            with pytest.raises(Disconnected):
                await asking


async def test_closing_is_bounded_when_the_server_is_frozen(fresh_nats: NatsServer) -> None:
    bus = await fresh_nats.connect("gateway")
    await bus.subscribe("live.>", print)
    await bus.serve("gateway", "1.0.0", {})
    fresh_nats.pause()
    async with asyncio.timeout(30):
        await bus.close(timeout=0.3)
    assert not bus.connected
    with pytest.raises(Disconnected):
        await bus.wait_connected()
    fresh_nats.resume()


async def test_closing_lets_a_running_request_end(nats_server: NatsServer) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def handle(data: bytes) -> bytes:
        started.set()
        await release.wait()
        return b"done"

    async with nats_server.connected("gateway") as gateway:
        registry = await nats_server.connect("registry")
        await registry.serve("registry", "1.0.0", {"slow": handle})
        asking = asyncio.create_task(gateway.request("cmd.registry.slow"))
        await started.wait()
        closing = asyncio.create_task(registry.close())
        release.set()
        assert await asking == b"done"
        await closing


async def test_what_is_too_large_is_refused_here(nats_server: NatsServer) -> None:
    async with nats_server.connected("executor") as bus:
        with pytest.raises(Rejected, match="too_large"):
            await bus.publish("progress.u.t", bytes(2 * 1024 * 1024))
        assert bus.connected


async def test_a_failing_hook_does_not_stop_the_reconnection(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus:
        bus.on_reconnected.append(lambda: 1 // 0)
        await fresh_nats.restart(bus)
        await fresh_nats.restart(bus)
        assert bus.connected


async def test_subscribing_without_a_server_fails_and_leaves_nothing(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("gateway") as bus:
        lost = asyncio.Event()
        bus.on_disconnected.append(lost.set)
        fresh_nats.pause()
        subscribing = asyncio.create_task(bus.subscribe("submit.*", print))
        await fresh_nats.kill()
        async with asyncio.timeout(30):
            with pytest.raises(Disconnected):
                await subscribing
            await lost.wait()
            with pytest.raises(Disconnected):
                await bus.flush()
        await fresh_nats.embedded.start()
        # Closed in mid-attempt, nats-py would leave that attempt's socket to the garbage collector.
        async with asyncio.timeout(30):
            await bus.wait_connected()


async def test_a_cancelled_connect_ends(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(Bus.connect("nats://127.0.0.1:9", name="x", wait=60))
    done, _ = await asyncio.wait((connecting,), timeout=0.1)
    assert not done
    connecting.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert asyncio.all_tasks() == before


async def test_a_subscription_that_is_given_up_leaves_nothing_behind(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("gateway") as bus:
        before = len(bus.nc._subs)
        fresh_nats.pause()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await bus.subscribe("_INBOX_gateway.x", lambda message: None)
        finally:
            fresh_nats.resume()
        assert len(bus.nc._subs) == before
