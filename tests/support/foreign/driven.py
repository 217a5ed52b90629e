"""Clients of others that do as a test tells them: with a session, or a program for each order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tests.support.foreign.program import Ended, run

START_S = 120.0
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer: a list of tools is long."""


class NotDone(Exception):
    """What the client said instead of an answer."""


class Driven(Protocol):
    """A client that is told what to do."""

    era: str
    """The protocol that it speaks."""

    async def do(self, order: str, **given: Any) -> Any:
        """Have it do something; the answer is as on the wire. Raises NotDone."""


class Program:
    """A program that keeps a session: `driver.py` and `sdk_driver.mjs` say what it takes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.era = ""
        self.said = ""
        """On its standard error, once it has ended."""
        self._process = process
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._hearing = asyncio.create_task(self._hear())

    async def do(self, order: str, **given: Any) -> Any:
        number = next(self._numbers)
        line = json.dumps({"number": number, "do": order, **given}) + "\n"
        assert self._process.stdin is not None
        answer = self._expect(number)
        self._process.stdin.write(line.encode())
        return _answer(await answer)

    async def greeted(self) -> None:
        """Wait until it has its session. Raises NotDone."""
        async with asyncio.timeout(START_S):
            self.era = _answer(await self._expect(0))

    async def close(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._hearing

    def _expect(self, number: int) -> asyncio.Future[dict[str, Any]]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self._hearing.done():
            answer.set_result({"error": "the client has ended"})
        self._pending[number] = answer
        return answer

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        errors = asyncio.create_task(self._process.stderr.read())
        async for line in self._process.stdout:
            if line.startswith(b"{"):
                message = json.loads(line)
                _ends(self._pending.pop(message["number"]), message)
        self.said = (await errors).decode(errors="replace")[-4000:]
        for answer in self._pending.values():
            _ends(answer, {"error": f"the client has ended: {self.said}"})
        self._pending.clear()


@contextlib.asynccontextmanager
async def started(
    command: Sequence[str | Path], given: dict[str, Any], **environment: str
) -> AsyncIterator[Program]:
    """A program with a session; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment | {"DRIVEN": json.dumps(given)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MOST_BYTES,
    )
    program = Program(process)
    try:
        await program.greeted()
        yield program
    except BaseException as error:
        await program.close()
        error.add_note(program.said)
        raise
    finally:
        await program.close()


class Inspector(msgspec.Struct):
    """The command line of the MCP Inspector: each order is a program of its own."""

    command: tuple[str, ...]
    """With what it is told of the server."""
    environment: dict[str, str]
    era: str

    async def do(self, order: str, **given: Any) -> Any:
        match order:
            case "tools":
                return (await self._ask("tools/list"))["tools"]
            case "prompts":
                return (await self._ask("prompts/list"))["prompts"]
            case "resources":
                return (await self._ask("resources/list"))["resources"]
            case "prompt":
                return await self._ask("prompts/get", "--prompt-name", given["name"])
            case "read":
                return await self._ask("resources/read", "--uri", given["uri"])
            case "level":
                return await self._ask("logging/setLevel", "--log-level", "info")
            case "call":
                return await self._call(**given)
        # What it hears meanwhile it does not show.
        return []

    async def _call(
        self, tool: str, arguments: dict[str, Any], limit_s: float, meta: Any = None
    ) -> Any:
        words = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        said = tuple(f"{name}={value}" for name, value in (meta or {}).items())
        more = ("--tool-metadata", *said) if said else ()
        return {"steps": []} | await self._ask("tools/call", *words, *more, limit_s=limit_s)

    async def _ask(self, method: str, *words: str, limit_s: float = START_S) -> Any:
        told = (*self.command, "--method", method, *words)
        try:
            ended: Ended = await run(*told, limit_s=limit_s, **self.environment)
        except TimeoutError as error:
            raise NotDone("timed out: ended from outside") from error
        with contextlib.suppress(ValueError):
            return json.loads(ended.out)
        raise NotDone(ended.err or ended.out)


def _ends(answer: asyncio.Future[dict[str, Any]], message: dict[str, Any]) -> None:
    # Whoever asked may have gone.
    if not answer.done():
        answer.set_result(message)


def _answer(message: dict[str, Any]) -> Any:
    if "error" in message:
        raise NotDone(message["error"])
    return message["answer"]
