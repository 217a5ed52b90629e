"""Probes of real processes: what is found, what is said of the sick, that nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.host import Host, Limits, Noop, Probe, Stdio
from services.keys.secrets import Secrets
from services.outside.mcp_child import log_path
from services.registry.probes import child
from services.registry.probes.child import ProbeOutcome
from tests.support.real_servers import bench
from tests.unit.executor.sessions import ROOT, gone
from tests.unit.executor.world import moment
from tests.unit.registry.servers import Mood, little, program


@contextlib.asynccontextmanager
async def probing(host: Host, limit_s: float = 10.0) -> AsyncIterator[child.Prober]:
    prober = child.prober(host, asyncio.Semaphore(1), limit_s)
    try:
        yield prober
    finally:
        await prober.close()


async def once(host: Host, limit_s: float = 10.0) -> ProbeOutcome:
    async with probing(host, limit_s) as prober:
        return await prober.probe()


@pytest.fixture
def mood(tmp_path: Path) -> Mood:
    return Mood(tmp_path)


async def test_a_probe_tells_what_the_host_offers(mood: Mood) -> None:
    answer = await once(little(mood))
    assert answer.reason == ""
    assert answer.latency_ms > 0
    assert answer.discovery is not None
    (tool,) = answer.discovery.tools
    assert (tool.name, tool.read_only, tool.idempotent) == ("check", True, True)
    assert tool.input_schema["required"] == ["word"]
    assert answer.discovery.server == "little 1.2"
    assert answer.discovery.protocol == "2026-07-28"
    assert answer.discovery.features == ("prompts", "resources", "subscriptions")


async def test_a_tool_that_can_not_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    endpoint = Stdio(sys.executable, ("-m", "tests.support.odd_mcp"), cwd=str(ROOT))
    host = Host(id="odd", name="odd", endpoint=endpoint)
    answer = await once(host)
    assert answer.reason == ""
    assert answer.discovery is not None
    assert [tool.name for tool in answer.discovery.tools] == ["echo"]
    assert answer.note.startswith("bad tools: left out, ")
    assert "no_schema: inputSchema: " in answer.note
    async with bench(host, tmp_path) as one:
        called = await one.run("mcp.call", {"tool": "echo", "arguments": {}})
        assert called["content"] == [{"type": "text", "text": "good"}]


async def test_what_calls_do_not_need_makes_way_when_it_is_too_much() -> None:
    endpoint = Stdio(sys.executable, ("-m", "tests.support.odd_mcp", "heavy"), cwd=str(ROOT))
    answer = await once(Host(id="odd", name="odd", endpoint=endpoint))
    assert answer.discovery is not None
    first, last = answer.discovery.tools[0], answer.discovery.tools[-1]
    assert (first.name, first.title, first.meta) == ("t0", "T", None)
    assert (last.name, last.title, last.meta) == ("t99", "T", None)


async def test_a_host_that_lists_tools_but_fails_when_called_is_sick(mood: Mood) -> None:
    async with probing(little(mood)) as prober:
        assert (await prober.probe()).reason == ""
        mood.set("sick")
        answer = await prober.probe()
        assert answer.reason == f"probe failed: check answered with an error{child.MORE}"
        assert "no grammar for it" in answer.detail
        mood.clear()
        assert (await prober.probe()).reason == ""


async def test_one_process_serves_all_probes(mood: Mood) -> None:
    async with probing(little(mood)) as prober:
        await prober.probe()
        before = children()
        await prober.probe()
        assert children() == before


async def test_a_host_that_dies_is_started_again_by_the_next_probe(mood: Mood) -> None:
    async with probing(little(mood)) as prober:
        mood.set("die")
        answer = await prober.probe()
        assert answer.reason.startswith("probe failed: check: it exited with code ")
        assert answer.reason.endswith(child.MORE)
        assert answer.detail == "out of luck"
        mood.clear()
        assert (await prober.probe()).reason == ""


async def test_a_host_that_stopped_answering_is_given_up_after_the_limit(mood: Mood) -> None:
    before = children()
    async with probing(little(mood, real=True), limit_s=0.5) as prober:
        assert (await prober.probe()).reason == ""
        mood.set("hang")
        answer = await prober.probe()
        assert answer.reason == "no answer: asked for the probe check for 0.5 s"
        assert children() == before


async def test_the_first_call_of_a_program_has_the_time_of_its_start(mood: Mood) -> None:
    """Some load for longer then than they ever take again, on a machine that is new."""
    limits = Limits(start_s=5.0)
    mood.set("hang")
    host = msgspec.structs.replace(little(mood, real=True), limits=limits)
    answer = await once(host, limit_s=0.5)
    assert answer.reason == "no answer: asked for the probe check for 5 s"


async def test_tools_that_appear_later_are_found_after_a_restart(mood: Mood) -> None:
    mood.set("more")
    answer = await once(little(mood, tool=None))
    assert answer.discovery is not None
    assert [tool.name for tool in answer.discovery.tools] == ["check", "extra"]


async def test_a_probe_tool_that_does_not_exist_is_named(mood: Mood) -> None:
    answer = await once(little(mood, tool="chekc"))
    assert answer.reason == "probe failed: the host lists no tool chekc. Correct probe.tool."


@pytest.mark.parametrize(
    ("source", "code", "said"), [("import sys; sys.exit('no token')", 1, "no token"), ("", 0, "")]
)
async def test_a_program_that_ends_at_once_says_why_to_the_operator_alone(
    tmp_path: Path, source: str, code: int, said: str
) -> None:
    reach = child.UNEQUIPPED._replace(logs=tmp_path)
    # With an owner, so that its id has two parts.
    host = msgspec.structs.replace(program(source), id="alice/h1", owner="alice")
    prober = child.prober(host, asyncio.Semaphore(1), 10.0, reach)
    answer = await prober.probe()
    how = f"it ended before it answered (it exited with code {code})"
    assert answer.reason == f"not started: {how}{child.MORE}", "one process works for many users"
    assert answer.detail == answer.said == said
    assert said in log_path(tmp_path, host.id).read_text(), "where an executor looks for it"


async def test_secrets_that_a_program_was_given_are_taken_out_of_its_words(tmp_path: Path) -> None:
    source = "import sys; sys.exit('error: ' + sys.argv[1] + ' is no good')"
    host = program(source)
    assert isinstance(host.endpoint, Stdio)
    args = (*host.endpoint.args, "{secret:WORD}")
    host = msgspec.structs.replace(host, endpoint=msgspec.structs.replace(host.endpoint, args=args))
    reach = child.UNEQUIPPED._replace(secrets=Secrets(tmp_path, {"WORD": "swordfish"}))
    answer = await child.prober(host, asyncio.Semaphore(1), 10.0, reach).probe()
    assert "error: *** is no good" in answer.detail
    assert "swordfish" not in answer.reason + answer.detail


async def test_a_program_that_never_answers_costs_its_start_budget() -> None:
    answer = await once(program("import sys; sys.stdin.read()", start_s=0.5))
    assert answer.reason == "no answer: nothing within 0.5 s of its start"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (Stdio("no-such-program"), "its command was not found. Install it, or correct"),
        (Stdio("cat", cwd="/nowhere"), "the folder that its server should run in does not exist"),
        (Stdio("/dev/null"), "its command was not found. Install it, or correct"),
    ],
)
async def test_a_program_that_cannot_be_started_says_why(endpoint: Stdio, words: str) -> None:
    answer = await once(Host(id="x", name="x", endpoint=endpoint))
    assert answer.reason.startswith(f"not started: {words}")


async def test_variables_come_from_the_manifest_and_the_named_ones_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN_A", "a")
    monkeypatch.setenv("TOKEN_B", "b")
    source = (
        'import os,sys; n = os.environ.get; sys.exit(f\'{n("TOKEN_A")},{n("TOKEN_B")},{n("C")}\')'
    )
    host = program(source)
    assert isinstance(host.endpoint, Stdio)
    endpoint = msgspec.structs.replace(
        host.endpoint, env={"C": "c"}, env_from=("TOKEN_A", "ABSENT")
    )
    answer = await once(msgspec.structs.replace(host, endpoint=endpoint))
    assert answer.detail == "a,None,c"


async def test_nothing_is_left_of_any_of_them(mood: Mood) -> None:
    before = children()
    await once(little(mood, real=True))
    await once(program("import sys; sys.stdin.read()", start_s=0.5))
    assert children() == before


async def test_a_prober_can_be_closed_while_the_host_is_starting() -> None:
    before = children()
    prober = child.prober(program("import sys; sys.stdin.read()"), asyncio.Semaphore(1), 10.0)
    task = asyncio.create_task(prober.probe())
    async with asyncio.timeout(30):
        while children() == before:
            await asyncio.wait((task,), timeout=0.01)
    task.cancel()
    await asyncio.wait((task,))
    await prober.close()
    assert children() == before


async def test_starts_are_staggered(mood: Mood) -> None:
    starts = asyncio.Semaphore(1)
    mute = child.prober(program("import sys; sys.stdin.read()", start_s=1.0), starts, 10.0)
    other = child.prober(little(mood), starts, 10.0)
    first = asyncio.create_task(mute.probe())
    async with asyncio.timeout(30):
        while not starts.locked():
            await asyncio.wait((first,), timeout=0.01)
    second = await other.probe()
    assert first.done()
    assert second.reason == ""
    await asyncio.gather(mute.close(), other.close())


ORPHAN = """
import asyncio
from contracts.host import Host, Limits, Stdio
from services.registry.probes import child

async def main():
    deaf = Stdio("sh", ("-c", "echo $$ >&2; exec sleep 1000"))
    host = Host(id="deaf", name="deaf", endpoint=deaf, limits=Limits(start_s=60.0))
    prober = child.prober(host, asyncio.Semaphore(1), 60.0)
    probing = asyncio.create_task(prober.probe())
    while not prober._session or not (pid := prober._session.last_words(1)):
        await asyncio.wait((probing,), timeout=0.01)
    print(pid, flush=True)
    await probing

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_deaf_server_dies_with_a_killed_registry() -> None:
    registry = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    )
    assert registry.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await registry.stdout.readline())
        assert not gone(pid)
        registry.kill()
        await registry.wait()
        while not gone(pid):
            await moment()


async def test_the_benchmarks_host_needs_no_process() -> None:
    answer = await once(Host(id="n", name="n", endpoint=Noop(), probe=Probe()))
    assert answer.discovery is not None
    assert [tool.name for tool in answer.discovery.tools] == ["noop"]


def children() -> set[int]:
    """Living child processes of this one."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    found.add(int(entry.name))
    return found
