"""What a process runs with is told with where it came from, and without any secret."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.gateway.settings import Settings
from services.process.in_force import in_force
from services.process.settings import Common, load


def test_each_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "metamcp.toml").write_text(
        "[gateway]\nmax_subscriptions = 7\n[up]\nexecutors = 2\n"
    )
    (tmp_path / ".env").write_text("METAMCP_METRICS_PORT=8091\n")
    environ = {
        "METAMCP_GATEWAY_GITHUB_CLIENT_ID": "app",
        "METAMCP_GATEWAY_GITHUB_CLIENT_SECRET": "s3cret",
        "METAMCP_NATS_URL": "nats://ann:hunter2@n1:4222,nats://n2:4222",
        "METAMCP_GATEWAY_PORT": "8081",
    }
    common = load(Common, "common", environ, cwd=tmp_path)
    gateway = load(Settings, "gateway", environ, cwd=tmp_path)
    # `metamcp up --port` says another one than the environment.
    gateway = msgspec.structs.replace(gateway, port=9000)
    told = in_force({"common": common, "gateway": gateway}, environ, tmp_path)
    by_name = {(one.section, one.name): one for one in told}
    assert (
        len(by_name)
        == len(told)
        == len(msgspec.structs.fields(Common)) + len(msgspec.structs.fields(Settings))
    )
    found = {
        name: (one.value, one.source)
        for (_, name), one in by_name.items()
        if one.source != "default"
    }
    assert found == {
        "github_client_id": ("app", "METAMCP_GATEWAY_GITHUB_CLIENT_ID"),
        "github_client_secret": (True, "METAMCP_GATEWAY_GITHUB_CLIENT_SECRET"),
        "nats_url": ("nats://…@n1:4222,nats://n2:4222", "METAMCP_NATS_URL"),
        "port": (9000, "start"),
        "max_subscriptions": (7, "metamcp.toml [gateway] max_subscriptions"),
        "metrics_port": (8091, ".env line 1: METAMCP_METRICS_PORT"),
    }
    text = msgspec.json.encode(told).decode()
    assert "s3cret" not in text
    assert "hunter2" not in text
    assert by_name["common", "data"].value == ".metamcp"


def test_with_other_variables_than_at_the_start_it_is_told_all_the_same(tmp_path: Path) -> None:
    told = in_force({"common": Common(access_days=3)}, {"METAMCP_NO_SUCH": "1"}, tmp_path)
    assert {one.name: one.source for one in told if one.source != "default"} == {
        "access_days": "start"
    }
