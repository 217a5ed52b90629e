"""The wrapped MCP server: started, watched, started again with backoff; it runs plans.

One owner task holds the SDK's client, because it must be entered and left in the same task.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tasks
import wire
from child import TOO_LARGE, Child, environment_for
from mcp import Client, MCPError
from mcp import types as mcp_types
from wire import Answer, Refused

FIRST_DELAY_S, LAST_DELAY_S = 0.25, 30.0
STABLE_S = 30.0
"""A server that ran this long ended by accident: the backoff begins anew."""
CLEANUP_S = 2.0
LINE_EXTRA = 64 * 1024

log = logging.getLogger("space")

Results = dict[str, mcp_types.CallToolResult]
"""Answers by the name under which they are kept."""


class Ended(Exception):
    """A run that ended before its steps did; `answer` says how."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"ended with status {answer.status}")
        self.answer = answer


class Session:
    """One run of the server's process that is ready for calls."""

    def __init__(self, client: Client, child: Child, over: asyncio.Event) -> None:
        self._client = client
        self._child = child
        self.over = over
        """Set when the process is gone."""

    async def call(
        self, tool: str, arguments: dict[str, Any], meta: dict[str, Any]
    ) -> mcp_types.CallToolResult:
        """Make exactly one `tools/call`. Raises Ended."""
        extra: Any = meta
        try:
            # The session's own method, because the client's would ask again by itself.
            result = await self._client.session.call_tool(
                tool, arguments, meta=extra, allow_input_required=True
            )
        except MCPError as error:
            raise Ended(await self._failure(tool, error)) from error
        except (RuntimeError, ValueError) as error:
            text = f"the answer of {tool} is not valid: {error}"
            raise Ended(wire.failure(500, "internal", text)) from error
        if not isinstance(result, mcp_types.CallToolResult):
            text = f"{tool} asks for more input, which a task can't give"
            raise Ended(wire.failure(500, "internal", text))
        return result

    async def _failure(self, tool: str, error: MCPError) -> Answer:
        match error.code:
            case mcp_types.CONNECTION_CLOSED:
                # By then it is known how the process ended.
                await self.over.wait()
                text = f"the wrapped server ended during the call of {tool}: {self.ended()}"
                return wire.failure(409, "outcome_unknown", text)
            case code if code == TOO_LARGE:
                return wire.failure(413, "too_large", error.message)
            case code:
                text = f"{tool}: JSON-RPC error {code}: {error.message}"
                return wire.failure(500, "internal", text)

    def ended(self) -> str:
        """How the process ended."""
        return f"it {self._child.ended() or 'closed the connection'}"


