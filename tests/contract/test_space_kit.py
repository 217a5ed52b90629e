"""The Space kit keeps the contract of `/execute`: real process, real HTTP, a recording server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from contracts.wire import PERMIT_ECHO
from tests.support import space
from tests.support.space import TYPES, Caller, Issuer, Space, body_of, error

ISSUER = Issuer("RS256")
BODY = 100_000
SHARED = {
    "METAMCP_MAX_BODY": str(BODY),
    "METAMCP_MAX_ANSWER": str(64 * 1024 * 1024),
    # So that whoever comes back on a busy machine is still in time.
    "METAMCP_LINGER_MS": "2000",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """One Space for all tests that do it no harm; they use task ids of their own."""
    with space.standing(tmp_path_factory.mktemp("space"), ISSUER.jwks, **SHARED) as one:
        yield one


@pytest.fixture
async def caller(shared: Space) -> AsyncIterator[Caller]:
    made = Caller(shared.url, ISSUER)
    yield made
    await made.http.aclose()


# Answers.


async def test_a_tool_s_result_comes_as_it_is(shared: Space, caller: Caller) -> None:
    answer = await caller.execute("ok", "echo", {"text": "ä\n$x"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers[PERMIT_ECHO] == "ok.1"
    assert answer.json() == {
        "content": [{"type": "text", "text": "ä\n$x"}],
        "structured": {"result": "ä\n$x"},
        "is_error": False,
    }
    (call,) = shared.calls_of("ok")
    assert (call["tool"], call["attempt"]) == ("echo", 1)


async def test_a_step_gets_what_an_earlier_one_has_answered(shared: Space, caller: Caller) -> None:
    answer = await caller.execute("twice", "twice", {"text": "$x"})
    assert answer.status_code == 200
    assert answer.json()["structured"] == {
        "first": {"result": "$x"},
        "second": {"result": "$x, $"},
    }


async def test_a_tool_s_error_is_a_result(caller: Caller) -> None:
    answer = await caller.execute("failed", "fail", {"message": "because"})
    assert answer.status_code == 200
    assert answer.json()["is_error"] is True
    assert "because" in answer.json()["content"][0]["text"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"task_id": "t1"}', b'{"a": 1, "a": 1}', b'{"input":' + b"[" * 50_000]
)
async def test_what_is_no_request_is_refused(caller: Caller, body: bytes) -> None:
    assert error(await caller.send(body)) == (400, "bad_request")


async def test_a_body_with_one_member_more_is_refused(caller: Caller) -> None:
    body = body_of(b"{}", caller.permit(b"{}", "ann", "more", 1), "more", "ann")
    answer = await caller.send(body.replace(b"{", b'{"extra": 1, ', 1))
    assert error(answer) == (400, "bad_request")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"aud": "https://other-space.hf.space"}, "wrong_audience"),
        ({"aud": "ann-space"}, "old_permit: the permit is for a host called 'ann-space'"),
        ({"aud": "ann-space"}, "upgrade the orchestrator"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"nbf": 4_000_000_000}, "not_yet_valid"),
        ({"iss": "somebody"}, "wrong_issuer"),
        ({"input_sha256": "0" * 64}, "wrong_input"),
        ({"task_id": "another", "jti": "another.1"}, "task another of ann"),
        ({"sub": "bob"}, "task wrong of bob"),
    ],
)
async def test_a_permit_for_something_else_is_refused(
    shared: Space, caller: Caller, changed: dict[str, Any], words: str
) -> None:
    permit = ISSUER.sign(ISSUER.claims(b"{}", task="wrong") | changed)
    answer = await caller.send(body_of(b"{}", permit, "wrong", "ann"))
    assert error(answer) == (401, "bad_permit")
    assert words in answer.json()["error"]["message"]
    assert shared.calls_of("wrong") == []


async def test_a_permit_of_another_user_is_refused_and_nobody_is_named(
    shared: Space, caller: Caller
) -> None:
    """The orchestrator gives anybody a permit for any address: the kit knows its owner."""
    for user in ("mallory", "an", "ann2", "Ann"):
        refused = await caller.execute("foreign", "work", user=user)
        assert error(refused) == (401, "bad_permit")
        message = refused.json()["error"]["message"]
        assert "wrong_user" in message
        assert "alice" not in message
    assert shared.calls_of("foreign") == []


async def test_strangers_are_refused_before_their_input_is_looked_at(caller: Caller) -> None:
    """What is wrong with it costs time to find, and is told to those with a permit only."""
    odd = b'{"a": %s}' % (b"[" * 70 + b"]" * 70)
    stranger = Issuer()
    permit = stranger.sign(stranger.claims(odd, task="odd"))
    assert error(await caller.send(body_of(odd, permit, "odd", "ann"))) == (401, "bad_permit")
    assert error(await caller.execute("odd", "work", odd)) == (400, "bad_request")


async def test_silent_connections_close_nobody_out(shared: Space, caller: Caller) -> None:
    port = int(shared.url.rpartition(":")[2])
    begun = b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    opened = []
    try:
        for number in range(600):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write((b"", b"GET / HT", begun)[number % 3])
            opened.append(writer)
        for _ in range(3):
            assert (await caller.http.get("/health")).status_code == 200
            assert (await caller.execute("beside-silence", "work")).status_code == 200
    finally:
        for writer in opened:
            writer.close()


async def test_a_permit_of_a_stranger_is_refused(caller: Caller) -> None:
    for stranger in (Issuer(kid="k1"), Issuer("RS256", kid="k1"), Issuer(kid="unknown")):
        permit = stranger.sign(stranger.claims(b"{}", task="stranger"))
        answer = await caller.send(body_of(b"{}", permit, "stranger", "ann"))
        assert error(answer) == (401, "bad_permit")


@pytest.mark.parametrize(
    "data",
    [
        b'{"ms":0}',
        b'{ "ms" :\t0,\r\n "z": 1, "a": 2 }',
        b'{"ms":0,"text":"\\u00e4\\ud83d\\ude00\\/"}',
        '{"ms":0,"text":"ä😀/"}'.encode(),
        b'{"ms":0.0,"x":[1.50,1e2,1E+2,-0,10000000000000000000000000000001]}',
        b'{"input":{"input":"}"},"ms":0}',
    ],
    ids=["plain", "white space and order", "escapes", "the same in UTF-8", "numbers", "nested"],
)
async def test_the_digest_is_over_the_exact_bytes(caller: Caller, data: bytes) -> None:
    task = f"bytes-{hashlib.sha256(data).hexdigest()[:8]}"
    assert (await caller.execute(task, "work", data)).status_code == 200
    same_meaning = json.dumps(json.loads(data), indent=1).encode()
    permit = caller.permit(data, "ann", task, 1)
    answer = await caller.send(body_of(same_meaning, permit, task, "ann"))
    assert error(answer) == (401, "bad_permit")


async def test_white_space_around_the_input_may_belong_to_it(caller: Caller) -> None:
    data = b' {"ms": 1}\n'
    body = body_of(data, caller.permit(data, "ann", "padded", 1), "padded", "ann")
    tight = body.replace(b'"input": ', b'"input":')
    assert (await caller.send(tight)).status_code == 200
    assert error(await caller.send(tight.replace(b"\n", b"  "))) == (401, "bad_permit")


async def test_an_unknown_task_type_is_not_found(caller: Caller) -> None:
    answer = await caller.execute("type", "no.such.type")
    assert error(answer) == (404, "unknown_task_type")
    assert "echo" in answer.json()["error"]["message"]


async def test_an_input_that_does_not_fit_is_refused(shared: Space, caller: Caller) -> None:
    assert error(await caller.execute("schema", "work", {"ms": "x"})) == (422, "bad_input")
    assert error(await caller.execute("missing", "echo", {})) == (422, "bad_input")
    assert shared.calls_of("schema") == shared.calls_of("missing") == []


async def test_a_body_over_the_limit_is_refused_and_the_answer_is_seen(
    shared: Space, caller: Caller
) -> None:
    fits = b'{"ms": 0, "pad": "%s"}' % (b"x" * (BODY - 3000))
    assert (await caller.execute("fits", "work", fits)).status_code == 200
    assert error(await caller.send(b"x" * (BODY + 1))) == (413, "too_large")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    answer = await caller.http.post("/execute", content=parts())
    assert error(answer) == (413, "too_large")


async def test_twenty_megabytes_come_whole_and_again(shared: Space, caller: Caller) -> None:
    size = 20_000_000
    data = {"bytes": size}
    answer = await caller.execute("twenty", "big", data)
    assert answer.status_code == 200
    assert answer.json()["content"] == [{"type": "text", "text": "x" * size}]
    again = await caller.execute("twenty", "big", data)
    assert again.content == answer.content
    assert len(shared.calls_of("twenty")) == 1


async def test_an_answer_over_the_limit_is_refused_and_harms_no_other(
    shared: Space, caller: Caller
) -> None:
    beside = asyncio.create_task(caller.execute("beside", "work", {"ms": 2000}))
    await shared.until_called(1, task="beside")
    answer = await caller.execute("huge", "big", {"bytes": 80_000_000})
    assert error(answer) == (413, "too_large")
    assert (await beside).status_code == 200


async def test_health_and_manifest_say_what_the_registry_asks(caller: Caller) -> None:
    health = await caller.http.get("/health")
    assert health.status_code == 200
    assert health.json()["status"] == "healthy"
    assert health.json()["server"]["name"] == "recorder"
    manifest = (await caller.http.get("/mcp.json")).json()
    assert (health.json()["kit"], manifest["kit"]) == (2, 2)
    assert "id" not in manifest, "whose host it is, is not for it to say"
    assert manifest["endpoint"] == {"kind": "execute"}
    assert manifest["replay"] == "always"
    assert manifest["limits"] == {"max_concurrency": 8}
    assert set(manifest["task_types"]) == set(TYPES)
    assert set(manifest["task_types"]["echo"]) == {"summary", "input_schema", "example"}
    for flag in ("can_run_on_user_space", "result_pointer_preferred", "fallback_to_oracle"):
        assert isinstance(manifest[flag], bool)


async def test_other_routes_answer_in_the_same_form(caller: Caller) -> None:
    assert error(await caller.http.get("/nowhere")) == (404, "not_found")
    assert error(await caller.http.get("/execute")) == (405, "bad_request")
    assert (await caller.http.get("/")).status_code == 200


# Repeats.


async def test_a_repeated_permit_gets_the_first_answer(shared: Space, caller: Caller) -> None:
    for kind in ("work", "fail"):
        first = await caller.execute(f"again-{kind}", kind)
        again = await caller.execute(f"again-{kind}", kind)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert len(shared.calls_of(f"again-{kind}")) == 1


async def test_who_asks_meanwhile_gets_the_same_answer(shared: Space, caller: Caller) -> None:
    asking = [
        caller.execute("meanwhile", "work", {"ms": 300}, attempt=attempt)
        for attempt in (1, 2, 1, 2, 3)
    ]
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(shared.calls_of("meanwhile")) == 1


async def test_another_attempt_takes_a_success_over(shared: Space, caller: Caller) -> None:
    first = await caller.execute("over", "work")
    second = await caller.execute("over", "work", attempt=2)
    assert second.content == first.content
    assert len(shared.calls_of("over")) == 1


async def test_another_attempt_runs_a_failure_anew(shared: Space, caller: Caller) -> None:
    first = await caller.execute("anew", "fail", {"message": "one"})
    await caller.execute("anew", "fail", {"message": "one"}, attempt=2)
    assert len(shared.calls_of("anew")) == 2
    assert [call["attempt"] for call in shared.calls_of("anew")] == [1, 2]
    assert (await caller.execute("anew", "fail", {"message": "one"})).content == first.content


async def test_another_input_is_other_work(shared: Space, caller: Caller) -> None:
    await caller.execute("inputs", "echo", {"text": "a"})
    other = await caller.execute("inputs", "echo", {"text": "b"}, attempt=2)
    assert other.json()["content"][0]["text"] == "b"
    assert len(shared.calls_of("inputs")) == 2


async def test_users_share_nothing(caller: Caller) -> None:
    mine = await caller.execute("same-id", "echo", {"text": "x"}, user="ann")
    other = await caller.execute("same-id", "fail", {"message": "x"}, user="bob")
    assert mine.json()["is_error"] is False
    assert other.json()["is_error"] is True


# Going away, and running out of time.


async def test_a_client_that_goes_away_cancels(shared: Space, caller: Caller) -> None:
    asking = asyncio.create_task(caller.execute("gone", "hang"))
    await shared.until_called(1, task="gone")
    asking.cancel()
    await shared.until_called(1, "end", task="gone")
    (end,) = shared.calls_of("gone", "end")
    assert end["how"] == "cancelled"
    assert error(await caller.execute("gone", "hang")) == (409, "cancelled")
    assert len(shared.calls_of("gone")) == 1


async def test_a_run_goes_on_while_somebody_waits(shared: Space, caller: Caller) -> None:
    first = asyncio.create_task(caller.execute("joined", "work", {"ms": 3000}))
    await shared.until_called(1, task="joined")
    second = asyncio.create_task(caller.execute("joined", "work", {"ms": 3000}, attempt=2))
    third = asyncio.create_task(caller.execute("joined", "work", {"ms": 3000}, attempt=1))
    await asyncio.wait([second, third], timeout=1.0)
    first.cancel()
    second.cancel()
    assert (await third).status_code == 200
    assert (await caller.execute("joined", "work", {"ms": 3000}, attempt=2)).status_code == 200
    assert len(shared.calls_of("joined")) == 1


async def test_a_client_that_was_cut_off_comes_back_in_time(shared: Space, caller: Caller) -> None:
    first = asyncio.create_task(caller.execute("cut", "work", {"ms": 1500}))
    await shared.until_called(1, task="cut")
    first.cancel()
    await asyncio.wait([first])
    assert (await caller.execute("cut", "work", {"ms": 1500})).status_code == 200
    (end,) = shared.calls_of("cut", "end")
    assert end["how"] == "returned"


async def test_a_call_is_cancelled_after_its_timeout(shared: Space, caller: Caller) -> None:
    answer = await caller.execute("late", "hang", timeout_s=3)
    assert error(answer) == (504, "timeout")
    await shared.until_called(1, "end", task="late")
    again = await caller.execute("late", "hang", timeout_s=3)
    assert again.content == answer.content
    assert len(shared.calls_of("late")) == 1


async def test_a_call_is_cancelled_at_the_permit_s_end(shared: Space, caller: Caller) -> None:
    answer = await caller.execute("ended", "hang", lifetime_s=5)
    assert error(answer) == (504, "timeout")
    await shared.until_called(1, "end", task="ended")


async def test_a_timeout_ends_one_permit_and_not_the_others(shared: Space, caller: Caller) -> None:
    data = {"ms": 6000}
    short = asyncio.create_task(caller.execute("two", "work", data, timeout_s=4))
    await shared.until_called(1, task="two")
    long = await caller.execute("two", "work", data, attempt=2)
    assert long.status_code == 200
    assert error(await short) == (504, "timeout")
    assert len(shared.calls_of("two")) == 1
