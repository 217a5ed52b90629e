"""Settings: frozen structs filled from the environment, `.env`, `metamcp.toml` and defaults.

The first source that has a name wins. A name nobody knows or a value that doesn't fit is an error.
"""

from __future__ import annotations

import difflib
import functools
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from contracts import budget
from contracts.budget import Budget
from contracts.roles import SERVICES
from services.process import settings_sources
from services.process.settings_sources import RawValue, SettingsError, env_name, gather
from services.process.tls import ClientFiles, set_together

__all__ = ["SECTION_NAMES", "Common", "Field", "SettingsError", "fields", "load", "load_all"]

S = TypeVar("S", bound=msgspec.Struct)

SECTION_NAMES = ("common", *SERVICES, "up", "cli")


class Common(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every service needs; its variables have no section: `METAMCP_<NAME>`."""

    nats_url: Annotated[
        str, msgspec.Meta(description="The NATS server, one URL or several joined by commas.")
    ] = "nats://127.0.0.1:4222"
    data: Annotated[
        Path, msgspec.Meta(description="Folder for databases, keys and the embedded NATS server.")
    ] = Path(".metamcp")
    credentials: Annotated[
        Path | None,
        msgspec.Meta(description="JSON file with this service's NATS `user` and `password`."),
    ] = None
    nats_ca: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with the CA that signed the NATS server's certificate; without"
            " one, the system's CAs are believed."
        ),
    ] = None
    nats_tls_cert: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with this client's certificate, where the NATS server wants one"
            " (mutual TLS)."
        ),
    ] = None
    nats_tls_key: Annotated[
        Path | None, msgspec.Meta(description="File (PEM) with that certificate's key.")
    ] = None
    instance: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None,
        msgspec.Meta(
            description="This process's name in the log (`A-Z a-z 0-9 _ -`, at most 64);"
            " without one it is `<service>-1`. Give each process of a service its own."
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        msgspec.Meta(description="The least important log lines to keep."),
    ] = "info"
    log_format: Annotated[
        Literal["console", "json", "auto"],
        msgspec.Meta(description="Shape of log lines; `auto` is `console` on a terminal."),
    ] = "auto"
    log_dir: Annotated[
        Path | None,
        msgspec.Meta(
            description="Folder for log files beside the log on stderr: each process keeps 10 MB"
            " and five older files of that size, and as much again for its errors alone."
        ),
    ] = None
    watchdog_s: Annotated[
        float,
        msgspec.Meta(
            description="Seconds a process's event loop may stand still, not counting time in which"
            " the process itself is stopped; then the process ends and is started again. Its"
            " stacks are in `<instance>.stack` in the log folder, and in the log after the next"
            " start. 0: no watchdog.",
            ge=0,
        ),
    ] = 30.0
    metrics_host: Annotated[
        str,
        msgspec.Meta(
            description="Address the Prometheus page listens on. It asks nobody for a token: keep"
            " it where only Prometheus gets."
        ),
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, msgspec.Meta(description="Port of the Prometheus page.", ge=1, le=65535)
    ] = 8090
    enable_metrics: Annotated[bool, msgspec.Meta(description="Serve the Prometheus page.")] = True
    allow_private_hosts: Annotated[
        bool,
        msgspec.Meta(
            description="Hosts that users have registered may lie at private and loopback addresses"
            " and be called without TLS. The operator's own hosts always may."
        ),
    ] = False
    master_key: Annotated[
        Path | None,
        msgspec.Meta(
            description="File with the key that seals linked accounts; without one it is"
            " `credentials/master.key` in the data folder. The same for every process."
        ),
    ] = None
    otlp_endpoint: Annotated[
        Annotated[str, msgspec.Meta(pattern="^https?://")] | None,
        msgspec.Meta(
            description="Collector of OpenTelemetry traces (OTLP over HTTP), such as"
            " `http://127.0.0.1:4318`; without one nothing is traced, unless the standard variable"
            " `OTEL_EXPORTER_OTLP_ENDPOINT` names one."
        ),
    ] = None
    space_url: Annotated[
        str,
        msgspec.Meta(
            description="Address of the Space that `hf://owner/space` names; `{subdomain}` stands"
            " for `owner-space`."
        ),
    ] = "https://{subdomain}.hf.space"

    access_days: Annotated[
        int, msgspec.Meta(description="Days that the stream `ACCESS` is kept.", ge=1, le=3650)
    ] = 90

    budget_open_tasks: Annotated[
        int, msgspec.Meta(description="Tasks of one user that are not over.", ge=1)
    ] = budget.DEFAULT.open_tasks
    budget_open_bytes: Annotated[
        int, msgspec.Meta(description="Bytes of one user's open tasks in the log.", ge=64 * 1024)
    ] = budget.DEFAULT.open_bytes
    budget_stored_bytes: Annotated[
        int,
        msgspec.Meta(
            description="Bytes of one user in the object store: uploads, big inputs, big results."
            " The same for every gateway and executor.",
            ge=0,
        ),
    ] = budget.DEFAULT.stored_bytes
    budget_stored_blobs: Annotated[
        int,
        msgspec.Meta(
            description="Blobs of one user in the object store. The same for every gateway and"
            " executor.",
            ge=0,
        ),
    ] = budget.DEFAULT.stored_blobs
    budget_facts: Annotated[
        int,
        msgspec.Meta(
            description="Tasks, cancellations and preferences of one user an hour; 0: no limit."
            " The role `admin` has none.",
            ge=0,
        ),
    ] = budget.DEFAULT.facts
    budget_tasks_a_day: Annotated[
        int, msgspec.Meta(description="Tasks of one user in 24 hours; 0: no limit.", ge=0)
    ] = budget.DEFAULT.tasks_a_day
    budget_hosts: Annotated[
        int, msgspec.Meta(description="Hosts that one user may register.", ge=0, le=10_000)
    ] = budget.DEFAULT.hosts
    budget_tokens: Annotated[
        int, msgspec.Meta(description="Tokens that one user may have.", ge=0)
    ] = budget.DEFAULT.tokens
    budget_sign_ins: Annotated[
        int, msgspec.Meta(description="Sessions that one user may have.", ge=1)
    ] = budget.DEFAULT.sign_ins
    budget_frames: Annotated[
        int,
        msgspec.Meta(
            description="Frames on websockets and messages on NATS of one user, in the window of"
            " HTTP requests; 0: no limit. The role `admin` has none.",
            ge=0,
        ),
    ] = budget.DEFAULT.frames
    budget_subscriptions: Annotated[
        int,
        msgspec.Meta(
            description="Subscriptions of all websockets of one user at one gateway. The role"
            " `admin` has no limit of its own.",
            ge=1,
        ),
    ] = budget.DEFAULT.subscriptions
    budget_event_streams: Annotated[
        int,
        msgspec.Meta(
            description="Streams of server-sent events of one user at one gateway. The role `admin`"
            " has no limit of its own.",
            ge=1,
        ),
    ] = budget.DEFAULT.event_streams
    budget_mcp_sessions: Annotated[
        int,
        msgspec.Meta(
            description="Sessions of `/mcp` of one user at one gateway. The role `admin` has no"
            " limit of its own.",
            ge=1,
        ),
    ] = budget.DEFAULT.mcp_sessions
    budget_history_readers: Annotated[
        int,
        msgspec.Meta(
            description="Reads of older facts for one user's streams at once, at one gateway.",
            ge=1,
            le=64,
        ),
    ] = budget.DEFAULT.history_readers

    def __post_init__(self) -> None:
        """Refuse half a pair."""
        set_together(self, "nats_tls_cert", "nats_tls_key")

    @property
    def budget(self) -> Budget:
        """The budgets of a user, as far as they are set for all services."""
        names = (field.name for field in msgspec.structs.fields(self))
        ours = (name for name in names if name.startswith("budget_"))
        return Budget(**{name.removeprefix("budget_"): getattr(self, name) for name in ours})

    @property
    def nats_tls(self) -> ClientFiles:
        """The files for TLS to NATS."""
        return ClientFiles(self.nats_ca, self.nats_tls_cert, self.nats_tls_key)


class Field(msgspec.Struct, frozen=True):
    """One setting as its struct declares it."""

    name: str
    type: Any
    default: Any
    required: bool
    description: str
    secret: bool


@functools.cache
def fields(cls: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The settings of one section, in the order of declaration."""
    return tuple(_field(info) for info in msgspec.structs.fields(cls))


def load(
    cls: type[S],
    section: str,
    environ: Mapping[str, str],
    *,
    cwd: Path,
    known: Collection[str] = SECTION_NAMES,
) -> S:
    """Fill one section; SettingsError names the first variable that is unknown or doesn't fit.

    Names of the other sections in `known` are left for whoever loads those.
    """
    sections: dict[str, type[msgspec.Struct]] = {"common": Common, section: cls}
    values = gather(_names(sections), [*known, section], environ, cwd)
    return _build(cls, section, values[section])


def load_all(
    sections: Mapping[str, type[msgspec.Struct]], environ: Mapping[str, str], *, cwd: Path
) -> dict[str, msgspec.Struct]:
    """Fill every section (`common` is always among them) and refuse names that none of them has."""
    every: dict[str, type[msgspec.Struct]] = {"common": Common, **sections}
    values = gather(_names(every), every, environ, cwd)
    return {name: _build(cls, name, values[name]) for name, cls in every.items()}


def describe(type_: Any) -> str:
    """Say in words what a value of this type looks like in the environment."""
    base, metas = _split(type_)
    if _is_optional(base):
        inner = next(arg for arg in get_args(base) if arg is not type(None))
        return f"{describe(inner)}, or nothing"
    if get_origin(base) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(base))
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        Path: "a path",
    }.get(base, settings_sources.of_list(base))
    return "".join([words, *(limit for meta in metas for limit in _limits(meta))])


