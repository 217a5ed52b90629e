"""A terminal that is closed under `metamcp up`: it drains, as on SIGTERM."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import httpx
import pytest

from services.up import up
from tests.support.system import manifest, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[2]


def in_a_terminal(*command: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start it in a terminal of its own, which is closed with the second of the answer."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=_led,
    )
    os.close(its)
    return process, ours


def _led() -> None:
    """Lead the terminal's session; whoever runs the tests under `nohup` does not mean this one."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.long
async def test_calls_that_run_when_the_terminal_closes_come_to_their_end(tmp_path: Path) -> None:
    hosts, record = manifest(tmp_path, {"one": 4})
    data = tmp_path / "data"
    command = (sys.executable, "-m", "services.cli", "up", "--port", "0", "--data", str(data))
    process, terminal = in_a_terminal(*command, "--manifest", str(hosts))
    try:

        async def there() -> bool:
            return (data / "credentials" / "token").exists() and (data / "gateway.json").exists()

        await until(there)
        token = (data / "credentials" / "token").read_text().strip()
        given = {"tool": "work", "arguments": {"ms": 2000}}
        body = {"type": "mcp.call", "host": "one", "id": "hung-up", "input": given}
        head = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=head, trust_env=False) as client:
            answer = await client.post(f"{up.read_gateway_url(data)}/api/tasks", json=body)
            assert answer.is_success, answer.text

        async def begun() -> bool:
            return record.exists() and '"start"' in record.read_text()

        await until(begun)
    finally:
        os.close(terminal)
        code = await asyncio.to_thread(process.wait, 30)
    assert code == 0
    async with system(tmp_path, {"one": 4}, real=False) as again:
        view = await again.finished("hung-up")
    assert (view["status"], view["attempt"]) == ("succeeded", 1)
