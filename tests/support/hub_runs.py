"""One run of a Space's files as a process of its own: built, started, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.hub_repos import Repo

START_S = 120.0
STOP_S = 15.0
LOG = 64 * 1024
_URL = re.compile(r"running on (http://\S+)")


class Failed(Exception):
    """Not built, or not started; the message is what the Hub shows its owner."""


def build(repo: Repo, folder: Path) -> None:
    """Write the files of the head as an image would hold them. Raises Failed."""
    files = {path: repo.read(entry) for path, entry in repo.head.files.items()}
    lines = files.get("Dockerfile", b"").decode().replace("\\\n", " ").splitlines()
    steps = [shlex.split(line, comments=True) for line in lines]
    steps = [step for step in steps if step]
    if not steps or steps[0][0].upper() not in ("FROM", "ARG"):
        raise Failed("Job failed with exit code: 1. Reason: dockerfile parse error: no FROM")
    for step in steps:
        if step[0].upper() == "COPY" and not any(word.startswith("--from") for word in step):
            for source in (word for word in step[1:-1] if not word.startswith("--")):
                if not any(Path(path).match(source) for path in files) and source != ".":
                    text = f'failed to calculate checksum: "/{source}": not found'
                    raise Failed(f"Job failed with exit code: 1. Reason: {text}")
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def environment(repo: Repo, app: Path, data: Path) -> dict[str, str]:
    """What a Space finds in its environment: the Hub's own, then variables, then secrets."""
    owner, _, name = repo.id.partition("/")
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(app),
        "PYTHONUNBUFFERED": "1",
        "METAMCP_STATE": str(data / "metamcp"),
        "SYSTEM": "spaces",
        "SPACE_ID": repo.id,
        "SPACE_HOST": f"{repo.subdomain}.hf.space",
        "SPACE_AUTHOR_NAME": owner,
        "SPACE_REPO_NAME": name,
        "SPACE_TITLE": str(repo.card().get("title") or name),
        "CPU_CORES": "2",
        "MEMORY": "16Gi",
    }
    given = {**repo.runtime.variables, **repo.runtime.secrets}
    return own | {key: str(item["value"]) for key, item in given.items()}


class Run:
    """A process with the app inside; `url` is known once it listens."""

    def __init__(self) -> None:
        self.url = ""
        self.said = ""
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]
        self._listens = asyncio.Event()

    @classmethod
    async def start(cls, app: Path, variables: Mapping[str, str]) -> Run:
        """Start `app.py` in its folder, on a free port, in a process group of its own."""
        run = cls()
        reading, writing = os.pipe()
        try:
            run._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "app.py", "--host", "127.0.0.1", "--port", "0"),
                cwd=app,
                env=dict(variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        run._reader = asyncio.create_task(run._read(reading))
        return run

    async def _read(self, descriptor: int) -> None:
        # A pipe of our own: asyncio's would keep `wait` waiting for those who inherited it.
        stream = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stream)
        file = os.fdopen(descriptor, "rb", 0)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, file)
        try:
            while chunk := await stream.read(4096):
                self.said = (self.said + chunk.decode("utf-8", "replace"))[-LOG:]
                if not self.url and (match := _URL.search(self.said)):
                    self.url = match[1]
                    self._listens.set()
        finally:
            transport.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def listening(self) -> None:
        """Wait until it accepts connections. Raises Failed if it ends before, or never does."""
        waiting = [asyncio.create_task(self._listens.wait()), asyncio.create_task(self.ended())]
        try:
            async with asyncio.timeout(START_S):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise Failed("Launch timed out, Space was not healthy") from None
        finally:
            for task in waiting:
                task.cancel()
        if not self._listens.is_set():
            raise Failed(self.last_words())

    async def ended(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    def last_words(self) -> str:
        """How it ended, as the Hub shows it."""
        code = self._process.returncode
        return f"Exit code: {code}. Reason: {self.said[-2000:].strip() or 'no logs'}"

    async def stop(self) -> None:
        """End it the gentle way, then all of its group and what it has started by force."""
        below = _descendants(self.pid)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            below += _descendants(self.pid)
        for pid, started in below:
            if _started(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        self._reader.cancel()
        await asyncio.wait([self._reader])


def _descendants(pid: int) -> list[tuple[int, str]]:
    """Processes below this one, each with its start, so that a reused number is noticed."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    found = [(child, _started(child)) for child in children]
    return found + [item for child in children for item in _descendants(child)]


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