def _names(sections: Mapping[str, type[msgspec.Struct]]) -> dict[str, tuple[str, ...]]:
    return {name: cls.__struct_fields__ for name, cls in sections.items()}


def _build(cls: type[S], section: str, found: Mapping[str, RawValue]) -> S:
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name in found:
            values[field.name] = _convert(field, found[field.name])
        elif field.required:
            raise SettingsError(
                f"{env_name(section, field.name)} is not set: expected {describe(field.type)}"
                f" ({field.description or 'no description'})"
            )
    try:
        return cls(**values)
    except ValueError as error:
        raise SettingsError(f"section [{section}]: {error}") from None


def _convert(field: Field, found: RawValue) -> Any:
    value = found.value
    if isinstance(value, str) and found.text:
        value = _from_text(field.type, value)
    try:
        return msgspec.convert(value, field.type, strict=not found.text, dec_hook=_path)
    except msgspec.ValidationError as error:
        shown = "a secret that is not shown" if field.secret else repr(found.value)
        hint = _near_choice(field, found) or settings_sources.wrong_item(field.type, error)
        raise SettingsError(
            f"{found.where} is {shown}: expected {describe(field.type)}{hint}"
        ) from None


def _near_choice(field: Field, found: RawValue) -> str:
    base, _ = _split(field.type)
    if get_origin(base) is not Literal or field.secret:
        return ""
    near = difflib.get_close_matches(str(found.value), [str(c) for c in get_args(base)], n=1)
    return f". Did you mean {near[0]}?" if near else ""


