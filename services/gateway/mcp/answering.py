"""A call whose task asks: its client is asked, and what that answers goes into the log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mcp import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import CallToolResult, ElicitResult, InputRequiredResult
from pydantic import ValidationError

from contracts import scopes
from contracts.asks import TaskAsked
from contracts.errors import Reason, Rejected
from contracts.status import TaskView, asking
from services.gateway.access.identity import Principal
from services.gateway.asks import AnswerBody
from services.gateway.http.asks import give_answer
from services.gateway.http.parts import Parts
from services.gateway.mcp import early, questions
from services.gateway.mcp.asked import MOST_PATIENCE_S
from services.gateway.mcp.context import Context, declares_tasks, is_gone, is_modern
from services.gateway.mcp.sealed import RequestStates, unfit
from services.keys.vault import VaultError
from services.process import telemetry

ELSEWHERE = frozenset({Reason.CONFLICT, Reason.ALREADY_OVER})
"""Why an answer is not taken that comes too late: that is nobody's mistake."""

log = telemetry.get_logger()


Digest = Callable[[], str]
"""Of a call; few need it."""


class BroughtBack(NamedTuple):
    """What a call of the newer era brings back of a question."""

    task: str = ""
    """Empty: it does not say."""
    q: int = 0
    responses: Mapping[str, ElicitResult] = {}


class Questions:
    """Asks the clients of calls. One per gateway."""

    def __init__(self, parts: Parts, states: RequestStates) -> None:
        self.parts = parts
        self.states = states
        self._dropped: set[asyncio.Task[Any]] = set()

    async def brought(self, ctx: Context, who: Principal, digest: Digest) -> BroughtBack:
        """What the call brings back. Raises MCPError, LogUnavailable."""
        if not is_modern(ctx):
            return BroughtBack()
        given = ctx.params or {}
        if (state := given.get("requestState")) is None:
            return BroughtBack(responses=responses_of(given))
        found = self.states.open(who.user, str(state), digest(), self.parts.log.now())
        if await self.parts.desk.view(who.user, found.task) is None:
            raise unfit(f"there is no task {found.task} any more")
        return BroughtBack(found.task, found.q, responses_of(given))

    @contextlib.contextmanager
    def of(
        self, ctx: Context, who: Principal, brought: BroughtBack, digest: Digest
    ) -> Iterator[ClientQuestions]:
        """The questions of one call, whose client is asked no more after it."""
        made = ClientQuestions(self, ctx, who, brought, digest)
        try:
            yield made
        finally:
            made.drop()

    def drop(self, asking_: asyncio.Task[Any]) -> None:
        """Ask no more; the client is told so."""
        asking_.cancel()
        self._dropped.add(asking_)
        asking_.add_done_callback(self._dropped.discard)

    async def give(self, who: Principal, view: TaskView, said: AnswerBody) -> str:
        """Store an answer; why it was not taken, if that is for whoever gave it.

        Raises InsufficientScope.
        """
        if not may_answer(who, view):
            who.needs(scopes.TASKS_WRITE)
        try:
            await give_answer(self.parts, who, view.user, view.id, said)
        except Rejected as refusal:
            if refusal.reason in ELSEWHERE:
                log.info("mcp_answer_too_late", task=view.id, q=said.q)
                return ""
            return refusal.message
        return ""


def may_answer(who: Principal, view: TaskView) -> bool:
    """Whether somebody's token is good for answering what this task asks."""
    return who.asked(view.asked_by) or who.may(scopes.TASKS_WRITE)


def responses_of(given: Mapping[str, Any]) -> dict[str, ElicitResult]:
    """The answers to elicitations in a request's parameters; what else there is is left out."""
    found: dict[str, ElicitResult] = {}
    responses = given.get("inputResponses")
    for key, value in responses.items() if isinstance(responses, Mapping) else ():
        with contextlib.suppress(ValidationError):
            found[key] = ElicitResult.model_validate(value)
    return found


