"""A stand-in of the Hugging Face Hub: its HTTP protocol on loopback, for the unmodified library.

Runs in a thread of its own, so that synchronous and asynchronous clients of this process can
use it. It has no Xet storage: its clients set HF_HUB_DISABLE_XET, see `environment`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from huggingface_hub import constants
from starlette.applications import Starlette

from tests.support.hub_api import Api
from tests.support.hub_commits import Writes
from tests.support.hub_files import Reads
from tests.support.hub_gate import Failure, Gate, Request, Wire, refused
from tests.support.hub_proxy import PREFIX, Proxy
from tests.support.hub_repos import Commit, Refused, Repo, State, Token
from tests.support.hub_spaces import Runner, Spaces
from tests.support.system import until

KEPT = 50_000
PATIENCE_S = 60.0
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
T = TypeVar("T")


class HubServer:
    """The server; start it with `hub_server`."""

    def __init__(self, folder: Path) -> None:
        self.state = State()
        self.url = ""
        self.space_url = ""
        self.connections: dict[Any, Any] = {}
        self._folder = folder
        self._down = False
        self._failures: list[Failure] = []
        self._requests: collections.deque[Request] = collections.deque(maxlen=KEPT)
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._runner: Runner
        self._thread = threading.Thread(target=self._work, name="hub", daemon=True)
        self._listens = threading.Event()
        self._sockets: list[socket.socket] = []

    # For tests: who, trouble, Spaces.

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use this Hub and no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "METAMCP_SPACE_URL": self.space_url,
        }

    def account(
        self,
        name: str,
        *,
        role: str = "write",
        permissions: tuple[str, ...] = (),
        orgs: tuple[str, ...] = (),
    ) -> str:
        """A new token of this user; role `read`, `write`, or `fineGrained` with permissions."""
        token = "hf_" + "".join(secrets.choice(ALPHABET) for _ in range(34))
        self.state.tokens[token] = Token(name, role, permissions, orgs, datetime.now(UTC))
        return token

    def revoke(self, token: str) -> None:
        """From now on it is refused."""
        del self.state.tokens[token]

    def fail(
        self,
        match: str,
        *,
        status: int = 0,
        times: int = 1,
        retry_after: float | None = None,
        after: bool = False,
        hang: bool = False,
        torn_at: int | None = None,
    ) -> None:
        """Let the next `times` requests whose "METHOD path" has the pattern in it fail.

        They are answered `status`; 0: cut. `after`: the work is done, then the connection is
        cut. `hang`: no answer until the client goes. `torn_at`: the answer is cut off after so
        many bytes of its body.
        """
        pattern = re.compile(match)
        self._failures.append(Failure(pattern, status, times, retry_after, after, hang, torn_at))

    def heal(self) -> None:
        """Forget all failures that have not happened yet."""
        self._failures.clear()

    @property
    def down(self) -> bool:
        """While true, every connection is cut at once."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        def cut() -> None:
            self._down = down
            for transport in list(self.connections.values()) if down else ():
                transport.abort()

        self._do(cut)

    @property
    def requests(self) -> list[Request]:
        """The latest requests, oldest first."""
        return list(self._requests)

    @property
    def repos(self) -> dict[tuple[str, str], Repo]:
        """By type (model, dataset, space) and owner/name."""
        return dict(self.state.repos)

    def commits(self, kind: str, repo: str) -> list[Commit]:
        """All of main, the oldest first."""
        return list(self.state.repos[kind, repo].history("main"))[::-1]

    def files(self, kind: str, repo: str, revision: str = "main") -> dict[str, bytes]:
        """Content of all files at a revision."""
        its = self.state.repos[kind, repo]
        return {path: its.read(entry) for path, entry in its.at(revision).files.items()}

    def blobs(self, kind: str, repo: str) -> dict[str, bytes]:
        """All that was ever stored: small files by git's id, LFS objects by SHA-256."""
        its = self.state.repos[kind, repo]
        return {**its.blobs, **its.objects}

    def tag(self, space: str, *tags: str) -> None:
        """Give a Space more tags than its README.md does."""
        self._do(lambda: self._space(space).tags.update(tags))

    def stage(self, space: str, stage: str, error: str = "") -> None:
        """Set a Space's stage by hand; one without a process, like SLEEPING, ends it."""
        self._do(lambda: self._runner.put(self._space(space), stage, error))

    def stage_of(self, space: str) -> str:
        """Its stage now."""
        return self._space(space).runtime.stage

    async def until_stage(self, space: str, *stages: str) -> None:
        """Wait until a Space is at one of these stages; fails at once on an error of its own."""

        async def is_there() -> bool:
            runtime = self._space(space).runtime
            stage = runtime.stage
            if stage not in stages:
                assert not stage.endswith("_ERROR"), f"{space} is at {stage}: {runtime.error}"
            return stage in stages

        await until(is_there, seconds=PATIENCE_S, every=0.02)

    def serve(self, space: str, url: str, at: str = "") -> None:
        """Let a Space run whose app is at this URL, below the path `at` of the Space."""

        def serve() -> None:
            repo = self._space(space)
            repo.runtime.served, repo.runtime.served_at = url, at.rstrip("/")
            self._runner.rebuild(repo)

        self._do(serve)

    def pid(self, space: str) -> int | None:
        """The process in which a Space runs."""
        return self._do(lambda: self._runner.pid(self._space(space)))

    def _space(self, space: str) -> Repo:
        return self.state.repos["space", space]

    # For the gate, in the server's thread.

    def failure(self, request: str) -> Failure | None:
        """The trouble that is in store for this request."""
        for failure in self._failures:
            if failure.times > 0 and failure.match.search(request):
                failure.times -= 1
                return failure
        return None

    def record(self, request: Request) -> None:
        """Keep it for assertions."""
        self._requests.append(request)

    # Life.

    def start(self) -> None:
        """Listen; returns when connections are accepted."""
        self._sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.url, self.state.storage_url = (
            f"http://127.0.0.1:{one.getsockname()[1]}" for one in self._sockets
        )
        self.state.url = self.url
        self.space_url = f"{self.url}{PREFIX}{{subdomain}}"
        self._thread.start()
        if not self._listens.wait(PATIENCE_S) or not self._thread.is_alive():
            raise RuntimeError("the stand-in of the Hub did not start")

    def close(self) -> None:
        """End the server and all Spaces; returns when they are gone."""
        self.down = True
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            raise RuntimeError("the stand-in of the Hub did not end")

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            # Nobody need wait for one that has failed.
            self._listens.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runner = Runner(self._folder / "spaces")
        proxy = Proxy(self.state, self._runner)
        api = Api(self.state, self._runner.changed)
        routes = [
            *Spaces(self.state, self._runner).routes(),
            *api.routes(),
            *Writes(self.state, self._runner.changed).routes(),
            *Reads(self.state).routes(),
        ]
        app = Starlette(routes=routes, exception_handlers={Refused: refused})
        config = uvicorn.Config(
            Gate(self, app, proxy),
            http=functools.partial(Wire, self),  # type: ignore[arg-type]
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # A client that is about to use an old connection again must not find it closed.
            timeout_keep_alive=600,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._loop.call_soon(self._listens.set)
        try:
            await self._server.serve(sockets=self._sockets)
        finally:
            await self._runner.close()
            await proxy.close()

    def _do(self, what: Callable[[], T]) -> T:
        """Do it in the server's thread."""

        async def run() -> T:
            return what()

        work: Coroutine[Any, Any, T] = run()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


@contextlib.asynccontextmanager
async def hub_server(folder: Path) -> AsyncIterator[HubServer]:
    """Run the stand-in; the library of this process uses no Xet as long.

    Tests that upload LFS files ignore a warning about the library's own use of its client:
    `pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")`.
    """
    hub = HubServer(folder)
    xet, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    await asyncio.to_thread(hub.start)
    try:
        yield hub
    finally:
        await asyncio.to_thread(hub.close)
        constants.HF_HUB_DISABLE_XET = xet
