"""The tools and the prompt of the suite that want something of whoever calls.

A server of the newer era answers with what it wants to know, and is called again; one of the older
era asks while the call is open.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types as t
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tests.conformance.host.words import JOB_S, form, passing, said

SIGNED_WITH = b"the fixture's own"
Requests = Mapping[str, t.InputRequest]
Given = t.CallToolRequestParams | t.GetPromptRequestParams
Context = ServerRequestContext[Any, Any]
Answer = t.CallToolResult | t.InputRequiredResult
Told = dict[str, Any]
"""What was answered, by the names of the questions."""

NAME = {"name": {"type": "string"}}
CHOICES = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {
        "type": "string",
        "oneOf": [
            {"const": "value1", "title": "First Option"},
            {"const": "value2", "title": "Second Option"},
        ],
    },
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    "titledMulti": {
        "type": "array",
        "items": {
            "anyOf": [
                {"const": "value1", "title": "First Choice"},
                {"const": "value2", "title": "Second Choice"},
            ]
        },
    },
}
DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
USER = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}
WHO = {"user_name": form("What is your name?", NAME)}
SURE = {"confirm": form("Please confirm", {"ok": {"type": "boolean"}})}
STEPS = (
    {"step1": form("Step 1: What is your name?", NAME)},
    {"step2": form("Step 2: What is your favorite color?", {"color": {"type": "string"}})},
)
ROOTS: Requests = {"client_roots": t.ListRootsRequest()}


def sampled(key: str, prompt: str, most: int = 100) -> Requests:
    """To be answered by a model of the client's."""
    message = t.SamplingMessage(role="user", content=t.TextContent(type="text", text=prompt))
    params = t.CreateMessageRequestParams(messages=[message], max_tokens=most)
    return {key: t.CreateMessageRequest(params=params)}


def sealed(state: str) -> str:
    """State that nobody else can make."""
    proof = hmac.new(SIGNED_WITH, state.encode(), hashlib.sha256).hexdigest()
    return f"{state}.{proof}"


async def told(
    context: Context, given: Given, wanted: Requests, state: str = ""
) -> Told | t.InputRequiredResult:
    """All that is wanted, or what to answer to get it. Raises MCPError for another's `state`."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {key: await _asked(context, wanted[key]) for key in wanted}
    answers = given.input_responses or {}
    if all(key in answers for key in wanted):
        if state and given.request_state != sealed(state):
            raise MCPError(t.INVALID_PARAMS, "this is no requestState of mine")
        return {key: answers[key].model_dump(by_alias=True) for key in wanted}
    missing = {key: one for key, one in wanted.items() if key not in answers}
    return t.InputRequiredResult(
        input_requests=missing, request_state=sealed(state) if state else None
    )


async def _asked(context: Context, wanted: t.InputRequest) -> dict[str, Any]:
    kinds: dict[str, type[t.Result]] = {
        "elicitation/create": t.ElicitResult,
        "sampling/createMessage": t.CreateMessageResult,
        "roots/list": t.ListRootsResult,
    }
    related = ServerMessageMetadata(related_request_id=context.request_id)
    got = await context.session.send_request(wanted, kinds[wanted.method], metadata=related)
    return got.model_dump(by_alias=True)


def text_of(answer: Mapping[str, Any]) -> str:
    """What a person or a model said, as one text."""
    content = answer.get("content") or {}
    return str(content.get("text") or ", ".join(str(value) for value in content.values()))


def simply(wanted: Requests, says: Callable[[Told], str], state: str = "") -> Any:
    """A tool that asks all at once, and then says something."""

    async def called(context: Context, given: Given) -> Answer:
        known = await told(context, given, wanted, state)
        return known if isinstance(known, t.InputRequiredResult) else said(says(known))

    return called


def elicited(properties: Mapping[str, Any], begins: str) -> Any:
    """A tool of which the suite looks at the form alone."""

    async def called(context: Context, given: Given) -> Answer:
        arguments = getattr(given, "arguments", None) or {}
        message = arguments.get("message", "Please say")
        known = await told(context, given, {"answer": form(message, properties)})
        if isinstance(known, t.InputRequiredResult):
            return known
        answer = known["answer"]
        return said(f"{begins}: action={answer['action']}, content={answer.get('content')}")

    return called


async def sampling(context: Context, given: Given) -> Answer:
    """Have a model of the client's answer."""
    prompt = str((getattr(given, "arguments", None) or {}).get("prompt"))
    known = await told(context, given, sampled("answer", prompt))
    if isinstance(known, t.InputRequiredResult):
        return known
    return said(f"LLM response: {text_of(known['answer'])}")


