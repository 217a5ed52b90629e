"""What the Space offers: `mcp.json`, and from `server.toml` how a task becomes calls of tools.

Pure, but for `load` (it reads the two files) and `write` (it puts a task's files into a folder).
"""

from __future__ import annotations

import base64
import binascii
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import grammar
import jsonschema_rs
from wire import Refused

MAX_FILES = 2000
MAX_NAME = 512
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_STEP = {
    "type": "object",
    "required": ["tool"],
    "additionalProperties": False,
    "properties": {
        "tool": {"type": "string", "minLength": 1},
        "arguments": {"type": "object"},
        "output": {"type": "string", "minLength": 1},
        "cleanup": {"type": "boolean"},
    },
}
_SERVER = {
    "type": "object",
    "required": ["command", "task_types"],
    "additionalProperties": False,
    "properties": {
        "command": {"type": "string", "minLength": 1},
        "args": {"type": "array", "items": {"type": "string"}},
        "env": _TEXTS,
        "env_from": {"type": "array", "items": {"type": "string"}},
        "cwd": {"type": "string"},
        "start_s": {"type": "number", "exclusiveMinimum": 0},
        "task_types": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["steps"],
                "additionalProperties": False,
                "properties": {"steps": {"type": "array", "minItems": 1, "items": _STEP}},
            },
        },
    },
}
_MANIFEST = {
    "type": "object",
    "required": ["name", "description", "version", "tools", "capabilities", "task_types", "limits"],
    "properties": {
        "limits": {
            "type": "object",
            "required": ["max_concurrency"],
            "properties": {"max_concurrency": {"type": "integer", "minimum": 1, "maximum": 1024}},
        },
        "task_types": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["summary", "input_schema", "example"],
                "properties": {"input_schema": {"type": "object"}},
            },
        },
    },
}


class BadConfig(Exception):
    """A file of the Space is wrong; the message names it and the place."""


class Step(NamedTuple):
    """One tool call. In a template strings may be references, in a plan they are filled in."""

    tool: str
    arguments: dict[str, Any]
    output: str | None = None
    """Keep this step's answer under this name; one kept answer alone is the result."""
    cleanup: bool = False
    """Runs after the others, in every case; its own failure is only logged."""
    later: bool = False
    """Its references can be filled in only when earlier steps have answered."""


class Plan(NamedTuple):
    """What one run does."""

    steps: tuple[Step, ...]
    """Filled in, but for those that wait for earlier answers."""
    scope: grammar.Scope
    workspace: Path | None
    """The folder it needs, to be made before and removed after."""
    files: Mapping[PurePosixPath, bytes]
    """What has to lie in the workspace."""
    meta: dict[str, Any]
    """Told to the server with each call."""


class TaskType(NamedTuple):
    """How one task type is served."""

    steps: tuple[Step, ...]
    validator: jsonschema_rs.Validator
    """Of the input, compiled."""


class Config(NamedTuple):
    """The Space's two files."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    env_from: tuple[str, ...]
    cwd: str | None
    start_s: float
    types: Mapping[str, TaskType]
    manifest: dict[str, Any]

    @property
    def tools(self) -> frozenset[str]:
        """Tools that the wrapped server has to have."""
        return frozenset(step.tool for kind in self.types.values() for step in kind.steps)


def load(folder: Path) -> Config:
    """Read `server.toml` and `mcp.json`. Raises BadConfig."""
    server = _read(folder / "server.toml", tomllib.loads, _SERVER)
    manifest = _read(folder / "mcp.json", json.loads, _MANIFEST)
    described = manifest["task_types"]
    if differing := sorted(set(server["task_types"]) ^ set(described)):
        text = "describe it in mcp.json and give its steps in server.toml"
        raise BadConfig(f"task type {differing[0]!r} stands in one file only: {text}")
    return Config(
        command=server["command"],
        args=tuple(server.get("args", ())),
        env=server.get("env", {}),
        env_from=tuple(server.get("env_from", ())),
        cwd=server.get("cwd"),
        start_s=float(server.get("start_s", 60.0)),
        types={
            name: _task_type(name, entry["steps"], described[name])
            for name, entry in server["task_types"].items()
        },
        manifest=manifest,
    )


def _read(path: Path, decode: Any, schema: dict[str, Any]) -> dict[str, Any]:
    try:
        data: dict[str, Any] = decode(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BadConfig(f"{path.name} can't be read: {problem}") from problem
    try:
        _validator(schema).validate(data)
    except jsonschema_rs.ValidationError as error:
        where = ".".join([path.name, *map(str, error.instance_path)])
        raise BadConfig(f"{where}: {error.message}") from None
    return data


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A schema, compiled: its patterns take linear time, and nothing is fetched for it.

    Raises ValidationError.
    """
    linear = jsonschema_rs.RegexOptions()
    return jsonschema_rs.validator_for(schema, pattern_options=linear, offline=True)


