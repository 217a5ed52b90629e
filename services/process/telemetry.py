"""Log lines and trace ids: one structured line for each action, the same shape for every library.

The event name is a stable action (`log.info("task_routed", task=...)`); prose goes into fields.
"""

from __future__ import annotations

import io
import logging
import re
import secrets
import sys
from collections.abc import Iterable, MutableMapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.process.files import private
from services.process.visible import visible, visible_json

FILE_BYTES = 10 * 1024 * 1024
FILE_COUNT = 5

trace: ContextVar[str | None] = ContextVar("trace", default=None)
"""The W3C `traceparent` of the work at hand; a new asyncio task inherits it."""

SAMPLED, UNSAMPLED = "01", "00"
"""Flags of a `traceparent` (W3C Trace Context): who sends it may have recorded the span, or not."""
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SECRET_WORDS = frozenset({"token", "password", "secret", "authorization", "permit"})
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_installed: list[logging.Handler] = []
# These report every request at info, which buries our own actions.
CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "uvicorn.access", "mcp")


class TraceParent(msgspec.Struct, frozen=True):
    """The parts of a W3C `traceparent` header, in lower-case hex."""

    trace_id: str
    span_id: str
    flags: str


def parse_traceparent(value: str | None) -> TraceParent | None:
    """Read a header; None for anything the W3C recommendation calls invalid."""
    match = _TRACEPARENT.fullmatch(value or "")
    if match is None or match[1] == "ff" or not match[2].strip("0") or not match[3].strip("0"):
        return None
    return TraceParent(match[2], match[3], match[4])


def new_traceparent(parent: str | None = None, flags: str = SAMPLED) -> str:
    """Begin a span: in the parent's trace when that is valid, else in a new trace with `flags`."""
    fresh = secrets.token_hex(24)
    if above := parse_traceparent(parent):
        return f"00-{above.trace_id}-{fresh[:16]}-{above.flags}"
    return f"00-{fresh[16:]}-{fresh[:16]}-{flags}"


def get_logger() -> structlog.stdlib.BoundLogger:
    """A logger for a module; its lines carry the service and instance they are written in."""
    return structlog.stdlib.get_logger()


def in_service(service: str, instance: str) -> AbstractContextManager[None]:
    """Name the service in every log line of this context and of the tasks started in it."""
    return structlog.contextvars.bound_contextvars(service=service, instance=instance)


def setup(
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["console", "json", "auto"] = "auto",
    log_dir: Path | None = None,
    file_name: str = "metamcp",
    stream: TextIO | None = None,
) -> None:
    """Send all logging of this process to `stream` (default stderr) and, with `log_dir`, to files.

    Uvicorn needs `log_config=None` and Litestar `logging_config=None`, or they replace this.
    Raises OSError when a file can't be opened.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    handlers: list[logging.Handler] = [logging.StreamHandler(out)]
    handlers[0].setFormatter(_formatter(console=console, colors=out.isatty()))
    if log_dir is not None:
        handlers += _files(log_dir, file_name)
    structlog.configure(
        processors=_OURS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for old in _installed:
        old.close()
    root.handlers = handlers
    _installed[:] = handlers
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else "WARNING")


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hide the value of every key that names a secret, in nested mappings and lists too."""
    return cast("EventDict", _redacted(event))


def _redacted(value: Any) -> Any:
    if isinstance(value, MutableMapping):
        return {
            key: "[redacted]" if _is_secret(key) else _redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(inner) for inner in value]
    return value


def _is_secret(key: Any) -> bool:
    return isinstance(key, str) and any(
        word.lower() in _SECRET_WORDS for word in _WORDS.findall(key)
    )


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (current := parse_traceparent(trace.get())) is not None:
        event["trace_id"] = current.trace_id
    return event


def _library_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Keep prose of other people's loggers out of the action."""
    event["message"] = event["event"]
    event["event"] = "library_log"
    return event


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return visible_json(msgspec.json.encode(event, enc_hook=str).decode())


def _shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What strangers have said must not play with the operator's terminal."""
    return {
        key: visible(value) if isinstance(value, str) else value for key, value in event.items()
    }


def _traceback(out: TextIO, error: Any) -> None:
    """The default shows local variables, and those hold secrets."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write("\n".join(map(visible, text.getvalue().split("\n"))))


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_trace,
    redact,
]
_OURS: list[Processor] = [
    # The level is asked of the standard library at each call, so `setup` can run again.
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
_FOREIGN: list[Processor] = [structlog.stdlib.add_logger_name, _library_line, *_SHARED]


def _formatter(*, console: bool, colors: bool = False) -> structlog.stdlib.ProcessorFormatter:
    end: Iterable[Processor] = (
        [
            _shown,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback),
        ]
        if console
        else [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("action"),
            _json,
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_FOREIGN,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
    )


class _PrivateFile(RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding="utf-8", opener=private)


def _files(folder: Path, name: str) -> list[logging.Handler]:
    folder.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = []
    for suffix, level in (("log", "NOTSET"), ("error.log", "ERROR")):
        handler = _PrivateFile(
            folder / f"{name}.{suffix}", maxBytes=FILE_BYTES, backupCount=FILE_COUNT
        )
        handler.setLevel(level)
        handler.setFormatter(_formatter(console=False))
        handlers.append(handler)
    return handlers