async def by_steps(context: Context, given: Given) -> Answer:
    """Ask twice, one after the other."""
    is_second = given.request_state == sealed("step2")
    for step in STEPS[is_second:]:
        known = await told(context, given, step, state=next(iter(step)))
        if isinstance(known, t.InputRequiredResult):
            return known
    return said("That is all.")


async def as_the_client_can(context: Context, given: Given) -> Answer:
    """Ask for what the client says that it is able to do."""
    able = context.session.client_capabilities or t.ClientCapabilities()
    wanted: dict[str, t.InputRequest] = {}
    if able.sampling is not None:
        wanted |= sampled("capital", "What is the capital of France?")
    if able.elicitation is not None:
        wanted |= WHO
    known = await told(context, given, wanted) if wanted else {}
    return known if isinstance(known, t.InputRequiredResult) else said("asked")


def after_a_while(then: Any) -> Any:
    """A tool that asks when a client has long been given a task."""

    async def called(context: Context, given: Given) -> Answer:
        if not given.input_responses:
            await passing(JOB_S)
        found: Answer = await then(context, given)
        return found

    return called


async def then_long(context: Context, given: Given) -> Answer:
    """Ask, and take long with what was answered."""
    known = await told(context, given, WHO)
    if isinstance(known, t.InputRequiredResult):
        return known
    await passing(JOB_S)
    return said(f"Hello, {text_of(known['user_name'])}!")


async def prompt(
    context: Context, given: t.GetPromptRequestParams
) -> t.GetPromptResult | t.InputRequiredResult:
    """The prompt that has to know something first."""
    asked = form("What context should the prompt use?", {"context": {"type": "string"}})
    known = await told(context, given, {"user_context": asked})
    if isinstance(known, t.InputRequiredResult):
        return known
    content = t.TextContent(type="text", text=f"Use {text_of(known['user_context'])}.")
    return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=content)])


SURE_OF_IT = {"confirm": form("Delete it?", {"confirm": {"type": "boolean"}})}
TWO = {"first": form("The first?", NAME), "second": form("The second?", NAME)}
EVERYTHING: Requests = WHO | sampled("greeting", "Generate a greeting", 50) | ROOTS

ASKING: Mapping[str, Callable[[Context, Any], Awaitable[Answer]]] = {
    "test_sampling": sampling,
    "test_elicitation": elicited(USER, "User response"),
    "test_elicitation_sep1034_defaults": elicited(DEFAULTS, "Elicitation completed"),
    "test_elicitation_sep1330_enums": elicited(CHOICES, "Elicitation completed"),
    "test_streaming_elicitation": elicited(NAME, "Elicitation completed"),
    "test_input_required_result_elicitation": simply(
        WHO, lambda known: f"Hello, {text_of(known['user_name'])}!"
    ),
    "test_input_required_result_sampling": simply(
        sampled("capital_question", "What is the capital of France?"),
        lambda known: text_of(known["capital_question"]),
    ),
    "test_input_required_result_list_roots": simply(
        ROOTS, lambda known: str(known["client_roots"].get("roots"))
    ),
    "test_input_required_result_request_state": simply(SURE, lambda _: "state-ok", "sure"),
    "test_input_required_result_tampered_state": simply(SURE, lambda _: "done", "tampered"),
    "test_input_required_result_multiple_inputs": simply(EVERYTHING, str, "everything"),
    "test_input_required_result_multi_round": by_steps,
    "test_input_required_result_capabilities": as_the_client_can,
    "test_tool_with_task": then_long,
    "confirm_delete": after_a_while(simply(SURE_OF_IT, lambda _: "deleted")),
    "multi_input": after_a_while(simply(TWO, lambda _: "both are known")),
}
"""By the names that the suite calls."""
