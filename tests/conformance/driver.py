"""Has the orchestrator be the client of a scenario's server, as a person would by the API.

Each scenario has a host of its own; where one has to sign in there, an HTTP client is the browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.gateway.access.identity import ensure_local_token
from services.keys.vault import key_path
from tests.support.foreign.program import run
from tests.support.system import System, add_gateway, until

AT_ONCE = 4
"""Scenarios whose servers are asked."""
CALL_S = 30
MOST_SIGN_INS = 3
"""A person's patience with one host."""
LINK = re.compile(r"`metamcp link \S+?(?: --scope '?([^'`]*)'?)?`")
KNOCK = Path(__file__).with_name("knock.py")
ROOT = Path(__file__).parents[2]


class GaveUp(Exception):
    """This is as far as a person gets."""


class Asked(msgspec.Struct, frozen=True):
    """What the suite says of a scenario; see `knock.py`."""

    scenario: str
    url: str
    context: dict[str, Any]


class ConformanceDriver:
    """Serves the programs that the suite starts."""

    def __init__(self, one: System, folder: Path) -> None:
        self._one = one
        self._folder = folder
        self._free = asyncio.Semaphore(AT_ONCE)
        self._numbers = itertools.count(1)

    async def warm(self, url: str) -> None:
        """Call some hosts at this address, so that all workers have started."""
        calls = {"toolCalls": [{"name": "greet", "arguments": {"name": "you"}}]}
        await asyncio.gather(*(self._drive(Asked("", url, calls)) for _ in range(AT_ONCE)))

    @contextlib.asynccontextmanager
    async def listening(self, python: str) -> AsyncIterator[str]:
        """Listen; what this gives is the command for the suite."""
        # Names of sockets are short.
        with tempfile.TemporaryDirectory(prefix="driver-") as folder:
            path = f"{folder}/s"
            async with await asyncio.start_unix_server(self._serve, path):
                yield f"{python} -I -S {KNOCK} {path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = msgspec.json.decode(await reader.readline(), type=Asked)
        async with self._free:
            try:
                said = await self._drive(asked)
            except (GaveUp, httpx.HTTPError, AssertionError) as error:
                said = f"{type(error).__name__}: {error}"
        writer.write(said.encode())
        writer.close()

    async def _drive(self, asked: Asked) -> str:
        number = next(self._numbers)
        scenario = Scenario(self._one, asked, f"c{number}")
        if "client_secret" in asked.context and "issuer" in asked.context:
            await self._knowing(scenario, number)
        await scenario.begin()
        try:
            return await scenario.play()
        finally:
            await scenario.end()

    async def _knowing(self, scenario: Scenario, number: int) -> None:
        """Have it sign in at a gateway whose operator has registered a client."""
        context = scenario.asked.context
        folder = self._folder / f"gateway-{number}"
        folder.mkdir()
        secret = folder / "secret"
        secret.write_text(context["client_secret"])
        secret.chmod(0o600)
        client = {"issuer": context["issuer"], "client_id": context["client_id"]}
        known = json.dumps([client | {"client_secret_file": str(secret)}])
        running = self._one.running
        scenario.gateway = await add_gateway(
            *(running, folder, f"gateway-c{number}"),
            METAMCP_GATEWAY_HOST_CLIENTS=known,
            METAMCP_MASTER_KEY=str(key_path(running.data, None)),
        )
        scenario.token = ensure_local_token(folder)


