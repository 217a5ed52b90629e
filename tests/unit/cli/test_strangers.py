"""What strangers say does nothing to the terminal of whoever reads it, in any command."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.unit.cli.gateway import Gateway

EVIL = {
    "closing": "[/nope]",
    "link": "[link=http://evil.test]here[/link]",
    "bold": "[bold red]forged[/]",
    "emoji": ":smile:",
    "ansi": "\x1b[31mred\x1b[2J",
    "osc 8": "\x1b]8;;http://evil.test\x07here\x1b]8;;\x07",
    "c1": "\x9b31mred\x9d8;;http://evil.test\x9c",
    "bidi": "\u202etxt.exe\u2066",
    "lines": "one\r\nerror: two\x0b\x85three",
}
PLAYS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
KEPT = {
    "size": 3,
    "media_type": "",
    "created": 1.0,
    "sha256": "0" * 64,
    "uri": "",
    "kind": "inline",
}
NO_END = {"expires": None, "created": 1.0}


LINK = {"linked": True, "linked_at": 1.0, "ends": 2.0}


def answers(known: Gateway, x: str) -> None:
    """Have every answer say this wherever somebody else than the reader chooses the words."""
    health = {"status": "unhealthy", "reason": x, "latency_ms": 1.0, "checked_at": 1.0}
    tool = {"name": x, "description": x, "input_schema": {"description": x}}
    entry = {
        "id": x,
        "name": x,
        "owner": x,
        "source": x,
        "server": x,
        "protocol": x,
        "endpoint": {"kind": "stdio", "command": x, "args": [x]},
        "health": health,
        "tools": [tool],
        "probe": {"tool": x},
        "task_types": {x: {"summary": x, "example": {"a": x}}},
        "capabilities": [{"name": x, "version": x, "parameters": [x]}],
    }
    task = {
        "id": x,
        "user": "local",
        "type": x,
        "status": "failed",
        "host": x,
        "created_at": 1.0,
        "error": {"code": x, "message": x},
    }
    kept = KEPT | {"task": x, "media_type": x, "host": x, "uri": x, "deleted": x}
    known.ok("GET /api/mcps", [entry, entry | {"id": "h1"}])
    known.ok("GET /api/mcps/h1", entry | {"id": "h1"})
    known.ok("GET /api/mcps/h1/log", [{"host": "h1", "instance": x, "lines": [x]}])
    known.ok("POST /api/mcps/h1/probe", {"id": "h1", **health})
    known.ok(
        "POST /api/mcps/discover", {"spaces": [dict.fromkeys(("space", "stage", "problem"), x)]}
    )
    known.ok("GET /api/tasks", [task])
    known.ok("GET /api/tasks/t1", task | {"id": "t1"})
    known.ok("GET /api/tasks/t1/events", [])
    known.ok("GET /api/results", [kept], total=1, size=3)
    known.ok("GET /api/results/t1", kept | {"task": "t1"})
    known.ok("GET /api/preferences", [{"host": x, "weight": 1.0, "since": 1.0}])
    known.ok("GET /api/accounts", [{"provider": x, "name": x, "linked_at": 1.0, "scopes": [x]}])
    known.ok("GET /api/links", [LINK | {"host": x, "issuer": x, "scopes": [x], "broken": x}])
    profile = {"name": x, "user": x, "project": "", "hosts": [x], "description": x}
    known.ok("GET /api/profiles", [profile])
    known.ok("GET /api/spaces", [{"repo": x, "stage": x, "hardware": x, "host": x, "page": x}])
    known.ok("GET /api/tokens", [{"id": x, "user": x, "roles": [x], "note": x} | NO_END])
    service = {"service": x, "instance": x, "up": True, "active": None, "lag": 0}
    known.ok("GET /api/health", {"services": [service]})
    known.refuse("GET /api/mcps/refused", 404, x)


def bulk_answers(known: Gateway, x: str) -> None:
    """The same about batches and operations."""
    bulk = {"id": x, "created_at": 1.0, "total": 1}
    counted = bulk | {"by_status": {x: 1}, "ended_at": None}
    done = bulk | {"action": x, "state": x, "done": 0, "failed": 1}
    done |= {"failures": [{"task": x, "reason": x, "message": x}]}
    known.ok("GET /api/batches", [counted])
    known.ok("GET /api/batches/b", counted)
    known.ok("GET /api/operations", [done])
    known.ok("GET /api/operations/o", done)


COMMANDS = [
    *("hosts", "hosts h1", "hosts h1 --log", "hosts probe h1", "hosts discover", "hosts refused"),
    *("tasks", "task t1", "types", "results", "results t1", "prefer", "accounts", "spaces"),
    *("profiles", "batch", "batch b", "operations", "operations show o"),
    *("token list", "doctor"),
]


ENDS = {"hosts probe h1": Exit.FAILED, "hosts refused": Exit.REFUSED, "doctor": Exit.FAILED}


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("kind", EVIL)
def test_nothing_is_obeyed_and_all_is_shown(
    known: Gateway, capsys: pytest.CaptureFixture[str], words: str, kind: str
) -> None:
    answers(known, EVIL[kind])
    bulk_answers(known, EVIL[kind])
    for more in ([], ["--json"]):
        code = execute([*words.split(), *more])
        out, err = capsys.readouterr()
        assert code == ENDS.get(words, Exit.OK), err
        assert PLAYS.search(out + err) is None, (code, out, err)
        assert "Traceback" not in err
        if more and out:
            shown: Any = json.loads(out.splitlines()[0])
            assert shown is not None
        elif EVIL[kind].isprintable() and words != "doctor":
            # Where a line is too long for the screen it is broken.
            assert "".join(EVIL[kind].split()) in "".join((out + err).split())
