"""A tool that asks before it answers: what of that becomes a question, and how it hears the answer.

What it asks for besides what people can say (a language model, folders) is refused in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pydantic
from mcp import ClientSession
from mcp_types import (
    INVALID_REQUEST,
    URL_ELICITATION_REQUIRED,
    CallToolResult,
    CreateMessageRequest,
    ElicitationRequiredErrorData,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    InputResponses,
    ListRootsRequest,
)

from contracts.asks import SCHEMA_BYTES, STATE_BYTES, AnswerAction
from contracts.facts import FailureKind
from contracts.message import MESSAGE_BYTES
from contracts.nesting import MAX_DEPTH, too_deep
from services.executor.attempt.call import Call, HostError
from services.executor.attempt.inquiry import HostQuestion, HostReply

NO_SAMPLING = (
    "the orchestrator offers no language model (sampling/createMessage, which MCP has deprecated):"
    " the server has to call one itself"
)
NO_ROOTS = "the orchestrator offers no roots (roots/list): paths go into the tool's arguments"
VISIT = str(URL_ELICITATION_REQUIRED)
"""The key of what an older server asks by an error."""
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""Before a tool is called again that has asked for that alone; after them it is given up."""


class Given(NamedTuple):
    """What a call takes along beside its arguments."""

    responses: InputResponses | None = None
    state: str | None = None


Ask = Callable[[Given], Awaitable[Any]]
"""Makes one `tools/call`. Raises HostError."""


def refuse_others(session: ClientSession) -> None:
    """Have servers told why they get nothing else. The SDK would offer what it has a callback for,
    so these come when it has said what is offered."""

    async def no_model(context: Any, params: Any) -> ErrorData:
        return ErrorData(code=INVALID_REQUEST, message=NO_SAMPLING)

    async def no_roots(context: Any) -> ErrorData:
        return ErrorData(code=INVALID_REQUEST, message=NO_ROOTS)

    session._sampling_callback, session._list_roots_callback = no_model, no_roots


class BadQuestion(Exception):
    """What is asked can't be put to people; the text says why."""


async def converse(call: Call, tool: str, ask: Ask) -> CallToolResult:
    """Call a tool, with the answer to what it has asked before. Raises HostError: of the kind
    `input_required`, with the question, if it asks."""
    reply = call.reply
    if reply is not None and not call.follows(reply.asked, tool):
        reply = None
    if reply is not None and reply.asked.keys == (VISIT,):
        if reply.answered.action is not AnswerAction.ACCEPT:
            text = f"{tool} of host {call.plan.host.id} wants a page to be visited: that was not"
            raise HostError(FailureKind.PROTOCOL, text, called=True, callers=True)
        result = await _through(call, tool, ask, Given())
    elif reply is not None and reply.asked.keys:
        result = await _resumed(call, tool, ask, reply)
    else:
        result = await _through(call, tool, ask, Given())
    if not isinstance(result, CallToolResult):
        raise _ended(call, _asked(call, tool, result))
    call.made += 1
    return result


def page_required(call: Call, tool: str, code: int, data: Any) -> HostError | None:
    """What an older server asks by an error: that a page is visited before the call; None: it is
    another error."""
    if code != URL_ELICITATION_REQUIRED or (call.made and not call.plan.replayable):
        return None
    try:
        # One at a time: it says so again as long as there are others.
        params = ElicitationRequiredErrorData.model_validate(data).elicitations[0]
        asked = one(tool, params, call.made)
    except (pydantic.ValidationError, IndexError, BadQuestion):
        return None
    return _ended(call, msgspec.structs.replace(asked, keys=(VISIT,)))


def _ended(call: Call, asked: HostQuestion) -> HostError:
    text = f"{asked.tool} of host {call.plan.host.id} asks: {asked.message}"
    return HostError(FailureKind.INPUT_REQUIRED, text, called=True, callers=True, question=asked)


async def _through(call: Call, tool: str, ask: Ask, given: Given) -> Any:
    """Call, and again as often as the tool asks for nothing but that."""
    for pause_s in PAUSES_S:
        result = await ask(given)
        if not isinstance(result, InputRequiredResult) or result.input_requests:
            return result
        given = Given(None, result.request_state)
        await asyncio.sleep(pause_s)
    text = f"{tool} has asked {len(PAUSES_S)} times to be called again, and was not"
    raise HostError(
        FailureKind.PROTOCOL, text, called=True, callers=True, transient=call.plan.replayable
    )