class Server:
    """Keeps the server running from `start` to `stop`."""

    def __init__(self, config: tasks.Config, max_answer: int) -> None:
        self._config = config
        self._max_answer = max_answer
        self._stop = asyncio.Event()
        self._session: Session | None = None
        self._owner: asyncio.Task[None] | None = None
        self.problem = "the wrapped server is starting"
        """Why there is no session; empty while there is one."""
        self.about: dict[str, str] = {}
        """Name, version and protocol of the server."""

    def start(self) -> None:
        """Begin to start the server; it is ready later."""
        self._owner = asyncio.create_task(self._own(), name="server")

    async def stop(self) -> None:
        """End the server and wait until it is gone."""
        self._stop.set()
        if self._owner is not None:
            await asyncio.wait([self._owner])

    def session(self) -> Session:
        """The session that is ready now. Raises Refused(503)."""
        if self._session is None:
            raise Refused(503, "starting", self.problem, retry_after_s=1)
        return self._session

    async def run(self, session: Session, plan: tasks.Plan) -> Answer:
        """Carry out a plan's steps, one after the other; cancelling it cancels the call.

        A tool that answers with an error ends the plan; clean-up steps run in every case.
        """
        kept: Results = {}
        try:
            if plan.workspace is not None:
                await asyncio.to_thread(tasks.write, plan.workspace, plan.files)
            return self._answer(await self._steps(session, plan, kept))
        except Ended as end:
            return end.answer
        except Refused as refusal:
            return refusal.answer()
        finally:
            # A task that is being cancelled may still await: the request to cancel came once.
            await self._clean_up(session, plan, kept)

    async def _steps(self, session: Session, plan: tasks.Plan, kept: Results) -> Results:
        """The answers that count: the kept ones, else the last one; or the first error alone."""
        last: Results = {}
        for step in plan.steps:
            if step.cleanup:
                continue
            arguments = tasks.arguments(plan, step, _Values(kept))
            last = {"": await session.call(step.tool, arguments, plan.meta)}
            if last[""].is_error:
                return last
            if step.output is not None:
                kept[step.output] = last[""]
        return kept or last

    def _answer(self, results: Results) -> Answer:
        content = [
            item.model_dump(mode="json", by_alias=True, exclude_unset=True)
            for result in results.values()
            for item in result.content
        ]
        if len(results) == 1:
            (result,) = results.values()
            structured, is_error = result.structured_content, bool(result.is_error)
        else:
            structured, is_error = {name: _value(one) for name, one in results.items()}, False
        try:
            answer = wire.success(content, structured, is_error)
        except ValueError as error:
            return wire.failure(500, "internal", f"the tool's answer is no JSON: {error}")
        if isinstance(answer.body, bytes) and (size := len(answer.body)) > self._max_answer:
            text = f"the answer has {size} bytes, more than {self._max_answer}"
            return wire.failure(413, "too_large", text)
        return answer

    async def _clean_up(self, session: Session, plan: tasks.Plan, kept: Results) -> None:
        for step in plan.steps:
            if step.cleanup and not session.over.is_set():
                try:
                    arguments = tasks.arguments(plan, step, _Values(kept))
                    async with asyncio.timeout(CLEANUP_S):
                        await session.call(step.tool, arguments, plan.meta)
                except (Ended, Refused, TimeoutError) as error:
                    log.warning("clean-up with %s failed: %s", step.tool, error or "timeout")
        if plan.workspace is not None:
            await asyncio.to_thread(shutil.rmtree, plan.workspace, ignore_errors=True)

    async def _own(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            await self._live()
            failures = 1 if time.monotonic() - began > STABLE_S else failures + 1
            if not self._stop.is_set():
                log.error("%s", self.problem)
            delay = min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 10))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()

    async def _live(self) -> None:
        """One process from start to end. Afterwards `problem` says why it ended."""
        config, child, said, over = self._config, None, "", asyncio.Event()
        environment = environment_for(config.env, config.env_from)
        limit = self._max_answer + LINE_EXTRA
        try:
            child = await Child.start(config.command, config.args, environment, config.cwd, limit)
            said = await self._serve(child, over)
        except Exception as error:
            said = _reason(error)
        finally:
            self._session = None
            how = child.ended() if child is not None else ""
            if child is not None:
                await child.stop()
                how = how or child.ended()
            self.problem = f"the wrapped server {said or 'ended'}" + (f" (it {how})" if how else "")
            over.set()

    async def _serve(self, child: Child, over: asyncio.Event) -> str:
        """Hold the client until the process ends or somebody says stop; why, if that is wrong."""
        budget = self._config.start_s
        limit = asyncio.timeout(budget)
        try:
            async with limit, Client(child.streams()) as client:
                if missing := self._config.tools - await _tools(client):
                    return f"has no tool {sorted(missing)[0]!r}, which server.toml names"
                limit.reschedule(None)
                self._ready(Session(client, child, over), client)
                await _first(child.exited, self._stop)
                self._session, self.problem = None, "the wrapped server ended"
        except TimeoutError:
            if not limit.expired():
                raise
            return f"did not answer within {budget:g} s"
        return ""

    def _ready(self, session: Session, client: Client) -> None:
        self._session, self.problem = session, ""
        info = client.server_info
        self.about = {
            "name": info.name if info else "",
            "version": info.version if info else "",
            "protocol": client.protocol_version or "",
        }
        log.info("the wrapped server is ready: %s", self.about)


class _Values(Mapping[str, Any]):
    """What kept answers amount to, made when a reference asks for one."""

    def __init__(self, kept: Results) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> Any:
        return _value(self._kept[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def _value(result: mcp_types.CallToolResult) -> Any:
    """What one answer amounts to: structured, else the text as JSON, else the text."""
    if result.structured_content is not None:
        return result.structured_content
    text = "\n".join(item.text for item in result.content if item.type == "text")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def _tools(client: Client) -> set[str]:
    """All tools; it also lets the SDK know their output schemas."""
    page = await client.list_tools()
    names = {tool.name for tool in page.tools}
    while page.next_cursor:
        page = await client.list_tools(cursor=page.next_cursor)
        names |= {tool.name for tool in page.tools}
    return names


async def _first(*events: asyncio.Event) -> None:
    """Wait for any of these."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()


def _reason(error: BaseException) -> str:
    """The innermost error of a group: the one that says something."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError) and error.code == mcp_types.CONNECTION_CLOSED:
        return "closed the connection before it answered"
    if isinstance(error, OSError):
        return f"can't be started: {error}"
    return f"failed: {type(error).__name__}: {error}"
