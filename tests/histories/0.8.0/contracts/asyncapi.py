"""Writes `docs/asyncapi.json`: the websocket and NATS as an AsyncAPI 3 document.

It describes MetaMCP: what it receives is what a client sends. The NATS part is an outside
publisher's view, from its own account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from contracts import facts, schema, subjects, wire
from contracts.task import TaskRequest

PATH = Path(__file__).parents[1] / "docs" / "asyncapi.json"
CONFIRMED = "Confirmed"
"""JetStream's answer, the one message that is not a contract of ours."""

Object: TypeAlias = dict[str, Any]

_GATEWAY, _NATS = "gateway", "nats"
_CLIENT = tuple(type_.__name__ for type_ in wire.ClientFrame.__args__)
_SERVER = tuple(type_.__name__ for type_ in wire.ServerFrame.__args__)
_UNASKED = (wire.Hello, wire.Events, wire.CaughtUp, wire.ProgressFrame)
_FACTS: tuple[type[facts.Fact], ...] = facts.TaskFact.__args__
_DESCRIPTION = (
    "The live protocols, from MetaMCP's side: it receives what a client sends. Closing codes,"
    " limits and how to resume stand in docs/protocol.md."
)
_ERROR: Object = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("code", "err_code")}
    | {"description": {"type": "string"}},
    "required": ["code"],
}
_CONFIRMED: Object = {
    "title": CONFIRMED,
    "description": "JetStream has stored the message, or says in `error` why not.",
    "type": "object",
    "properties": {
        "stream": {"type": "string"},
        "seq": {"type": "integer", "description": "Its place in the queue, not in the log."},
        "duplicate": {"type": "boolean"},
        "error": _ERROR,
    },
    "anyOf": [{"required": ["stream", "seq"]}, {"required": ["error"]}],
}
_PARAMETERS = {
    "task": {"description": "The task's id."},
    "attempt": {"description": "Counts the task's attempts up from 1."},
    "q": {"description": "Counts the task's questions up from 1."},
    "k": {"description": "Counts the changes of the task's tags up from 1."},
}
_NUMBERS = {"task.asked": "{q}", "task.answered": "{q}", "task.tagged": "{k}"}
"""What stands at the end of a fact's subject, where it is not the attempt."""


def document() -> Object:
    """Return the document."""
    channels = {"stream": _stream(), **_submission(), **_facts(), **_news()}
    messages = {name for channel in channels.values() for name in channel["messages"]}
    schemas = _schemas(messages)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MetaMCP live protocols",
            "version": wire.PROTOCOL.rpartition(".v")[2],
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": channels,
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(name, schemas[name]) for name in messages},
            "schemas": schemas,
            "securitySchemes": _security(),
        },
    }


def render() -> str:
    """Return the file's text."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def _servers() -> Object:
    def server(protocol: str, port: int, description: str, *schemes: str) -> Object:
        address = {"default": f"127.0.0.1:{port}", "description": "Host and port."}
        return {
            "host": "{address}",
            "protocol": protocol,
            "description": description,
            "variables": {"address": address},
            "security": [_ref("components", "securitySchemes", one) for one in schemes],
        }

    return {
        _GATEWAY: server("ws", 8080, "The gateway; `wss` behind TLS.", "token", "ticket"),
        _NATS: server("nats", 4222, "A publisher's own account on the nats-server.", "login"),
    }


def _security() -> Object:
    return {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer TOKEN`, or the first frame `auth` within 5 s.",
        },
        "ticket": {
            "type": "httpApiKey",
            "in": "query",
            "name": "ticket",
            "description": "From `POST /api/auth/ticket`; good once within 30 s.",
        },
        "login": {
            "type": "userPassword",
            "description": "The account, never the payload, says who the user is.",
        },
    }


def _stream() -> Object:
    return {
        "address": "/api/stream",
        "description": f"Websocket with the subprotocol `{wire.PROTOCOL}`; one frame is one text.",
        "servers": [_ref("servers", _GATEWAY)],
        "messages": _messages(*_CLIENT, *_SERVER),
        "bindings": {"ws": {"method": "GET"}},
    }


def _submission() -> Object:
    """Channels that create tasks, and where the answers come."""
    inbox = "The reply subject of the request."
    answers = (wire.Accepted.__name__, wire.Refused.__name__)
    publish = "Creates a task, durably; JetStream confirms it to a reply subject, if there is one."
    request = "Creates a task and answers when it is on disk."
    return {
        "publish": _nats("task.created", publish, TaskRequest.__name__),
        "submit": _nats("metamcp.tasks.submit", request, TaskRequest.__name__),
        "confirmation": _nats(None, inbox, CONFIRMED),
        "answer": _nats(None, inbox, *answers),
    }


def _facts() -> Object:
    """A channel for each kind of fact that a publisher sees of its own tasks."""
    return {
        _name(fact): _nats(
            _seen_as(_name(fact)),
            f"Your own facts as they are committed; `{_name(fact)}.>` has those of all tasks.",
            fact.__name__,
        )
        for fact in _FACTS
    }


def _news() -> Object:
    progress = "Live progress of your tasks; never repeated, may be lost."
    error = "What could not even be recorded, for example an id that is taken by other content."
    return {
        "progress": _nats("progress.{task}", progress, wire.Progress.__name__),
        "intake.error": _nats("intake.error", error, wire.Refused.__name__),
    }


def _nats(address: str | None, description: str, *messages: str) -> Object:
    names = re.findall(r"{(\w+)}", address or "")
    channel = {
        "address": address,
        "description": description,
        "servers": [_ref("servers", _NATS)],
        "messages": _messages(*messages),
    }
    return channel | ({"parameters": {n: _PARAMETERS[n] for n in names}} if names else {})


def _seen_as(type_: str) -> str:
    """The subject of a fact in its publisher's account: as in the log, without the user."""
    pattern = next(one for one in subjects.WRITTEN if one.startswith(f"{type_}."))
    _, _, *last = pattern.removeprefix(f"{type_}.").split(".")
    number = _NUMBERS.get(type_, "{attempt}")
    return ".".join((type_, "{task}", *(number if one == "*" else one for one in last)))