class ClientQuestions:
    """What the client of one call is asked, one question after the other."""

    def __init__(
        self, all_: Questions, ctx: Context, who: Principal, brought: BroughtBack, digest: Digest
    ) -> None:
        self._all = all_
        self._ctx = ctx
        self._who = who
        self._brought: BroughtBack | None = brought
        self._digest = digest
        self._q = 0
        """The question that was dealt with last."""
        self._pending: asyncio.Task[AnswerBody | None] | None = None

    @property
    def pending(self) -> tuple[asyncio.Task[Any], ...]:
        """What is waited for while the client has the question."""
        return () if self._pending is None else (self._pending,)

    def drop(self) -> None:
        """Ask no more."""
        if self._pending is not None:
            self._all.drop(self._pending)
            self._pending = None

    async def look(self, view: TaskView) -> CallToolResult | InputRequiredResult | None:
        """What the call is answered with because its task asks; None: it goes on waiting.

        Raises InsufficientScope, LogUnavailable.
        """
        q = 0 if view.question is None else view.question.q
        if self._pending is not None:
            if q == self._q and self._pending.done():
                return await self._heard(view)
            if q != self._q or is_gone(self._ctx):
                # Somebody else has answered, or nobody is there to answer.
                self.drop()
            return None
        if view.question is None or q == self._q or questions.is_approval(view.question):
            return None
        asked = asking(await self._all.parts.desk.facts(view.user, view.id))
        if asked is None or asked.q != q:
            # The log has gone on, of which we shall hear.
            return None
        self._q = q
        return await self._ask(view, asked, view.question.expires)

    async def _ask(
        self, view: TaskView, asked: TaskAsked, expires: float
    ) -> CallToolResult | InputRequiredResult | None:
        ctx = self._ctx
        can = questions.can_ask(ctx.session.client_capabilities, asked)
        if not (can and may_answer(self._who, view)):
            # Who takes handles is told by the task.
            return None if declares_tasks(ctx) else early.answered_early(view)
        if is_modern(ctx):
            return await self._required(view, asked, expires)
        left_s = min(MOST_PATIENCE_S, expires - self._all.parts.log.now())
        self._pending = asyncio.create_task(self._elicit(asked, left_s))
        return None

    async def _required(
        self, view: TaskView, asked: TaskAsked, expires: float
    ) -> CallToolResult | InputRequiredResult | None:
        """Take what the call has brought; else send the client back for it."""
        brought, self._brought, why = self._brought or BroughtBack(), None, ""
        if brought.q in (0, asked.q):
            said = questions.answer_of(asked, brought.responses)
            why = await self._all.give(self._who, view, said) if said else ""
            if said is not None and not why:
                return None
        try:
            state = self._all.states.seal(asked, expires, self._digest())
        except VaultError as error:
            log.warning("mcp_state_not_sealed", error=str(error))
            return early.answered_early(view)
        wanted = questions.requests_of(asked, why)
        return InputRequiredResult(input_requests=dict(wanted), request_state=state)

    async def _elicit(self, asked: TaskAsked, left_s: float) -> AnswerBody | None:
        """What the client says; None: it can't be asked, or has not answered in time."""
        session, given = self._ctx.session, dict[str, ElicitResult]()
        related = ServerMessageMetadata(related_request_id=self._ctx.request_id)
        try:
            async with asyncio.timeout(left_s):
                for key, request in questions.requests_of(asked, older=True).items():
                    given[key] = await session.send_request(request, ElicitResult, metadata=related)
                    if given[key].action == "cancel":
                        break
        except (MCPError, ValidationError, TimeoutError) as error:
            log.info("mcp_client_not_asked", task=asked.task, q=asked.q, error=str(error))
            return None
        except Exception:
            log.exception("mcp_client_not_asked", task=asked.task, q=asked.q)
            return None
        return questions.answer_of(asked, given)

    async def _heard(self, view: TaskView) -> CallToolResult | None:
        """Store what the client has said."""
        assert self._pending is not None
        said, self._pending = self._pending.result(), None
        if said is None:
            return early.answered_early(view)
        why = await self._all.give(self._who, view, said)
        return early.answered_early(view, why) if why else None