class Scenario:
    """One host, from its registration to its removal."""

    def __init__(self, one: System, asked: Asked, host: str) -> None:
        self._one = one
        self.asked = asked
        self._host = host
        self._sign_ins = 0
        self.gateway, self.token = one.url, one.running.token
        """Where people sign in, and as whom."""

    @property
    def _at(self) -> str:
        return f"{self._one.url}/api/mcps/{self._host}"

    async def begin(self) -> None:
        """Register the host."""
        entry = {"endpoint": {"kind": "http", "url": self.asked.url}}
        added = await self._one.http.post(self._at, json=entry)
        assert added.status_code == 201, added.text

    async def end(self) -> None:
        """Remove it."""
        await self._one.http.delete(self._at)

    async def play(self) -> str:
        """Do what the scenario is about; says how it went. Raises GaveUp."""
        while "sign-in needed" in (health := await self._probed())["reason"]:
            await self._sign_in(health["reason"])
        shown = (await self._one.http.get(self._at)).json()["data"]
        for call in self._calls(shown.get("tools", [])):
            await self._called(call["name"], call["arguments"])
        return f"went well: {health['status']}"

    def _calls(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What to call: what the suite says, else each tool."""
        if given := self.asked.context.get("toolCalls"):
            return list(given)
        schemas = {tool["name"]: tool["input_schema"] for tool in tools}
        if "json_schema_echo" in schemas:
            # It is to be shown the other's schema as it was understood.
            other = next(schema for name, schema in schemas.items() if name != "json_schema_echo")
            return [{"name": "json_schema_echo", "arguments": {"schema": other}}]
        if not schemas and self.asked.scenario.startswith("auth/"):
            return [{"name": "test-tool", "arguments": {}}]
        return [{"name": name, "arguments": _filled(schemas[name])} for name in schemas]

    async def _called(self, tool: str, arguments: dict[str, Any]) -> None:
        """Call a tool, and again after each sign-in that is asked for."""
        while True:
            data = {"tool": tool, "arguments": arguments}
            task = await self._one.submit(
                input=data, host=self._host, max_attempts=1, deadline_s=CALL_S
            )
            ended = await self._over(task)
            why = (ended.get("error") or {}).get("message", "")
            if ended["status"] == "succeeded" or not LINK.search(why):
                return
            await self._sign_in(why)

    async def _over(self, task: str) -> dict[str, Any]:
        """Wait for its end; what it asks is answered by `metamcp answer`."""
        found: dict[str, Any] = {}
        heard: set[int] = set()

        async def over() -> bool:
            nonlocal found
            found = await self._one.task(task)
            asked = found.get("question") or {}
            if found["status"] == "input_required" and asked["q"] not in heard:
                heard.add(asked["q"])
                await self._answer(task, _filled(asked.get("schema", {})))
            return "done_at" in found

        await until(over)
        return found

    async def _answer(self, task: str, content: dict[str, Any]) -> None:
        command = (sys.executable, "-m", "services.cli", "answer", task)
        said = ("--content", json.dumps(content)) if content else ("--accept",)
        given = {"METAMCP_URL": self._one.url, "METAMCP_TOKEN": self._one.running.token}
        ended = await run(*command, *said, cwd=ROOT, **given)
        assert ended.status == 0, ended.err

    async def _probed(self) -> dict[str, Any]:
        answer = await self._one.http.post(f"{self._at}/probe")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found | {"reason": found.get("reason") or ""}

    async def _sign_in(self, why: str) -> None:
        """Do as one is told. Raises GaveUp."""
        self._sign_ins += 1
        if self._sign_ins > MOST_SIGN_INS:
            raise GaveUp(why)
        found = LINK.search(why)
        scopes = (found[1] or "").split() if found else []
        at = f"{self.gateway}/api/mcps/{self._host}/link"
        bearer = {"Authorization": f"Bearer {self.token}"}
        begun = await self._one.http.post(at, json={"scopes": scopes}, headers=bearer)
        if begun.status_code != 200:
            raise GaveUp(begun.text)
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
            page = await browser.get(begun.json()["data"]["authorize_url"])
        if "Signed in" not in page.text:
            raise GaveUp(page.text)


def _filled(schema: dict[str, Any]) -> dict[str, Any]:
    """What has to be there, and no more."""
    samples: dict[str, Any] = {"number": 2, "integer": 2, "boolean": True, "string": "some"}
    wanted = schema.get("properties", {})
    filled: dict[str, Any] = {}
    for name in schema.get("required", ()):
        kind = wanted.get(name, {}).get("type")
        filled[name] = _filled(wanted[name]) if kind == "object" else samples.get(kind, "some")
    return filled
