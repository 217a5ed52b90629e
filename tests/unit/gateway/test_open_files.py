"""Websockets are open files: the gateway sees that there may be enough of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from services.gateway.listener import SPARE_FILES, fitting
from services.gateway.settings import Settings

soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
most = fitting(Settings(max_connections=wanted)).max_connections
print(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "most", "room"),
    [
        (600, 1000, 300, 300, 344),
        (400, 1000, 300, 300, 300),
        (400, 500, 300, 244, 244),
        (200, 200, 300, 1, -56),
    ],
)
def test_the_limit_is_raised_or_fewer_are_let_in(
    soft: int, hard: int, wanted: int, most: int, room: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(wanted)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ended.stdout.split()[-2:] == [str(most), str(room)]
    assert ("few_open_files" in ended.stdout + ended.stderr) is (most < wanted)
