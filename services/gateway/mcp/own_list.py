"""The orchestrator's own tools, as agents are shown them; their handlers are in `own.py`."""

from __future__ import annotations

from mcp_types import Tool, ToolAnnotations

from contracts.asks import AnswerAction
from contracts.status import Status

_TASK_ID = {"type": "string", "description": "The task's id, as submit_task returned it."}
_ABOUT_TASK = {"type": "object", "required": ["task"], "properties": {"task": _TASK_ID}}
_READS = ToolAnnotations(read_only_hint=True)

OWN: tuple[Tool, ...] = (
    Tool(
        name="submit_task",
        description="Have the orchestrator run a task on the best host, and get the task's id at"
        " once, or, with wait_s, its outcome. The task is durable: it runs to its end whatever"
        " happens to this connection.",
        input_schema={
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "description": "A task type; see list_hosts."},
                "input": {"type": "object", "description": "The task type's input."},
                "id": {
                    "type": "string",
                    "description": "Your own id: the same task again with it changes nothing.",
                },
                "host": {"type": "string", "description": "Only this host may run it."},
                "project": {"type": "string", "description": "Id of the project it belongs to."},
                "tags": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "Up to 16 tags, by which lists of tasks are filtered.",
                },
                "priority": {"enum": ["high", "normal", "low"]},
                "is_heavy": {"type": "boolean", "description": "Heavy work: for one's own Space."},
                "deadline_s": {"type": "number", "description": "Limit of the whole task."},
                "fresh": {"type": "boolean", "description": "Work, not an earlier result."},
                "on_leave": {
                    "enum": ["keep", "cancel"],
                    "description": "`cancel`: end it when you stop waiting before it is over.",
                },
                "wait_s": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 60,
                    "description": "Wait so many seconds for the end.",
                },
            },
        },
        annotations=ToolAnnotations(read_only_hint=False, open_world_hint=True),
    ),
    Tool(
        name="get_task",
        description="The task as the log has it now, with its result once it is over.",
        input_schema={
            "type": "object",
            "required": ["task"],
            "properties": {
                "task": _TASK_ID,
                "wait_s": {"type": "number", "minimum": 0, "maximum": 60},
            },
        },
        annotations=_READS,
    ),
    Tool(
        name="cancel_task",
        description="Ask to end a task; get_task tells when it has ended.",
        input_schema=_ABOUT_TASK,
        annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True),
    ),
    Tool(
        name="answer_task",
        description="Answer what a task asks: its `question`, as get_task shows it. Not for what a"
        " person has to allow. Ask your user what you don't know.",
        input_schema={
            "type": "object",
            "required": ["task", "q", "action"],
            "properties": {
                "task": _TASK_ID,
                "q": {"type": "integer", "description": "The question's number."},
                "action": {"enum": [action.value for action in AnswerAction]},
                "content": {
                    "type": "object",
                    "description": "With accept: what the question's `schema` asks for.",
                },
                "reason": {"type": "string", "description": "With decline or cancel: why."},
            },
        },
        annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True),
    ),
    Tool(
        name="list_hosts",
        description="The hosts you may use: health, task types with what they do, and tools.",
        input_schema={
            "type": "object",
            "properties": {"task_type": {"type": "string", "description": "Only hosts for it."}},
        },
        annotations=_READS,
    ),
    Tool(
        name="list_tasks",
        description="Your tasks, newest first, without their results.",
        input_schema={
            "type": "object",
            "properties": {
                "status": {"enum": [status.value for status in Status]},
                "type": {"type": "string", "description": "Only tasks of this type."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100},
                "cursor": {
                    "type": "integer",
                    "description": "`next_cursor` of the page before; with its `next_mark` as"
                    " `mark`.",
                },
                "mark": {"type": "string"},
            },
        },
        annotations=_READS,
    ),
    Tool(
        name="why",
        description="Why each attempt of a task went to its host: what the router weighed.",
        input_schema=_ABOUT_TASK,
        annotations=_READS,
    ),
    Tool(
        name="audit_task",
        description="What the log proves of a task: order, claims before outcomes, signed permits,"
        " the digest of its result; and what is wrong, if something is.",
        input_schema=_ABOUT_TASK,
        annotations=_READS,
    ),
    Tool(
        name="read_result",
        description="A part of a task's result, for results that are too big for an answer: its"
        " bytes from `offset` on, and then where the next part begins.",
        input_schema={
            "type": "object",
            "required": ["task"],
            "properties": {
                "task": _TASK_ID,
                "offset": {"type": "integer", "minimum": 0},
                "limit": {
                    "type": "integer",
                    "minimum": 16,
                    "maximum": 262144,
                    "description": "Bytes, at most; 65536 if you don't say.",
                },
                "encoding": {"enum": ["text", "base64"]},
            },
        },
        annotations=_READS,
    ),
)
