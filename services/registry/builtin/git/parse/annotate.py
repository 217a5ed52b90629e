"""`git blame --porcelain`, as runs of lines that one commit wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from services.registry.builtin.git.parse.words import Decoder

_HEADER = re.compile(rb"([0-9a-f]{40,64}) (\d+) (\d+)(?: \d+)?")
_ZONE = re.compile(r"([+-])(\d\d)(\d\d)")


def parse(out: bytes, text: Decoder, most: int) -> dict[str, Any]:
    """Runs in the order of the lines, at most `most` lines, and their commits by id."""
    runs: list[dict[str, Any]] = []
    commits: dict[str, dict[str, Any]] = {}
    told: dict[str, dict[bytes, bytes]] = {}
    id_, before, now, count = "", 0, 0, 0
    for line in out.split(b"\n")[:-1]:
        if line.startswith(b"\t"):
            count += 1
            if count > most:
                break
            _added(runs, id_, (before, now), told[id_].get(b"filename", b""), text(line[1:]), text)
        elif match := _HEADER.fullmatch(line):
            id_, before, now = text(match[1]), int(match[2]), int(match[3])
            told.setdefault(id_, {})
        else:
            key, _, value = line.partition(b" ")
            told[id_][key] = value
    for run in runs:
        commits.setdefault(run["commit"], _commit(told[run["commit"]], text))
    return {"runs": runs, "commits": commits}


def _added(
    runs: list[dict[str, Any]],
    id_: str,
    numbers: tuple[int, int],
    name: bytes,
    line: str,
    text: Decoder,
) -> None:
    before, now = numbers
    path = text.name(name)["path"]
    if runs:
        last = runs[-1]
        follows = last["original_first_line"] + len(last["lines"]) == before
        if (last["commit"], last["original_path"], follows) == (id_, path, True):
            last["lines"].append(line)
            last["last_line"] = now
            return
    runs.append(
        {
            "commit": id_,
            "first_line": now,
            "last_line": now,
            "original_path": path,
            "original_first_line": before,
            "lines": [line],
        }
    )


def _commit(told: dict[bytes, bytes], text: Decoder) -> dict[str, Any]:
    commit: dict[str, Any] = {
        who: {
            "name": text(told.get(who.encode(), b"")),
            "mail": text(told.get(f"{who}-mail".encode(), b"")).strip("<>"),
            "time": _moment(
                text(told.get(f"{who}-time".encode(), b"")),
                text(told.get(f"{who}-tz".encode(), b"")),
            ),
        }
        for who in ("author", "committer")
    }
    commit["subject"] = text(told.get(b"summary", b""))
    if b"boundary" in told:
        commit["boundary"] = True
    if b"previous" in told:
        commit["previous"] = text(told[b"previous"].partition(b" ")[0])
    return commit


def _moment(seconds: str, zone: str) -> str | None:
    offset = timedelta()
    if match := _ZONE.fullmatch(zone):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3])) * (
            1 if match[1] == "+" else -1
        )
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC)
        return moment.astimezone(timezone(offset)).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
