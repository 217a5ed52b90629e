"""`tasks/<id>.json` of a Dataset: a task in the original specification's words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from contracts.facts import Record, TaskCreated
from contracts.result import DatasetTask
from services.results.domain import Move, path_of


def described(move: Move, created: Record | None) -> DatasetTask:
    """`tasks/<id>.json`, from the task's own fact."""
    fact = created.fact if created is not None else None
    spec = fact.spec if isinstance(fact, TaskCreated) else None
    pointer = spec.input_pointer if spec else None
    given: Any = None
    if spec is not None and pointer is None:
        given = msgspec.json.decode(spec.input)
    return DatasetTask(
        task_id=move.task,
        user_id=move.user,
        type=spec.type if spec else "",
        priority=spec.priority.value if spec else "",
        is_heavy=spec.is_heavy if spec else False,
        status="succeeded",
        created_at=_iso(created.at if created else move.created),
        completed_at=_iso(move.created),
        result_id=path_of(move.pointer),
        sha256=move.pointer.sha256,
        size=move.pointer.size,
        media_type=move.pointer.media_type,
        host=move.host,
        attempt=move.attempt,
        required_capabilities=msgspec.to_builtins(spec.required_capabilities) if spec else [],
        input=given,
        input_sha256=pointer.sha256 if pointer else "",
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
