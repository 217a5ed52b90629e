"""What the doctor says of the built-in hosts: installed, token, network."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts.host import Stdio, StreamableHttp
from services.cli.app import execute
from services.cli.commands import doctor_builtins
from services.cli.commands.doctor import disk
from services.cli.commands.doctor_builtins import (
    builtins,
    installed,
    linked,
    reached,
    reading_git,
)
from services.cli.common import Exit
from services.cli.show.hosts import Finding
from services.keys.secrets import Secrets
from services.registry.builtin import pinned
from services.registry.manifests import manifest
from services.up import disk as store_disk
from services.up.disk import MIN_FREE
from services.up.plan import STATE_FILE, UpState
from tests.support.github_mcp import github
from tests.unit.cli.gateway import Gateway, gateway

NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no token, and nothing but what a test says."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{NOWHERE}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway() as one:
        monkeypatch.setenv("METAMCP_CLI_URL", one.url)
        monkeypatch.setenv("METAMCP_CLI_TOKEN", "secret")
        yield one


async def by_name(data: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in await builtins(data)}


async def test_a_new_machine_is_told_what_comes(tmp_path: Path) -> None:
    found = await by_name(tmp_path)
    assert set(found) == {
        "built-in code-mcp",
        "built-in tree-sitter-mcp",
        "built-in git-mcp",
        "built-in semgrep-mcp",
        "built-in github-mcp",
    }
    assert {finding.state for finding in found.values()} == {"off"}, "nothing of this is a failure"
    assert "430 MB" in found["built-in semgrep-mcp"].detail
    assert "metamcp up" in found["built-in semgrep-mcp"].hint
    assert "can't be reached" in found["built-in github-mcp"].detail
    assert "METAMCP_REGISTRY_ROOTS" in found["built-in git-mcp"].hint


@pytest.mark.parametrize("name", ["code", "tree-sitter", "security"])
def test_an_environment_is_absent_then_installing_then_there(name: str, tmp_path: Path) -> None:
    pins = manifest.BUILTIN.parent / "constraints" / f"{name}.txt"
    endpoint = Stdio("python", ("--pins", str(pins)))
    folder = pinned.place(tmp_path / "servers", pins)

    def state() -> tuple[str, str]:
        finding = installed("x", endpoint, tmp_path)
        return finding.state, finding.detail.partition(":")[0].partition(" in ")[0]

    assert state() == ("off", "not installed yet")
    folder.mkdir(parents=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert state() == ("off", "is being installed now")
    assert state() == ("off", "not installed yet")
    (folder / pinned.READY).touch()
    assert state() == ("ok", "installed")


async def test_git_has_to_be_there_new_enough_and_may_read_some_folders(tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git is not None
    ready = await reading_git("x", git, [tmp_path])
    assert (ready.state, str(tmp_path) in ready.detail) == ("ok", True)
    assert ready.detail.startswith("git 2.")
    assert (await reading_git("x", git, [])).state == "off"
    nowhere = await reading_git("x", git, [tmp_path, tmp_path / "absent"])
    assert (nowhere.state, "absent is no folder" in nowhere.detail) == ("failed", True)
    without = await reading_git("x", None, [tmp_path])
    assert (without.state, "Install git 2.32" in without.hint) == ("off", True)
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    finding = await reading_git("x", str(old), [tmp_path])
    assert (finding.state, "this is git 2.20.1" in finding.detail) == ("off", True)
    broken = await reading_git("x", str(tmp_path / "no" / "git"), [tmp_path])
    assert (broken.state, "can't be started" in broken.detail) == ("off", True)


def test_a_disk_that_is_too_full_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor_builtins.INSTALLED_MB, "security", 1 << 40)
    pins = manifest.BUILTIN.parent / "constraints" / "security.txt"
    finding = installed("x", Stdio("python", ("--pins", str(pins))), tmp_path)
    assert finding.state == "failed"
    assert "Make room" in finding.hint


async def test_a_server_behind_a_url_with_and_without_a_token(tmp_path: Path) -> None:
    async with github() as hub:
        endpoint = StreamableHttp(hub.url, bearer_from="GITHUB_TOKEN")
        without = await reached("x", endpoint, Secrets(tmp_path, {}))
        assert without.state == "off"
        assert "the secret GITHUB_TOKEN is missing" in without.detail
        assert "metamcp link github" in without.hint
        shared = await reached("x", endpoint, Secrets(tmp_path, {"GITHUB_TOKEN": "ghp_x"}))
        assert (shared.state, "ghp_x" in shared.detail) == ("ok", False)
        (tmp_path / "GITHUB_TOKEN").write_text("ghp_x")
        (tmp_path / "GITHUB_TOKEN").chmod(0o644)
        open_ = await reached("x", endpoint, Secrets(tmp_path, {}))
        assert open_.state == "off"
        assert "can be read by others" in open_.detail


async def test_a_server_that_is_not_there_hurts_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = StreamableHttp(f"http://127.0.0.1:{port}/mcp", bearer_from="GITHUB_TOKEN")
    finding = await reached("x", endpoint, Secrets(tmp_path, {}))
    assert finding.state == "off"
    assert "can't be reached" in finding.detail


async def test_what_is_disabled_or_replaced_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[hosts.git-mcp]\nendpoint = { kind = "stdio", command = "mine" }\n')
    monkeypatch.setenv("METAMCP_REGISTRY_MANIFESTS", str(mine))
    monkeypatch.setenv("METAMCP_REGISTRY_DISABLED", "semgrep-mcp")
    found = await by_name(tmp_path)
    assert "disabled" in found["built-in semgrep-mcp"].detail
    assert "replaced" in found["built-in git-mcp"].detail
    mine.write_text("[hosts")
    (broken,) = (await by_name(tmp_path)).values()
    assert broken.state == "failed"
    monkeypatch.setenv("METAMCP_REGISTRY_BUILTINS", "false")
    (none,) = (await by_name(tmp_path)).values()
    assert none.state == "off"


@pytest.mark.parametrize("accounts", [None, [], [{"provider": "huggingface", "name": "ann"}]])
def test_no_account_is_told_how_to_get_one(accounts: object) -> None:
    assert linked(accounts).hint == "`metamcp link github`"


def test_the_doctor_shows_the_services(
    known: Gateway,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METAMCP_REGISTRY_BUILTINS", "false")
    there = {"up": True, "position": 7, "lag": None, "active": None}
    nobody = {"instance": None, "up": False, "position": None, "lag": None, "active": None}
    services = [
        {"service": "router", "instance": "router-1", **there, "lag": 0, "active": True},
        {"service": "router", "instance": "router-2", **there, "lag": 2, "active": False},
        {"service": "registry", "instance": "registry-1", **there},
        {"service": "executor", **nobody},
    ]
    known.ok("GET /api/health", {"executors": 0, "lag": 0, "services": services})
    known.ok("GET /api/mcps", [])
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.FAILED
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    router, executor = found["service router"], found["service executor"]
    assert (router["state"], found["service registry"]["state"]) == ("ok", "ok")
    assert router["detail"] == (
        "router-1 is active, 0 facts behind the log; router-2 stands by, 2 facts behind the log"
    )
    assert (executor["state"], executor["detail"]) == ("failed", "none answers")
    services[0]["active"] = False
    execute(["doctor", "--json", "--data", str(tmp_path)])
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["service router"]["state"] == "failed", "somebody must decide"
    trouble = {"kind": "clock", "text": "an hour behind the log", "hint": "Set it."}
    services[2]["troubles"] = [trouble]
    execute(["doctor", "--json", "--data", str(tmp_path)])
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["service registry"]["state"] == "ok"
    told = found["registry-1"]
    assert (told["state"], told["detail"], told["hint"]) == (
        "failed",
        trouble["text"],
        trouble["hint"],
    )


def test_the_doctor_names_what_a_restored_log_has_open_again(
    known: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trouble = {"kind": "restored", "text": "the log is older", "hint": "Decide."}
    router = {"service": "router", "instance": "router-1", "up": True, "lag": 0, "active": False}
    services = [router | {"troubles": [trouble]}]
    known.ok("GET /api/health", {"executors": 1, "lag": 0, "services": services})
    known.ok("GET /api/mcps", [])
    tasks = [{"user": "alice", "task": f"t{n}", "known": "ended"} for n in range(22)]
    known.ok("GET /api/restored", {"waits": True, "ended": 22, "begun": 0, "tasks": tasks})
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.FAILED
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    told = found["restored log"]
    assert told["detail"].startswith("open again: alice/t0, alice/t1, ")
    assert told["detail"].endswith("alice/t19 and 2 more")
    assert "metamcp restored end" in told["hint"]


def test_the_doctor_shows_hosts_and_the_account(
    known: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known.ok("GET /api/health", {"executors": 1, "lag": 0})
    sick = {"status": "unhealthy", "reason": "no connection: nobody is there"}
    hosts = [
        {"id": "git-mcp", "health": {"status": "warning"}},
        {"id": "github-mcp", "health": sick},
    ]
    known.ok("GET /api/mcps", hosts)
    known.ok("GET /api/accounts", [{"provider": "github", "name": "octocat"}])
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.OK
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["account github"]["detail"] == "linked as octocat"
    assert found["host git-mcp"]["state"] == "ok"
    assert found["host github-mcp"]["state"] == "off", "without a network that is no failure"
    assert "no connection" in found["host github-mcp"]["detail"]
    assert found["built-in semgrep-mcp"]["state"] == "off"


def test_the_doctor_names_the_space_kits_to_deploy_again(
    known: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known.ok("GET /api/health", {"executors": 1, "lag": 0})
    old = {"status": "unhealthy", "reason": "outdated: its kit takes no permits of this release"}
    fine = {"status": "healthy", "reason": ""}
    kinds = {"hf://ann/heavy": old, "https://own.example": old, "hf://ann/new": fine}
    hosts = [
        {"id": f"ann/h{n}", "endpoint": {"kind": "execute", "url": url}, "health": health}
        for n, (url, health) in enumerate(kinds.items())
    ]
    known.ok("GET /api/mcps", hosts)
    known.ok("GET /api/accounts", [])
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.FAILED
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    space, own, new = (found[f"host ann/h{n}"] for n in range(3))
    assert (space["state"], own["state"], new["state"]) == ("failed", "failed", "ok")
    assert "`metamcp spaces deploy ann/heavy`" in space["hint"]
    assert "METAMCP_OWNER" in own["hint"]


def test_the_doctor_says_what_to_do_while_the_log_takes_nothing(
    known: Gateway,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METAMCP_REGISTRY_BUILTINS", "false")
    trouble = {"kind": "log_unwritable", "text": "the log takes no facts", "hint": "Give it room."}
    one = {"service": "router", "instance": "router-1", "up": True, "lag": 0, "active": True}
    services = [{**one, "position": 7, "troubles": [trouble]}]
    known.ok("GET /api/health", {"services": services}, 503, message="the log takes no facts: why")
    assert execute(["doctor", "--json", "--data", str(tmp_path)]) == Exit.FAILED
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["gateway"]["state"] == "failed"
    assert found["gateway"]["detail"] == "the log takes no facts: why"
    assert found["router-1"]["hint"] == "Give it room."


def test_a_disk_with_too_little_room_for_a_start_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk(tmp_path).state == "ok"
    monkeypatch.setattr(store_disk, "free_now", lambda _: MIN_FREE - 1)
    assert disk(tmp_path).detail.endswith("and 200 MB are needed.")
    state = UpState(pid=os.getpid(), nats_url="nats://there")
    (tmp_path / STATE_FILE).write_bytes(msgspec.json.encode(state))
    assert disk(tmp_path).state == "ok", "what runs needs less than a start"
    monkeypatch.setattr(store_disk, "free_now", lambda _: 0)
    assert "goes on by itself" in disk(tmp_path).hint