def _task_type(name: str, steps: list[dict[str, Any]], described: dict[str, Any]) -> TaskType:
    try:
        made = _steps(steps)
        validator = _validator(described["input_schema"])
    except grammar.GrammarError as error:
        raise BadConfig(f"task type {name}: {error}") from error
    except jsonschema_rs.ValidationError as error:
        why = f"its input_schema can't be used: {error.message}"
        if error.message.endswith('is not a "regex"'):
            why += ", or needs look-around or back-references, which have no time limit"
        raise BadConfig(f"task type {name}: {why}") from None
    try:
        validator.validate(described["example"])
    except jsonschema_rs.ValidationError as error:
        text = f"its example does not fit its schema: {error.message}"
        raise BadConfig(f"task type {name}: {text}") from None
    return TaskType(made, validator)


def _steps(steps: list[dict[str, Any]]) -> tuple[Step, ...]:
    """Check the references of a task type's steps. Raises GrammarError."""
    made: list[Step] = []
    kept: set[str] = set()
    for entry in steps:
        step = Step(**{"arguments": {}} | entry)
        named = {root for root in grammar.check(step.arguments) if root.startswith("step.")}
        if unknown := sorted(named - kept):
            text = f"${unknown[0]}: no earlier step has this output"
            raise grammar.GrammarError(text)
        made.append(step._replace(later=bool(named)))
        if step.output is not None:
            kept.add(f"step.{step.output}")
    return tuple(made)


def plan(kind: TaskType, task: str, attempt: int, data: dict[str, Any], folder: Path) -> Plan:
    """Check the input and fill in the steps; `folder` is where the workspace would be.

    Raises Refused(422).
    """
    try:
        kind.validator.validate(data)
    except jsonschema_rs.ValidationError as error:
        where = "".join(f".{part}" for part in error.instance_path)
        raise _bad_input(f"input{where}: {error.message}") from None
    needed = any("workspace" in grammar.check(step.arguments) for step in kind.steps)
    scope = grammar.Scope(data, task, attempt, lambda: str(folder), {})
    steps = tuple(
        step if step.later else step._replace(arguments=_filled(step, scope)) for step in kind.steps
    )
    files = _files(data.get("files", {})) if needed else {}
    meta = {"metamcp/task": task, "metamcp/attempt": attempt}
    return Plan(steps, scope, folder if needed else None, files, meta)


def arguments(plan: Plan, step: Step, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a plan's step, now that earlier ones have answered. Raises Refused(422)."""
    return _filled(step, plan.scope._replace(steps=answers)) if step.later else step.arguments


def _filled(step: Step, scope: grammar.Scope) -> dict[str, Any]:
    try:
        filled: dict[str, Any] = grammar.resolve(step.arguments, scope)
    except grammar.GrammarError as error:
        raise _bad_input(f"step {step.tool}: {error}") from error
    return filled


def _bad_input(message: str) -> Refused:
    return Refused(422, "bad_input", message)


def _files(entries: Any) -> dict[PurePosixPath, bytes]:
    """The input's files: name to text, or to {"base64": …}. Raises Refused(422)."""
    if not isinstance(entries, dict) or len(entries) > MAX_FILES:
        raise _bad_input(f"input.files is no object with at most {MAX_FILES} files")
    return {_relative(name): _content(name, entry) for name, entry in entries.items()}


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    inside = path.parts and not path.is_absolute() and ".." not in path.parts
    if not inside or "\0" in name or "\\" in name or len(name) > MAX_NAME:
        text = f"use a relative path without `..`, of at most {MAX_NAME} characters"
        raise _bad_input(f"input.files: {name[:80]!r} is not allowed: {text}")
    if any(part.casefold() == ".git" for part in path.parts):
        # A repository's own configuration names programs that git would run.
        raise _bad_input(f"input.files: {name[:80]!r} is not allowed: nothing may be named .git")
    return path


def _content(name: str, entry: Any) -> bytes:
    try:
        match entry:
            case str():
                return entry.encode()
            case {"base64": str(text)}:
                return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _bad_input(f"input.files: {name[:80]!r}: {error}") from error
    raise _bad_input(f'input.files: {name[:80]!r}: give the text, or {{"base64": …}}')


def write(folder: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    """Make the folder with these files in it. Raises Refused(422) if one is also a folder."""
    folder.mkdir(parents=True, mode=0o700)
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
        except (FileExistsError, NotADirectoryError) as error:
            raise _bad_input(f"input.files: {str(name)[:80]!r} is also a folder") from error
        except OSError as error:
            raise _bad_input(f"input.files: {str(name)[:80]!r}: {error.strerror}") from error
