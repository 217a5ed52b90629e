"""Spaces of the stand-in of the Hub: their stages, variables and hardware, and what runs them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_api import SDKS, runtime
from tests.support.hub_repos import Refused, Repo, State, body, stamp
from tests.support.hub_runs import Failed, Run, build, environment

Work = Callable[[], Awaitable[None]]
AT_WORK = ("RUNNING", "RUNNING_BUILDING", "RUNNING_APP_STARTING", "APP_STARTING", "BUILDING")


class Runner:
    """Brings Spaces to the stage that they are to be in; one piece of work at a time for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._works: set[asyncio.Task[None]] = set()
        self._runs: dict[str, Run] = {}
        self._built: dict[str, Path] = {}

    def changed(self, repo: Repo) -> None:
        """Its files have changed, or it is gone."""
        its = repo.runtime
        if repo.kind != "space":
            return
        sdk = repo.card().get("sdk")
        repo.sdk = sdk if sdk in SDKS else repo.sdk
        if its.stage == "DELETING":
            self._built.pop(repo.id, None)
            self.halt(repo, "DELETING")
        elif its.stage not in ("PAUSED", "STOPPED"):
            self.rebuild(repo)

    def rebuild(self, repo: Repo) -> None:
        """Make it of its files; what runs goes on until the new one does."""
        if missing := self._missing(repo):
            self.halt(repo, missing)
            return
        runs = repo.runtime.target and repo.runtime.stage.startswith("RUNNING")
        self._stage(repo, "RUNNING_BUILDING" if runs else "BUILDING")
        self._begin(repo, lambda: self._build(repo))

    def _missing(self, repo: Repo) -> str:
        """The stage of a Space that can't even be built."""
        files = repo.head.files
        if not repo.card().get("sdk"):
            return "CONFIG_ERROR"
        wanted = {"docker": "Dockerfile", "static": "index.html"}.get(repo.sdk, "app.py")
        return "" if wanted in files or repo.runtime.served else "NO_APP_FILE"

    def restart(self, repo: Repo, *, factory: bool = False) -> None:
        """Start it anew; `factory`: from its files."""
        if missing := self._missing(repo):
            self.halt(repo, missing)
            return
        repo.runtime.target = ""
        if factory or repo.id not in self._built:
            self._stage(repo, "BUILDING")
            self._begin(repo, lambda: self._again(repo, self._build))
        else:
            self._stage(repo, "APP_STARTING")
            self._begin(repo, lambda: self._again(repo, self._start))

    async def _again(self, repo: Repo, then: Callable[[Repo], Awaitable[None]]) -> None:
        await self._end(repo)
        await then(repo)

    def wake(self, repo: Repo) -> None:
        """Somebody has asked a sleeping Space."""
        self.restart(repo)

    def halt(self, repo: Repo, stage: str, error: str = "") -> None:
        """End what runs; the Space stays at this stage."""
        repo.runtime.target = ""
        self._stage(repo, stage, error)
        self._begin(repo, lambda: self._end(repo))

    def put(self, repo: Repo, stage: str, error: str = "") -> None:
        """Set a stage by hand. One that doesn't go with a process ends it."""
        if stage in AT_WORK:
            # What was under way must not change the stage again.
            self._stage(repo, stage, error)
            self._begin(repo, _nothing)
        else:
            self.halt(repo, stage, error)

    def _stage(self, repo: Repo, stage: str, error: str = "") -> None:
        repo.runtime.stage = stage
        repo.runtime.error = error
        if stage == "RUNNING":
            repo.runtime.hardware = repo.runtime.requested

    def _begin(self, repo: Repo, work: Work) -> None:
        before = self._latest.get(repo.id)
        if before is not None:
            before.cancel()

        async def life() -> None:
            if before is not None:
                await asyncio.wait([before])
            await work()

        task = asyncio.create_task(life())
        self._latest[repo.id] = task
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _build(self, repo: Repo) -> None:
        if repo.sdk == "docker" and not repo.runtime.served:
            folder = self._folder / f"{repo.subdomain}-{next(self._numbers)}"
            try:
                await asyncio.to_thread(build, repo, folder)
            except Failed as error:
                self.halt(repo, "BUILD_ERROR", str(error))
                return
            self._built[repo.id] = folder
        runs = repo.runtime.target and repo.runtime.stage.startswith("RUNNING")
        self._stage(repo, "RUNNING_APP_STARTING" if runs else "APP_STARTING")
        await self._start(repo)

    async def _start(self, repo: Repo) -> None:
        if repo.runtime.served:
            await self._end(repo)
            repo.runtime.target = repo.runtime.served
            self._stage(repo, "RUNNING")
            return
        if repo.sdk != "docker":
            # Nothing here runs Gradio: until a test has said where it is, it is starting.
            self._stage(repo, "RUNNING" if repo.sdk == "static" else "APP_STARTING")
            return
        await self._run(repo, self._built[repo.id])

    async def _run(self, repo: Repo, app: Path) -> None:
        """Start the app, let it take the place of the one before, and stay with it."""
        data = self._folder / f"{repo.subdomain}-data"
        if not repo.runtime.volumes:
            # Without storage of its own a Space begins with an empty disk.
            data = self._folder / f"{repo.subdomain}-data-{next(self._numbers)}"
        data.mkdir(parents=True, exist_ok=True)
        run = await Run.start(app, environment(repo, app, data))
        try:
            await run.listening()
        except Failed as error:
            await run.stop()
            self.halt(repo, "RUNTIME_ERROR", str(error))
            return
        except BaseException:
            await run.stop()
            raise
        before = self._runs.get(repo.id)
        self._runs[repo.id] = run
        repo.runtime.target = run.url
        self._stage(repo, "RUNNING")
        if before is not None:
            await before.stop()
        await run.ended()
        self.halt(repo, "RUNTIME_ERROR", run.last_words())

    async def _end(self, repo: Repo) -> None:
        run = self._runs.get(repo.id)
        if run is not None:
            await run.stop()
            self._runs.pop(repo.id, None)

    async def close(self) -> None:
        """End all processes."""
        works = set(self._works)
        for task in works:
            task.cancel()
        if works:
            await asyncio.wait(works)
        await asyncio.gather(*(run.stop() for run in self._runs.values()))
        self._runs.clear()

    def pid(self, repo: Repo) -> int | None:
        """The process that it runs in."""
        run = self._runs.get(repo.id)
        return run.pid if run is not None else None


