"""Runs a plan's steps one after the other on a host that offers single tool calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Step
from services.executor.attempt import grammar
from services.executor.attempt.call import Answer, Call, HostError, Spooled
from services.executor.attempt.workspace import Bounds, confine
from services.executor.hosts.bulk import together, too_big_to_use
from services.packed.names import ForbiddenPath
from services.process import telemetry
from services.process.timeouts import timeout

ANY_TOOL = "*"
CLEANUP_S = 2.0

CallTool = Callable[[Call, str, dict[str, Any]], Awaitable[Answer]]

log = telemetry.get_logger()


async def run(call: Call, call_tool: CallTool, spool: Path) -> dict[str, Any] | Spooled:
    """Make the plan's tool calls and return the result to store; a big one is put into `spool`.

    A tool that answers with an error ends the plan; clean-up steps run in every case, also when the
    call is cancelled or over its time, each for at most CLEANUP_S. Raises HostError.
    """
    kept: dict[str, Answer] = {}
    made: list[Answer] = []
    result: dict[str, Any] | Spooled | None = None
    try:
        try:
            for step in call.plan.steps:
                if not step.cleanup:
                    answer = await _step(call, step, kept, call_tool, made)
                    if step.output is not None:
                        kept[step.output] = answer
        finally:
            # A task that is being cancelled may still await: the request to cancel came once.
            await _clean_up(call, kept, call_tool)
        result = await _result(kept, made, spool)
    except HostError as error:
        result = error.answer
        raise
    finally:
        for answer in made:
            if answer.spooled is not None and answer.spooled is not result:
                answer.spooled.remove()
    return result


async def _result(
    kept: dict[str, Answer], made: list[Answer], spool: Path
) -> dict[str, Any] | Spooled:
    """One kept answer alone is the result, several are all of it, and without any the last one."""
    if len(kept) < 2:
        chosen = next(iter(kept.values()), made[-1] if made else Answer([]))
        return chosen.spooled or chosen.wire()
    if any(answer.spooled for answer in kept.values()):
        return await together(kept, spool)
    return {"outputs": {name: answer.wire() for name, answer in kept.items()}}


async def _step(
    call: Call, step: Step, kept: dict[str, Answer], call_tool: CallTool, made: list[Answer]
) -> Answer:
    answer = await call_tool(call, step.tool, arguments(call, step, kept))
    made.append(answer)
    if answer.is_error:
        whole = answer.spooled or answer.wire()
        raise HostError(FailureKind.TOOL, answer.said(), called=True, answer=whole)
    return answer


async def _clean_up(call: Call, kept: dict[str, Answer], call_tool: CallTool) -> None:
    steps = [step for step in call.plan.steps if step.cleanup]
    if not steps or call.called is False:
        return
    for step in steps:
        made: list[Answer] = []
        try:
            async with timeout(CLEANUP_S):
                await _step(call, step, kept, call_tool, made)
        except (HostError, TimeoutError) as error:
            log.warning(
                "cleanup_failed", task=call.plan.task, tool=step.tool, error=str(error) or "timeout"
            )
        finally:
            for answer in made:
                if answer.spooled is not None:
                    answer.spooled.remove()


class Values(Mapping[str, Any]):
    """The values of kept answers, made when a reference asks for one."""

    def __init__(self, kept: Mapping[str, Answer]) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> Any:
        """Return what `$step.<name>` looks into. Raises HostError if that is too big."""
        answer = self._kept[name]
        if answer.spooled is not None:
            raise too_big_to_use(name, answer)
        return answer.value()

    def __iter__(self) -> Iterator[str]:
        """Name the kept answers."""
        return iter(self._kept)

    def __len__(self) -> int:
        """Count them."""
        return len(self._kept)


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
            Values(kept),
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
