"""What tasks ask, as the clients of `/mcp` are asked it, and what those answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from mcp_types import ClientCapabilities, ElicitRequest, ElicitResult
from mcp_types import ElicitRequestFormParams as Form
from mcp_types import ElicitRequestURLParams as Page

from contracts.asks import AnswerAction, QuestionKind, TaskAsked, TaskQuestion
from contracts.facts import Record
from contracts.status import TaskView
from services.gateway.asks import AnswerBody

ONLY_KEY = "answer"
"""What a question is called whose host has no name for it."""
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def keys_of(asked: TaskAsked) -> tuple[str, ...]:
    """What the host calls the things it asks for, in order."""
    return asked.keys or (ONLY_KEY,)


def key_at(asked: TaskAsked, key: str) -> str:
    """The same for clients that follow the task: no two questions of it have one key."""
    return f"{asked.q}-{key}"


def requests_of(
    asked: TaskAsked, why: str = "", *, older: bool = False
) -> dict[str, ElicitRequest]:
    """The elicitations that a question is, by key and in order.

    `why`: an answer to it was not taken; `older`: as the older era has them.
    """
    keys, note = keys_of(asked), f"\n\n(Not taken: {why})" if why else ""
    if asked.url:
        id_ = f"{asked.task}-{asked.q}" if older else None
        page = Page(message=asked.message + note, url=asked.url, elicitation_id=id_)
        return dict.fromkeys(keys, ElicitRequest(params=page))
    if len(keys) == 1:
        return {keys[0]: _form(asked.message + note, asked.schema or _NOTHING)}
    properties = asked.schema.get("properties") or {}
    return {key: _part(asked, properties.get(key) or _NOTHING, note) for key in keys}


def _part(asked: TaskAsked, schema: dict[str, Any], note: str) -> ElicitRequest:
    """One thing of several: the host's own words for it stand with its part of the schema."""
    said = schema.get("description")
    message = said if isinstance(said, str) and said else asked.message
    rest = {name: value for name, value in schema.items() if name != "description"}
    return _form(message + note, rest)


def _form(message: str, schema: dict[str, Any]) -> ElicitRequest:
    return ElicitRequest(params=Form(message=message, requested_schema=schema))


def can_ask(capabilities: ClientCapabilities | None, asked: TaskAsked) -> bool:
    """Whether a client may be asked this: it has to have said that it takes such questions."""
    declared = None if capabilities is None else capabilities.elicitation
    if declared is None or asked.kind is not QuestionKind.INPUT:
        return False
    if asked.url:
        return declared.url is not None
    # Before there were two ways, nobody named this one.
    return declared.form is not None or declared.url is None


def answer_of(asked: TaskAsked, given: Mapping[str, ElicitResult]) -> AnswerBody | None:
    """The answer that these are together; None: some are missing. Others are nobody's concern.

    Whoever cancels one thing of several cancels the question; what is declined is left out.
    """
    keys = keys_of(asked)
    if any(given[key].action == "cancel" for key in keys if key in given):
        return AnswerBody(asked.q, AnswerAction.CANCEL)
    if not all(key in given for key in keys):
        return None
    taken = {key: given[key].content or {} for key in keys if given[key].action == "accept"}
    if not taken:
        return AnswerBody(asked.q, AnswerAction.DECLINE)
    content: dict[str, Any] = dict(taken) if len(keys) > 1 else dict(taken[keys[0]])
    # Of whoever is asked for no more than a yes, clients send what they like.
    return AnswerBody(asked.q, AnswerAction.ACCEPT, content if asked.schema else {})


def is_approval(question: TaskQuestion | None) -> bool:
    """Whether a person has to allow something, which no client can."""
    return question is not None and question.kind is QuestionKind.APPROVAL


def is_about_leave(records: Iterable[Record], q: int) -> bool:
    """Whether this question of a task is one that a person has to answer."""
    facts = (record.fact for record in records)
    approval = QuestionKind.APPROVAL
    return any(isinstance(f, TaskAsked) and f.q == q and f.kind is approval for f in facts)


def told(view: TaskView) -> str:
    """What a task that asks waits for, and who does what about it; empty: it asks nothing."""
    asked = view.question
    if asked is None:
        return ""
    if is_approval(asked):
        return (
            f"It waits for a person to allow it: {asked.message} No agent and no client can:"
            f" whoever has signed in does, by `metamcp answer {view.id}` or over HTTP."
        )
    wants = f" It wants this page to be visited first: {asked.url}" if asked.url else ""
    if asked.schema:
        schema = msgspec.json.encode(asked.schema).decode()
        wants = f" `content` has to fit this JSON Schema: {schema}"
    return (
        f"It waits for an answer to: {asked.message} Answer with answer_task: task {view.id},"
        f" q {asked.q}, action accept, decline or cancel.{wants} Ask your user what you don't know."
    )