class Spaces:
    """Routes of the API that are for Spaces only."""

    def __init__(self, state: State, runner: Runner) -> None:
        self._state = state
        self._runner = runner

    def routes(self) -> list[Route]:
        space = "/api/spaces/{owner}/{name}"
        return [
            Route(space + "/runtime", self.runtime),
            *(
                Route(f"{space}/{what}", self.listed, methods=["GET", "POST", "DELETE"])
                for what in ("variables", "secrets")
            ),
            *(
                Route(f"{space}/{what}", self.changed, methods=["POST"])
                for what in ("restart", "pause", "hardware", "sleeptime")
            ),
            Route(space + "/volumes", self.volumes, methods=["PUT", "DELETE"]),
        ]

    def _space(self, request: Request, *, write: bool) -> Repo:
        request.path_params["kind"] = "spaces"
        return self._state.repo(request, write=write)

    async def runtime(self, request: Request) -> Response:
        return JSONResponse(runtime(self._space(request, write=False)))

    async def changed(self, request: Request) -> Response:
        """Restart, pause, other hardware, another time until it sleeps."""
        repo = self._space(request, write=True)
        asked = json.loads(await body(request) or b"{}")
        match request.url.path.rpartition("/")[2]:
            case "restart":
                self._runner.restart(repo, factory=request.query_params.get("factory") == "true")
            case "pause":
                self._runner.halt(repo, "PAUSED")
            case "hardware":
                repo.runtime.requested = asked["flavor"]
                repo.runtime.sleep_s = asked.get("sleepTimeSeconds", repo.runtime.sleep_s)
                self._restart(repo)
            case "sleeptime":
                repo.runtime.sleep_s = asked["seconds"]
        return JSONResponse(runtime(repo))

    async def listed(self, request: Request) -> Response:
        """Variables can be read; secrets are only ever written."""
        repo = self._space(request, write=True)
        secret = request.url.path.endswith("/secrets")
        kept = repo.runtime.secrets if secret else repo.runtime.variables
        if request.method != "GET":
            asked = json.loads(await body(request))
            key = asked["key"]
            if request.method == "DELETE":
                kept.pop(key, None)
            else:
                self._refuse_twice(repo, key, secret)
                kept[key] = _item(asked)
            self._restart(repo)
        shown = {
            key: {k: v for k, v in item.items() if not (secret and k == "value")}
            for key, item in kept.items()
        }
        return JSONResponse(shown)

    def _refuse_twice(self, repo: Repo, key: str, secret: bool) -> None:
        other = repo.runtime.variables if secret else repo.runtime.secrets
        if key in other:
            kind = "variable" if secret else "secret"
            raise Refused(400, f"Collision on {key}: a {kind} of that name exists")

    def _restart(self, repo: Repo) -> None:
        """What an app finds in its environment has changed."""
        if repo.runtime.stage in (*AT_WORK, "RUNTIME_ERROR"):
            self._runner.restart(repo)

    async def volumes(self, request: Request) -> Response:
        repo = self._space(request, write=True)
        asked = json.loads(await body(request) or b"{}")
        repo.runtime.volumes = asked.get("volumes") if request.method == "PUT" else None
        self._restart(repo)
        return JSONResponse(runtime(repo))


async def _nothing() -> None:
    pass


def _item(asked: dict[str, Any]) -> dict[str, Any]:
    item = {"value": asked["value"], "updatedAt": stamp(datetime.now(UTC))}
    return item | ({"description": asked["description"]} if "description" in asked else {})
