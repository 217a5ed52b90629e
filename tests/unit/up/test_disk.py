"""How much disk a server may have and needs, the ballast, and when a server is started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.process import ballast
from services.up import children, disk
from services.up.children import Crashed, Server
from services.up.disk import LOW, MIB, MIN_AGAIN, MIN_FREE, Disk
from services.up.disk_watch import AGAIN_S, DiskSeen, DiskStep, NextStart, decide, stuck
from services.up.nats_server import Embedded, NoRoom

GIB = 1024 * MIB
ROOMY = 10 * MIN_FREE


def test_a_server_may_have_what_is_free_but_for_a_part() -> None:
    assert disk.allowed(Disk(GIB)) == GIB - MIN_FREE // 2
    assert disk.allowed(Disk(GIB, used=GIB)) == 2 * GIB - MIN_FREE // 2
    assert disk.allowed(Disk(GIB), most=5 * MIB) == 5 * MIB
    assert disk.allowed(Disk(MIN_AGAIN, used=GIB)) == GIB + MIN_AGAIN // 4, "a little, always"


@pytest.mark.parametrize("megabytes", [1400, 1000, 900, 500, 300, 250])
def test_what_streams_set_aside_stays_within_what_they_may_have(megabytes: int) -> None:
    first = disk.allowed(Disk(8 * GIB))
    reserved = first // 16 + first // 32 + 4 * (first // 64)
    again = disk.allowed(Disk(megabytes * 1_000_000, used=MIB, reserved=reserved))
    assert again >= 2 * reserved, "room to change them, and for new ones"


def test_a_new_store_needs_more_than_one_that_is_there(tmp_path: Path) -> None:
    assert disk.shortage(Disk(MIN_FREE), tmp_path) is None
    assert disk.shortage(Disk(MIN_AGAIN, used=MIB, reserved=MIB), tmp_path) is None
    message, hint = disk.shortage(Disk(MIN_FREE - 50 * MIB), tmp_path) or ("", "")
    assert (
        message == f"Only 150 MB are free on the disk of {tmp_path}/nats/jetstream, and 200 MB"
        " are needed."
    )
    assert hint.startswith("Free 50 MB more there")
    assert disk.shortage(Disk(MIN_AGAIN - 1, used=MIB, reserved=MIB), tmp_path) is not None
    assert disk.full(LOW, tmp_path) is None
    assert "goes on by itself" in (disk.full(LOW - 1, tmp_path) or ("", ""))[1]


def test_a_look_finds_what_streams_have_set_aside(tmp_path: Path) -> None:
    assert disk.look(tmp_path / "nothing" / "yet").free > 0
    streams = tmp_path / ballast.STORE / "jetstream/METAMCP/streams"
    for name, text in {
        "A": '{"max_bytes":7}',
        "B": '{"max_bytes":-1}',
        "C": "{",
        "D": "{}",
    }.items():
        (streams / name / "obs/one").mkdir(parents=True)
        (streams / name / "meta.inf").write_text(text)
        (streams / name / "obs/one/meta.inf").write_text('{"max_bytes":1000}')
    found = disk.look(tmp_path)
    assert found.reserved == 7
    ballast.take(tmp_path)
    again = disk.look(tmp_path)
    assert again.used == found.used, "the ballast is none of the store"
    assert abs(again.free - found.free) < ballast.BALLAST // 2, "and counts as free"


def test_the_ballast_is_held_or_missing(tmp_path: Path) -> None:
    assert ballast.missing(tmp_path) == 0, "no embedded server here"
    (tmp_path / ballast.STORE).mkdir(parents=True)
    assert ballast.missing(tmp_path) == ballast.BALLAST
    ballast.take(tmp_path)
    assert (ballast.held(tmp_path), ballast.missing(tmp_path)) == (ballast.BALLAST, 0)
    ballast.give_up(tmp_path)
    ballast.give_up(tmp_path)
    assert ballast.held(tmp_path) == 0


def test_a_full_disk_gets_the_ballast_and_then_the_server_is_started_again() -> None:
    next_, step = decide(NextStart(), DiskSeen(10, LOW - 1, held=True, failing=True))
    assert step is DiskStep.GIVE_UP
    next_, step = decide(next_, DiskSeen(11, LOW, held=False, failing=True))
    assert step is DiskStep.RESTART
    next_, step = decide(next_, DiskSeen(12, LOW, held=False, failing=False))
    assert step is DiskStep.NOTHING, "too little to take the ballast again"
    assert decide(next_, DiskSeen(13, MIN_FREE, held=False, failing=False))[1] is DiskStep.TAKE
    assert decide(next_, DiskSeen(13, ROOMY, held=True, failing=False))[1] is DiskStep.NOTHING


def test_nothing_is_started_on_a_full_disk() -> None:
    assert decide(NextStart(), DiskSeen(10, 0, held=False, failing=True))[1] is DiskStep.NOTHING


def test_starts_that_do_not_help_come_less_and_less_often() -> None:
    next_, starts = NextStart(), []
    for second in range(200):
        next_, step = decide(next_, DiskSeen(second, ROOMY, held=True, failing=True))
        starts += [second] if step is DiskStep.RESTART else []
    assert starts == [0, 15, 45, 105]
    full = decide(next_, DiskSeen(200, 0, held=False, failing=True))[0]
    assert full.pause == AGAIN_S, "the disk was full again: that is why"


def test_the_server_names_the_streams_that_take_nothing() -> None:
    said = (
        b'{"server":{},"data":{"status":"error","status_code":503,"errors":['
        b'{"type":"STREAM","account":"A","stream":"X","error":"JetStream stream \'A > X\' write'
        b' error: write 1.blk: no space left on device"},'
        b'{"type":"STREAM","account":"A","stream":"Y","error":"not found"}]}}'
    )
    assert stuck(said) == ["X"]
    assert stuck(b'{"data":{"status":"ok","status_code":200}}') == []


class Filling(Embedded):
    """A server that finds no room at its first start, and ends at once whenever it runs."""

    starts = 0

    async def start(self, timeout: float = 0) -> None:
        self.starts += 1
        if self.starts == 1:
            raise NoRoom("The disk is full.", "Free some space.")

    async def wait(self) -> int:
        return 0

    async def end(self, grace: float = 0) -> None:
        return None


async def test_a_server_waits_for_room_and_a_start_that_was_asked_for_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "ROOM_S", 0)
    embedded = Filling(tmp_path)
    server = Server(embedded)
    await server.restart()
    with pytest.raises(Crashed):
        await asyncio.wait_for(server.run(), 5)
    assert embedded.starts == 3, "without room, with it, and once more as it was asked"
