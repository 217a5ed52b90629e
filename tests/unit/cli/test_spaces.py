"""`metamcp spaces` against a real gateway and the stand-in of the Hub, whose Spaces really run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.commands import spaces
from services.cli.common import CliError, Exit, Out, PlainConsole
from tests.support.nats import NatsServer
from tests.support.system import until
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.linked import Linked, linked, metamcp

SPACE = {"repo": "ann/tools", "stage": "BUILDING", "page": "https://hub.example/spaces/ann/tools"}


@pytest.fixture
async def real(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Linked]:
    """With ann's account linked."""
    monkeypatch.setattr(spaces, "POLL_S", 0.05)
    async with linked(fresh_nats, tmp_path, monkeypatch) as parts:
        token = parts.hub.account("ann")
        stdin = SimpleNamespace(buffer=io.BytesIO(token.encode()), isatty=lambda: False)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            assert await metamcp("link", "huggingface", "--token-file", "-") == Exit.OK
        yield parts


@pytest.fixture(name="known")
def known_at_once(known: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(spaces, "POLL_S", 0.01)
    return known


async def test_a_space_is_made_deployed_seen_and_started_anew(
    real: Linked, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert await metamcp("spaces") == Exit.OK
    assert "no Spaces" in capsys.readouterr().out
    assert await metamcp("spaces", "deploy", "ann/tools", "--create") == Exit.OK
    printed = capsys.readouterr()
    expected = "ann/tools is RUNNING: host ann-tools; see `metamcp hosts ann-tools`\n"
    assert printed.out == expected
    assert "ann/tools is RUNNING" in printed.err
    assert real.hub.stage_of("ann/tools") == "RUNNING"
    assert real.hub.files("space", "ann/tools")["app.py"] == (real.kit / "app.py").read_bytes()
    assert await metamcp("spaces") == Exit.OK
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["space", "stage", "hardware", "host", "url"]
    assert row.split()[:2] == ["ann/tools", "RUNNING"]
    assert row.split()[-1] == f"{real.hub.url}/spaces/ann/tools"
    before = real.hub.pid("ann/tools")
    assert await metamcp("spaces", "restart", "ann/tools", "--factory") == Exit.OK
    assert "ann/tools is started anew" in capsys.readouterr().out
    await real.hub.until_stage("ann/tools", "RUNNING")
    assert real.hub.pid("ann/tools") != before


async def test_json_is_one_document(real: Linked, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()

    async def printed(*arguments: str) -> Any:
        assert await metamcp("spaces", *arguments, "--json") == Exit.OK
        return json.loads(capsys.readouterr().out)

    made = await printed("create", "tools", "--sdk", "docker", "--public")
    assert (made["repo"], made["private"]) == ("ann/tools", False)
    assert (await printed("create", "tools"))["repo"] == "ann/tools"
    deployed = await printed("deploy", "ann/tools")
    assert (deployed["stage"], deployed["host"]) == ("RUNNING", "ann-tools")
    assert (await printed("ann/tools"))["sha"] == deployed["sha"]
    assert [one["repo"] for one in await printed()] == ["ann/tools"]
    assert (await printed("restart", "ann/tools"))["repo"] == "ann/tools"


async def test_what_makes_a_space_fail_is_said(
    real: Linked, capsys: pytest.CaptureFixture[str]
) -> None:
    (real.kit / "app.py").write_text("raise SystemExit('the model is missing')\n")

    async def looked() -> bool:
        return real.discovered == 1

    await until(looked)  # Linking the account has the registry look, and nobody waits for that.
    assert await metamcp("spaces", "deploy", "ann/tools", "--create") == Exit.FAILED
    printed = capsys.readouterr()
    assert "ann/tools is RUNTIME_ERROR" in printed.err
    assert "the model is missing" in printed.err
    assert f"{real.hub.url}/spaces/ann/tools" in printed.err
    assert real.discovered == 1


async def test_a_space_that_is_no_host_and_one_that_is_paused_are_failures(
    real: Linked, capsys: pytest.CaptureFixture[str]
) -> None:
    real.problem = "its mcp.json can't be understood"
    assert await metamcp("spaces", "deploy", "ann/tools", "--create") == Exit.FAILED
    assert "its mcp.json can't be understood" in capsys.readouterr().err
    real.hub.stage("ann/tools", "PAUSED")
    assert await metamcp("spaces", "deploy", "ann/tools") == Exit.FAILED
    assert "metamcp spaces restart ann/tools" in capsys.readouterr().err


async def test_a_sleeping_space_is_deployed(
    real: Linked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("spaces", "deploy", "ann/tools", "--create") == Exit.OK
    real.hub.stage("ann/tools", "SLEEPING")
    capsys.readouterr()
    assert await metamcp("spaces", "deploy", "ann/tools") == Exit.OK
    assert "ann/tools is SLEEPING: host ann-tools" in capsys.readouterr().out


async def test_what_is_not_ones_own_is_refused(
    real: Linked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("spaces", "deploy", "bob/tools", "--create") == Exit.REFUSED
    printed = capsys.readouterr()
    assert "Your account is ann" in printed.err
    assert "metamcp spaces deploy ann/tools --create" in printed.err
    assert real.hub.repos == {}
    assert await metamcp("spaces", "deploy", "ann/none") == Exit.REFUSED
    assert await metamcp("spaces", "ann/none") == Exit.REFUSED


def test_without_waiting_nothing_is_asked_any_more(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok("POST /api/spaces/ann/tools/deploy", SPACE)
    assert execute(["spaces", "deploy", "ann/tools", "--no-wait"]) == Exit.OK
    assert "metamcp spaces ann/tools" in capsys.readouterr().out
    assert [what for what, _, _ in known.asked] == ["POST /api/spaces/ann/tools/deploy"]


def test_waiting_ends(
    known: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known.ok("POST /api/spaces/ann/tools/deploy", SPACE)
    known.ok("GET /api/spaces/ann/tools", SPACE)
    monkeypatch.setattr(spaces, "WAIT_S", 0.2)
    assert execute(["spaces", "deploy", "ann/tools"]) == Exit.FAILED
    assert "ann/tools is still" in capsys.readouterr().err


def test_a_gateway_that_stays_away_ends_the_wait(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.ok("POST /api/spaces/ann/tools/deploy", SPACE)
    known.refuse("GET /api/spaces/ann/tools", 503, "Hugging Face gives no answer")
    assert execute(["spaces", "deploy", "ann/tools"]) == Exit.UNREACHABLE
    assert "Hugging Face gives no answer" in capsys.readouterr().err
    assert len(known.asked) == 1 + spaces.MISSES
    known.refuse("GET /api/spaces/ann/tools", 404, "there is no such Space")
    known.asked.clear()
    assert execute(["spaces", "deploy", "ann/tools"]) == Exit.REFUSED
    assert len(known.asked) == 2


def test_options_of_a_new_space_are_sent(known: Gateway) -> None:
    known.ok("POST /api/spaces", SPACE, 201)
    options = "--sdk gradio --template hub/one --hardware t4-small --public"
    assert execute(["spaces", "create", "tools", *options.split()]) == Exit.OK
    ((_, _, body),) = known.asked
    assert body == {
        "name": "tools",
        "sdk": "gradio",
        "template": "hub/one",
        "hardware": "t4-small",
        "private": False,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["tools"],
        ["ann/tools/x"],
        ["../tools"],
        ["ann/.."],
        ["ann/a?b"],
        ["create", "ann/tools"],
        ["create", ""],
        ["create", "tools", "--sdk", "rails"],
        ["deploy", "tools"],
        ["deploy"],
        ["restart", "ann/a b"],
    ],
)
def test_what_makes_no_sense_is_never_sent(
    known: Gateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["spaces", *arguments]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert known.asked == []


@pytest.mark.parametrize("name", ["create", "deploy", "restart"])
def test_each_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["spaces", name, "--help"]) == Exit.OK
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["RUNNING", "SLEEPING"])
def test_stages_that_end_the_wait(stage: str) -> None:
    assert spaces._over("a/b", {"stage": stage})


@pytest.mark.parametrize("stage", ["", "BUILDING", "APP_STARTING", "RUNNING_BUILDING", "NEW_ONE"])
def test_stages_that_do_not(stage: str) -> None:
    assert not spaces._over("a/b", {"stage": stage})


@pytest.mark.parametrize("stage", ["BUILD_ERROR", "CONFIG_ERROR", "STOPPED", "DELETING"])
def test_stages_that_are_failures(stage: str) -> None:
    with pytest.raises(CliError) as caught:
        spaces._over("a/b", {"stage": stage, "error": "no \x1b[31mDockerfile"})
    assert caught.value.code is Exit.FAILED
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("terminal", [True, False])
def test_each_stage_is_a_line_or_live_on_a_terminal(terminal: bool) -> None:
    out, screen = Out(as_json=False), io.StringIO()
    out.errors = PlainConsole(file=screen, force_terminal=terminal, width=80)
    with spaces._showing(out, "a/b") as show:
        for stage in ("BUILDING", "BUILDING", "[red]"):
            show(stage)
    text = screen.getvalue()
    assert "a/b is [red]" in text
    if not terminal:
        assert text == "a/b is BUILDING\na/b is [red]\n"


def test_a_space_whose_kit_is_too_old_is_named_with_the_command(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    old = SPACE | {"stage": "SLEEPING", "host": "alice/ann-tools", "outdated": True}
    known.ok("GET /api/spaces", [old, SPACE | {"repo": "ann/other", "outdated": False}])
    assert execute(["spaces"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if "metamcp spaces deploy" in line]
    assert told.startswith("ann/tools: its kit takes no permits of this release")
    known.ok("GET /api/spaces/ann/tools", old)
    assert execute(["spaces", "ann/tools"]) == Exit.OK
    assert "metamcp spaces deploy ann/tools" in capsys.readouterr().out