def _from_text(type_: Any, text: str) -> Any:
    """Turn an environment string into what msgspec's lax conversion takes."""
    base, _ = _split(type_)
    if _is_optional(base):
        inner = next(arg for arg in get_args(base) if arg is not type(None))
        return None if text == "" else _from_text(inner, text)
    if get_origin(base) is tuple:
        return settings_sources.items(base, text)
    if get_origin(base) is Literal:
        # `INFO` and `info` are the same wish.
        return next((c for c in get_args(base) if str(c).lower() == text.lower()), text)
    return text


def _path(type_: type, value: Any) -> Any:
    if type_ is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    raise msgspec.ValidationError


def _field(info: msgspec.structs.FieldInfo) -> Field:
    _, metas = _split(info.type)
    described = next((meta.description for meta in metas if meta.description), "") or ""
    default = info.default_factory() if callable(info.default_factory) else info.default
    return Field(
        name=info.name,
        type=info.type,
        default=None if info.required else default,
        required=info.required,
        description=described,
        secret=any((meta.extra or {}).get("secret") for meta in metas),
    )


def _split(type_: Any) -> tuple[Any, tuple[msgspec.Meta, ...]]:
    if get_origin(type_) is Annotated:
        base, *metas = get_args(type_)
        return base, tuple(meta for meta in metas if isinstance(meta, msgspec.Meta))
    return type_, ()


def _is_optional(base: Any) -> bool:
    return get_origin(base) in (Union, types.UnionType) and type(None) in get_args(base)


def _limits(meta: msgspec.Meta) -> Iterator[str]:
    words = {
        "ge": "at least",
        "gt": "more than",
        "le": "at most",
        "lt": "less than",
        "min_length": "length at least",
        "max_length": "length at most",
        "pattern": "matching",
    }
    for name, word in words.items():
        if (limit := getattr(meta, name)) is not None:
            yield f", {word} {limit}"