async def _resumed(call: Call, tool: str, ask: Ask, reply: HostReply) -> Any:
    """Call with the answer; a tool that has forgotten what it asked is called anew, if it may be,
    and given the answer once it asks the same."""
    asked = reply.asked
    try:
        result = await _through(call, tool, ask, Given(_responses(reply), asked.state or None))
    except HostError as error:
        if not (error.kind is FailureKind.PROTOCOL and error.callers and asked.state):
            raise
        why = error.message
    else:
        if isinstance(result, CallToolResult) or not asked.state or result.request_state:
            return result
        if not _asked(call, tool, result).same(asked):
            return result
        why = "it asks the same again"
    if not call.plan.replayable:
        text = (
            f"host {call.plan.host.id} has not taken the answer to question {asked.q} of {tool}"
            f" ({why}), and the tool may not be called anew: what came of the first call is not"
            " known. Create the task again if that does no harm"
        )
        raise HostError(FailureKind.PROTOCOL, text, called=True, callers=True)
    result = await _through(call, tool, ask, Given())
    if not isinstance(result, CallToolResult) and _asked(call, tool, result).same(asked):
        given = Given(_responses(reply), result.request_state)
        result = await _through(call, tool, ask, given)
    return result


def _asked(call: Call, tool: str, result: InputRequiredResult) -> HostQuestion:
    """The question. Raises HostError if there can be none."""
    why = ""
    if call.made and not call.plan.replayable:
        why = "before it another tool was called, which may not be called again"
    try:
        asked = question(tool, result, call.made)
    except BadQuestion as bad:
        why = str(bad)
    if why:
        text = f"{tool} of host {call.plan.host.id} asks what can't be asked: {why}"
        raise HostError(FailureKind.PROTOCOL, text, called=True, callers=True)
    return asked


def question(tool: str, result: InputRequiredResult, calls: int) -> HostQuestion:
    """What people are asked. Raises BadQuestion."""
    wanted: dict[str, ElicitRequestFormParams | ElicitRequestURLParams] = {}
    for key, request in (result.input_requests or {}).items():
        match request:
            case ElicitRequest():
                wanted[key] = request.params
            case CreateMessageRequest():
                raise BadQuestion(NO_SAMPLING)
            case ListRootsRequest():
                raise BadQuestion(NO_ROOTS)
    state = result.request_state or ""
    if (size := len(state.encode())) > STATE_BYTES:
        raise BadQuestion(f"its state has {size} bytes; {STATE_BYTES} are the most")
    keys = tuple(wanted)
    if len(wanted) == 1:
        single = one(tool, next(iter(wanted.values())), calls)
        return msgspec.structs.replace(single, keys=keys, state=state)
    forms: dict[str, Any] = {}
    for key, params in wanted.items():
        if isinstance(params, ElicitRequestURLParams):
            raise BadQuestion("a page to visit, and something else at the same time")
        forms[key] = {**params.requested_schema, "description": params.message}
    message = "\n".join(params.message for params in wanted.values())
    asked = HostQuestion(
        tool, message, {"type": "object", "properties": forms}, "", keys, state, calls
    )
    return _bounded(asked)


def one(
    tool: str, params: ElicitRequestFormParams | ElicitRequestURLParams, calls: int
) -> HostQuestion:
    """The question of a single request. Raises BadQuestion."""
    if isinstance(params, ElicitRequestURLParams):
        if urlsplit(params.url).scheme not in ("https", "http"):
            raise BadQuestion("a page to visit that has no address of the web")
        return _bounded(HostQuestion(tool, params.message, url=params.url, calls=calls))
    return _bounded(HostQuestion(tool, params.message, params.requested_schema, calls=calls))


def said(answered: AnswerAction, content: dict[str, Any] | None) -> ElicitResult:
    """The answer as a host hears it. Raises HostError for what MCP has no words for."""
    try:
        return ElicitResult(action=answered.value, content=content)
    except pydantic.ValidationError:
        text = "the answer has values that MCP can't carry: text, numbers, booleans and lists of"
        raise HostError(FailureKind.PROTOCOL, f"{text} text can be", callers=True) from None


def reply_to(reply: HostReply) -> ElicitResult:
    """The answer to a single request."""
    asked, answered = reply.asked, reply.answered
    accepted = answered.action is AnswerAction.ACCEPT and not asked.url
    return said(answered.action, answered.content if accepted else None)


def _responses(reply: HostReply) -> InputResponses:
    """The answer for each of the host's keys."""
    asked, answered = reply.asked, reply.answered
    if len(asked.keys) == 1 or answered.action is not AnswerAction.ACCEPT:
        return dict.fromkeys(asked.keys, reply_to(reply))
    return {
        key: said(AnswerAction.ACCEPT, answered.content[key])
        if key in answered.content
        else said(AnswerAction.DECLINE, None)
        for key in asked.keys
    }


def _bounded(asked: HostQuestion) -> HostQuestion:
    """The same question. Raises BadQuestion if it is more than can be asked."""
    if (size := len(asked.message.encode("utf-8", "replace"))) > MESSAGE_BYTES:
        raise BadQuestion(f"its text has {size} bytes; {MESSAGE_BYTES} are the most")
    form = msgspec.json.encode((asked.schema, asked.keys, asked.url))
    if len(form) > SCHEMA_BYTES:
        raise BadQuestion(f"its form has {len(form)} bytes; {SCHEMA_BYTES} are the most")
    if too_deep(form):
        raise BadQuestion(f"its form is nested more than {MAX_DEPTH} deep")
    return asked
