"""MCP over streamable HTTP, both protocol eras, with a real server that is mistreated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import Execute, Host, Limits, StreamableHttp
from services.executor.attempt.call import HostError, Opening, Spooled
from services.executor.attempt.plan import KnownHost
from services.executor.attempt.spool import IN_MEMORY
from services.executor.hosts.kinds import open_session
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from tests.unit.executor.sessions import HTTP, HTTP_LEGACY, Bench, closing, failure
from tests.unit.executor.world import moment

BIG = 3 * IN_MEMORY


@pytest.fixture(params=[HTTP, HTTP_LEGACY])
async def http(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, request.param)
    yield bench
    await closing(bench)


async def test_an_answer_is_kept_faithfully(http: Bench) -> None:
    await http.begin()
    value = await http.open().call(http.call(text="ä\n$x"))
    assert value == {
        "content": [{"type": "text", "text": "ä\n$x"}],
        "structured": {"result": "ä\n$x"},
        "is_error": False,
    }
    (begun,) = http.written()
    assert (begun["task"], begun["attempt"]) == ("t1", 1)


async def test_the_era_is_found_out_when_discovery_has_not(http: Bench) -> None:
    await http.begin()
    value = await http.open(protocol="").call(http.call(text="hi"))
    assert isinstance(value, dict)
    assert value["structured"] == {"result": "hi"}


async def test_a_tool_error_is_one(http: Bench) -> None:
    await http.begin()
    error = await failure(http.open(), http.call("fail", message="because"))
    assert (error.kind, error.called) == (FailureKind.TOOL, True)
    assert "because" in error.message


async def test_progress_is_passed_on(http: Bench) -> None:
    await http.begin()
    await http.open().call(http.call("progress", steps=3))
    assert http.progress == [(float(n), 3.0, f"step {n}") for n in (1, 2, 3)]


async def test_a_cancelled_call_is_cancelled_at_the_server_within_a_second(http: Bench) -> None:
    await http.begin()
    session = http.open()
    running = asyncio.create_task(session.call(http.call("hang")))
    await http.until_written(1)
    running.cancel()
    async with asyncio.timeout(1.0):
        (end,) = await http.until_written(1, "end")
    assert end["how"] == "cancelled"


async def test_a_server_that_is_not_there_is_unreachable_and_found_again(http: Bench) -> None:
    await http.begin()
    await http.server.kill()
    session = http.open()
    error = await failure(session, http.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    assert "no connection" in error.message
    await http.server.start()
    await session.call(http.call())


async def test_a_server_that_is_killed_cuts_its_calls_and_serves_again(http: Bench) -> None:
    await http.begin()
    session = http.open()
    calls = [asyncio.create_task(failure(session, http.call("hang"))) for _ in range(3)]
    await http.until_written(3)
    await http.server.kill()
    for error in await asyncio.gather(*calls):
        assert (error.kind, error.called) == (FailureKind.CUT, None)
    error = await failure(session, http.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    await http.server.start()
    # A session of the 2025 era is forgotten with the process: a new one is made without a failure.
    await session.call(http.call())
    assert len([line for line in http.written() if line["tool"] == "echo"]) == 1


async def test_a_bearer_token_is_sent_and_a_wrong_one_is_refused(http: Bench) -> None:
    await http.begin(TOKEN="s3cret")
    await http.open(bearer="s3cret").call(http.call())
    error = await failure(http.open(bearer="wrong"), http.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    assert "401" in error.message
    assert "wrong" not in error.message


async def test_a_server_that_wakes_up_is_waited_for(http: Bench) -> None:
    await http.begin(BUSY="3")
    value = await http.open().call(http.call(text="awake"))
    assert isinstance(value, dict)
    assert value["structured"] == {"result": "awake"}


async def test_a_server_that_stays_busy_is_unreachable_in_the_end(http: Bench) -> None:
    await http.begin(BUSY="100000")
    async with asyncio.timeout(30):
        error = await failure(http.open(limits=Limits(start_s=1.0)), http.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)


@pytest.mark.parametrize("json_", ["", "yes"], ids=["events", "plain JSON"])
async def test_a_big_answer_goes_through_a_file(http: Bench, json_: str) -> None:
    await http.begin(JSON=json_)
    session = http.open()
    value = await session.call(http.call("big", bytes=BIG))
    assert isinstance(value, Spooled)
    found = json.loads(await asyncio.to_thread(value.path.read_bytes))
    assert len(found["content"][0]["text"]) == BIG
    value.remove()
    small = await session.call(http.call("big", bytes=IN_MEMORY // 8))
    assert isinstance(small, dict)
    assert http.left() == []


@pytest.mark.parametrize("json_", ["", "yes"], ids=["events", "plain JSON"])
async def test_an_answer_over_the_limit_is_refused(http: Bench, json_: str) -> None:
    await http.begin(JSON=json_)
    session = http.open(limits=Limits(max_output_bytes=100_000))
    beside = asyncio.create_task(session.call(http.call("work", ms=500)))
    error = await failure(session, http.call("big", bytes=BIG))
    assert (error.kind, error.called) == (FailureKind.TOO_LARGE, True)
    await beside
    assert http.left() == []


async def test_what_is_compressed_unasked_is_refused(http: Bench) -> None:
    await http.begin(GZIP="yes")
    error = await failure(http.open(), http.call())
    assert error.kind is FailureKind.UNREACHABLE
    assert "compressed" in error.message


async def test_a_users_host_may_not_lead_inside(http: Bench) -> None:
    await http.begin()
    users = http.host(source="user", owner="alice")
    session = open_session(Opening(users, http.folder, spool=http.spool))
    error = await failure(session, http.call())
    assert (error.kind, error.called) == (FailureKind.UNREACHABLE, False)
    assert "https only" in error.message
    assert http.written("request") == []
    allowed = open_session(Opening(users, http.folder, spool=http.spool, allow_private=True))
    await allowed.call(http.call())
    await allowed.close()


async def test_each_credential_has_a_session_of_its_own(http: Bench) -> None:
    await http.begin()
    await asyncio.to_thread(put, http.folder / "secrets" / "alice" / "KEY", "of-alice")
    await asyncio.to_thread(put, http.folder / "secrets" / "KEY", "shared")
    pool = Pool(Opening(http.host(), http.folder), 3, Secrets(http.folder / "secrets", {}))
    known = KnownHost(1, http.host(bearer_from="KEY"))
    for user in ("alice", "bob"):
        call = http.call()
        call.plan = call.plan._replace(user=user)
        await pool.call(known, call)
    sent = {line["tool"] for line in http.written("request")}
    assert sent == {"Bearer of-alice", "Bearer shared"}
    await pool.close()


async def test_credentials_that_rest_are_forgotten(
    http: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.executor.hosts.door.MOST_SESSIONS", 2)
    await http.begin()
    pool = Pool(Opening(http.host(), http.folder), 3, Secrets(http.folder / "secrets", {}))
    known = KnownHost(1, http.host(bearer_from="KEY"))
    for user in ("alice", "bob", "carol"):
        await asyncio.to_thread(put, http.folder / "secrets" / user / "KEY", f"of-{user}")
        call = http.call()
        call.plan = call.plan._replace(user=user)
        await pool.call(known, call)
    (door,) = pool._doors.values()
    kept = [(secrets.bearer, user) for secrets, user in door._rooms]
    assert kept == [("of-bob", "bob"), ("of-carol", "carol")]
    await pool.close()


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


async def test_a_missing_secret_is_said_without_saying_where_it_should_be(http: Bench) -> None:
    await http.begin()
    pool = Pool(Opening(http.host(), http.folder), 3, Secrets(http.folder / "secrets", {}))
    known = KnownHost(1, http.host(bearer_from="KEY"))
    with pytest.raises(Exception, match="needs the secret KEY") as caught:
        await pool.call(known, http.call())
    assert str(http.folder) not in str(caught.value)
    await pool.close()


async def test_a_users_host_gets_no_secret_of_the_operator(http: Bench) -> None:
    await http.begin()
    await asyncio.to_thread(put, http.folder / "secrets" / "KEY", "shared")
    secrets = Secrets(http.folder / "secrets", {"KEY": "environment"})
    pool = Pool(Opening(http.host(), http.folder, allow_private=True), 3, secrets)
    known = KnownHost(1, http.host(bearer_from="KEY", source="user", owner="alice"))
    with pytest.raises(Exception, match="needs the secret KEY"):
        await pool.call(known, http.call())
    await asyncio.to_thread(put, http.folder / "secrets" / "alice" / "KEY", "her own")
    await pool.call(known, http.call())
    assert {line["tool"] for line in http.written("request")} == {"Bearer her own"}
    await pool.close()


async def test_secrets_go_into_any_header(http: Bench) -> None:
    await http.begin()
    await asyncio.to_thread(put, http.folder / "secrets" / "KEY", "shared")
    await asyncio.to_thread(put, http.folder / "secrets" / "alice" / "KEY", "her-own")
    pool = Pool(Opening(http.host(), http.folder), 3, Secrets(http.folder / "secrets", {}))
    known = KnownHost(1, referring(http, "KEY"))
    for user in ("alice", "bob"):
        call = http.call()
        call.plan = call.plan._replace(user=user)
        await pool.call(known, call)
    sent = {line["tool"] for line in http.written("request")}
    assert sent == {"Basic her-own", "Basic shared"}
    assert "her-own" not in str(known.host)
    await pool.close()


async def test_a_users_host_refers_to_no_secret_of_the_operator(http: Bench) -> None:
    await http.begin()
    await asyncio.to_thread(put, http.folder / "secrets" / "KEY", "shared")
    secrets = Secrets(http.folder / "secrets", {"KEY": "environment"})
    pool = Pool(Opening(http.host(), http.folder, allow_private=True), 3, secrets)
    known = KnownHost(1, referring(http, "KEY", source="command", owner="alice"))
    with pytest.raises(Exception, match=r"needs the secret KEY.* secrets/alice/KEY of the data"):
        await pool.call(known, http.call())
    assert http.written("request") == []
    await pool.close()


def referring(http: Bench, name: str, **fields: Any) -> Host:
    host = http.host(**fields)
    headers = {"Authorization": f"Basic {{secret:{name}}}"}
    endpoint = msgspec.structs.replace(host.endpoint, headers=headers)
    return msgspec.structs.replace(host, endpoint=endpoint)


async def test_no_secret_goes_to_an_address_that_is_guessed(http: Bench) -> None:
    """`ann/b-c` and `ann-b/c` have one made-up subdomain; only the Hub knows whose it is."""
    await http.begin()
    await asyncio.to_thread(put, http.folder / "secrets" / "KEY", "shared")
    await asyncio.to_thread(put, http.folder / "secrets" / "alice" / "KEY", "her own")
    pool = Pool(Opening(http.host(), http.folder), 3, Secrets(http.folder / "secrets", {}))
    for more in ({}, {"source": "command", "owner": "alice"}):
        spec = http.host(**more)
        for kind in (StreamableHttp, Execute):
            place = kind("hf://ann/b-c", bearer_from="KEY")
            known = KnownHost(1, msgspec.structs.replace(spec, endpoint=place))
            with pytest.raises(HostError, match="only guessed") as caught:
                await pool.call(known, http.call())
            assert caught.value.called is False
    await pool.close()


def test_a_gradio_space_is_found_by_its_name() -> None:
    from services.outside import addresses

    url = addresses.resolve(StreamableHttp("hf://Owner/My_Space").url, mcp=True)
    assert url == "https://owner-my-space.hf.space/gradio_api/mcp/"


async def test_the_session_survives_a_request_that_is_lost(http: Bench) -> None:
    """One request that fails must not cut the others, as it does in the SDK's own client."""
    await http.begin()
    session = http.open()
    await session.call(http.call())
    slow = asyncio.create_task(session.call(http.call("work", ms=400)))
    await http.until_written(2)
    error = await failure(session, http.call("no-such-tool"))
    assert error.called is True
    while not slow.done():
        await moment()
    assert (await slow) is not None