def _operations() -> Iterator[tuple[str, Object]]:
    for frame in wire.ClientFrame.__args__:
        answers = ("stream", (wire.Ack.__name__, wire.ErrorFrame.__name__))
        yield (
            f"stream.{_name(frame)}",
            _operation("receive", "stream", frame.__name__, answers),
        )
    for frame in _UNASKED:
        yield f"stream.{_name(frame)}", _operation("send", "stream", frame.__name__)
    task, refused = TaskRequest.__name__, wire.Refused.__name__
    answers = ("answer", (wire.Accepted.__name__, refused))
    yield "publish", _operation("receive", "publish", task, ("confirmation", (CONFIRMED,)))
    yield "submit", _operation("receive", "submit", task, answers)
    for fact in _FACTS:
        yield _name(fact), _operation("send", _name(fact), fact.__name__)
    yield "progress", _operation("send", "progress", wire.Progress.__name__)
    yield "intake.error", _operation("send", "intake.error", refused)


def _operation(
    action: Literal["send", "receive"],
    channel: str,
    message: str,
    reply: tuple[str, Iterable[str]] | None = None,
) -> Object:
    def on(name: str, *messages: str) -> Object:
        return {
            "channel": _ref("channels", name),
            "messages": [_ref("channels", name, "messages", one) for one in messages],
        }

    answer = {"reply": on(reply[0], *reply[1])} if reply else {}
    return {"action": action, **on(channel, message), **answer}


def _messages(*names: str) -> Object:
    return {name: _ref("components", "messages", name) for name in names}


def _message(name: str, of: Object) -> Object:
    """A message; its name is what tells it apart on the wire, where there is such a thing."""
    tags = (of["properties"].get(field, {}).get("enum") for field in ("op", "type"))
    return {
        "name": next((tag[0] for tag in tags if tag), name),
        "summary": of["description"],
        "payload": _ref("components", "schemas", name),
    }


def _schemas(names: Iterable[str]) -> Object:
    """These schemas and all they refer to."""
    defs: Object = _adapt(schema.document()["$defs"])
    defs[CONFIRMED] = _CONFIRMED
    every = [_ref("components", "schemas", type_.__name__) for type_ in facts.AnyFact.__args__]
    event = defs[wire.Event.__name__]["properties"]
    event["event"] = {"description": "The fact as stored.", "anyOf": every}
    found: Object = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = defs[name]
            wanted += re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(defs[name]))
    return found


def _adapt(value: Any) -> Any:
    """Move references to this document's place for schemas.

    `discriminator` is left out: msgspec writes OpenAPI's, AsyncAPI's is another thing.
    """
    match value:
        case {"discriminator": {"propertyName": _}, **rest}:
            return _adapt(rest)
        case {"$ref": str(target), **rest}:
            name = target.removeprefix("#/$defs/")
            return _ref("components", "schemas", name) | _adapt(rest)
        case dict():
            return {key: _adapt(inner) for key, inner in value.items()}
        case list():
            return [_adapt(inner) for inner in value]
        case _:
            return value


def _name(type_: type[msgspec.Struct]) -> str:
    return str(type_.__struct_config__.tag)


def _ref(*path: str) -> Object:
    return {"$ref": "#/" + "/".join(path)}


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
