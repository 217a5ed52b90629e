"""`metamcp keys`: which key is for what, and a next one made by hand."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from contracts.facts import LogKey, Record, encode
from contracts.subjects import of
from services.cli.app import execute
from services.cli.commands.keys import NOTHING, Row, rows
from services.cli.common import Exit
from services.keys.files import KeyFolder, StoredKeys
from services.keys.permits import SigningKey
from services.log.jetstream import NatsLog
from services.up.plan import STATE_FILE, UpState
from tests.support.nats import NatsServer

OLD, NEW, OTHER = (SigningKey(ed25519.Ed25519PrivateKey.generate()) for _ in range(3))
OVERLAP_S = 120.0


def log_key(key: SigningKey, replaces: SigningKey | None = None) -> LogKey:
    replaced = replaces.kid if replaces else ""
    return LogKey(id=key.kid, by="executor-1", kid=key.kid, jwk=key.jwk, replaces=replaced)


def record(seq: int, at: float, fact: LogKey) -> Record:
    return Record(seq, at, of(fact), fact, encode(fact))


ROTATING = [
    record(1, 0.0, log_key(OLD)),
    record(2, 50.0, log_key(OTHER)),
    record(3, 100.0, log_key(NEW, replaces=OLD)),
]


@pytest.mark.parametrize(
    ("own", "now", "expected"),
    [
        # The log alone.
        (NOTHING, 160.0, [("next", 60.0), ("signing", None), ("signing", None)]),
        (NOTHING, 221.0, [("signing", None), ("signing", None), ("replaced", None)]),
        # The files know better, in both directions.
        (StoredKeys(NEW, None), 160.0, [("signing", None), ("signing", None), ("replaced", None)]),
        (StoredKeys(OLD, NEW), 221.0, [("next", 0.0), ("signing", None), ("signing", None)]),
    ],
)
def test_files_say_what_a_key_is_for_and_else_the_log(
    own: StoredKeys, now: float, expected: list[tuple[str, float | None]]
) -> None:
    found = rows(ROTATING, own, now, OVERLAP_S)
    assert [row.kid for row in found] == [NEW.kid, OTHER.kid, OLD.kid]
    assert [(row.state, row.signs_in_s) for row in found] == expected
    assert [row.since for row in found] == [100.0, 50.0, 0.0]
    assert {row.algorithm for row in found} == {"EdDSA"}


def test_keys_that_the_log_does_not_have_yet_come_first() -> None:
    found = rows([], StoredKeys(OLD, NEW), 1.0, OVERLAP_S)
    assert found == [Row(NEW.kid, "EdDSA", "next"), Row(OLD.kid, "EdDSA", "signing")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def rotate(data: Path, *arguments: str) -> int:
    return execute(["keys", "rotate", "--data", str(data), *arguments])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "variables", "algorithm", "remark"),
    [
        ([], {}, "RS256", ""),
        ([], {"METAMCP_EXECUTOR_PERMIT_ALGORITHM": "EdDSA"}, "EdDSA", ""),
        (["--algorithm", "EdDSA"], {}, "EdDSA", "METAMCP_EXECUTOR_PERMIT_ALGORITHM=EdDSA"),
    ],
)
def test_rotate_makes_the_next_key(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    algorithm: str,
    remark: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder = KeyFolder(data)
    folder.create("EdDSA")
    assert rotate(data, "--json", *arguments) == Exit.OK
    found, output = folder.look(), capsys.readouterr()
    assert found.signing is not None
    assert found.next is not None
    assert json.loads(output.out) == {
        "kid": found.next.kid,
        "algorithm": algorithm,
        "replaces": found.signing.kid,
        "overlap_s": OVERLAP_S,
    }
    assert found.next.algorithm == algorithm
    assert "announces the key when it starts" in output.err
    assert remark in output.err
    assert ("go back" in output.err) == bool(remark)
    assert "PRIVATE" not in output.out + output.err


def test_rotate_is_refused_where_it_makes_no_sense(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rotate(data) == Exit.REFUSED
    assert "An executor makes the first one" in capsys.readouterr().err
    assert not data.exists()
    folder = KeyFolder(data)
    folder.create("EdDSA")
    assert rotate(data, "--algorithm", "HS256") == Exit.USAGE
    capsys.readouterr()
    assert rotate(data) == Exit.OK
    found = folder.look()
    assert found.next is not None
    assert rotate(data) == Exit.REFUSED
    assert f"Key {found.next.kid} is the next one already" in capsys.readouterr().err
    assert folder.look() == found


@pytest.mark.parametrize("name", ["signing", "next"])
def test_rotate_says_what_is_wrong_with_a_key(
    data: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = KeyFolder(data)
    folder.create("EdDSA")
    path: Path = getattr(folder, name)
    path.touch(mode=0o600)
    path.write_text("nonsense")
    assert rotate(data) == Exit.FAILED
    assert f"{path} can't be read as a private key" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_rotate_makes_no_key_that_the_executor_could_not_read(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = KeyFolder(data)
    folder.create("EdDSA")
    os.chown(folder.signing, 65534, 65534)
    assert rotate(data) == Exit.FAILED
    assert "Run it as the user that executors run as" in capsys.readouterr().err
    assert folder.look().next is None


async def test_keys_are_listed_from_the_log_with_the_auditors_credentials(
    fresh_nats: NatsServer, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    async with fresh_nats.connected("executor") as bus, await NatsLog.open(bus) as log:
        await log.append(log_key(OLD))
        await log.append(log_key(NEW, replaces=OLD))
    state = UpState(pid=os.getpid(), nats_url=fresh_nats.url)
    (fresh_nats.data / STATE_FILE).write_bytes(msgspec.json.encode(state))
    command = ["keys", "--data", str(fresh_nats.data)]
    assert await asyncio.to_thread(execute, [*command, "--json"]) == Exit.OK
    new, old = printed(capsys)
    assert (new["kid"], new["state"], new["algorithm"]) == (NEW.kid, "next", "EdDSA")
    assert 0 < new["signs_in_s"] <= OVERLAP_S
    assert (old["kid"], old["state"]) == (OLD.kid, "signing")
    assert "signs_in_s" not in old
    assert await asyncio.to_thread(execute, command) == Exit.OK
    table = capsys.readouterr().out
    assert NEW.kid in table
    assert "signing" in table
    named = ["keys", "--nats", fresh_nats.url, "--data", str(fresh_nats.data), "--json"]
    assert await asyncio.to_thread(execute, named) == Exit.OK
    assert [row["kid"] for row in printed(capsys)] == [NEW.kid, OLD.kid]


def test_without_a_log_there_is_nothing_to_list(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["keys", "--data", str(data)]) == Exit.UNREACHABLE
    assert "metamcp up" in capsys.readouterr().err
