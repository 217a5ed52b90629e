"""Runs a plan's steps one after the other on a host that offers single tool calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Step
from services import telemetry
from services.executor import grammar
from services.executor.hosts.base import Answer, Call, HostError
from services.executor.workspace import Bounds, ForbiddenPath, confine

ANY_TOOL = "*"
CLEANUP_S = 2.0

CallTool = Callable[[Call, str, dict[str, Any]], Awaitable[Answer]]

log = telemetry.get_logger()


async def run(call: Call, call_tool: CallTool) -> dict[str, Any]:
    """Make the plan's tool calls and return the result to store.

    A tool that answers with an error ends the plan; clean-up steps run in every case, also when the
    call is cancelled or over its time, each for at most CLEANUP_S. Raises HostError.
    """
    kept: dict[str, Answer] = {}
    last: Answer | None = None
    try:
        for step in call.plan.steps:
            if not step.cleanup:
                last = await _step(call, step, kept, call_tool)
                if step.output is not None:
                    kept[step.output] = last
    finally:
        # A task that is being cancelled may still await: the request to cancel came once.
        await _clean_up(call, kept, call_tool)
    if len(kept) > 1:
        return {"outputs": {name: answer.wire() for name, answer in kept.items()}}
    chosen = next(iter(kept.values()), last)
    return (chosen or Answer([])).wire()


async def _step(call: Call, step: Step, kept: dict[str, Answer], call_tool: CallTool) -> Answer:
    answer = await call_tool(call, step.tool, arguments(call, step, kept))
    if answer.is_error:
        message = answer.text() or "the tool answered with an error and no text"
        raise HostError(FailureKind.TOOL, message, called=True)
    return answer


async def _clean_up(call: Call, kept: dict[str, Answer], call_tool: CallTool) -> None:
    steps = [step for step in call.plan.steps if step.cleanup]
    if not steps or call.called is False:
        return
    for step in steps:
        try:
            async with asyncio.timeout(CLEANUP_S):
                await _step(call, step, kept, call_tool)
        except (HostError, TimeoutError) as error:
            log.warning(
                "cleanup_failed", task=call.plan.task, tool=step.tool, error=str(error) or "timeout"
            )


def arguments(call: Call, step: Step, kept: dict[str, Answer]) -> dict[str, Any]:
    """Fill in a step's references and confine its paths. Raises HostError."""
    plan = call.plan
    filled: Any = step.arguments
    if not plan.literal:
        scope = grammar.Scope(
            plan.input,
            plan.task,
            plan.attempt,
            call.workspace.ensure,
            {name: answer.value() for name, answer in kept.items()},
        )
        try:
            filled = grammar.resolve(step.arguments, scope)
        except grammar.GrammarError as error:
            message = f"step {step.tool}: {error}"
            raise HostError(FailureKind.BAD_INPUT, message, called=call.called) from error
    declared = plan.host.path_arguments
    names = (*declared.get(step.tool, ()), *declared.get(ANY_TOOL, ()))
    if not names:
        return dict(filled)
    try:
        roots = (*(Path(root) for root in plan.host.roots), *call.roots)
        bounds = Bounds(call.workspace, roots, plan.host.workspace, call.private)
        return confine(filled, names, bounds)
    except ForbiddenPath as error:
        raise HostError(FailureKind.FORBIDDEN_PATH, str(error), called=call.called) from error
