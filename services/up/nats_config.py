"""The nats-server's configuration as text: accounts, users, and which subjects each may touch.

Pure: values in, text out. Every permission of the deployment is listed here and nowhere else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from contracts import roles, subjects
from contracts.account import Provider
from contracts.ids import check_user
from contracts.publisher import DEFAULT_PUBLISHER, Publisher
from services.bus.names import (
    JS_API,
    Credentials,
    inbox_prefix,
    intake_error_subject,
    intake_subject,
    replay_consumers,
    submit_subject,
)

SYSTEM = "sys"
OPERATOR = "operator"
AUDITOR = "auditor"
ROLES = (OPERATOR, *roles.SERVICES, AUDITOR)
ACCOUNT = "METAMCP"
"""The account of the operator and the services. Who may request anything here may also name a log
subject as its reply and so have the answer stored there: outsiders get accounts of their own."""
AUDIT_API = "METAMCP.API"
"""The auditor's name for the part of `$JS.API` it may use; an account without streams of its own
can't import that under the same name."""
MAX_PAYLOAD = 1024 * 1024 + 64 * 1024
"""Bytes: the log's largest message and room for its headers."""
MAX_MEMORY = 256 * 1024 * 1024
"""Bytes of streams in memory; we have none."""

PUBLISHER_FACTS = (
    *("task.created", "task.cancelled", "task.routed", "task.asked", "task.answered"),
    *("task.tagged", "job.signed", "job.failed", "job.done"),
    *("result.stored", "result.deleted"),
)
"""What an outside publisher sees of its own tasks, each as `<fact>.<task>…` in its own account."""

_LEASES = f"KV_{subjects.LEASES_BUCKET}"
_VIEWS = f"KV_{subjects.VIEWS_BUCKET}"
_HUGGINGFACE = subjects.CREDENTIAL_BUCKETS[Provider.HUGGINGFACE]
_GITHUB = subjects.CREDENTIAL_BUCKETS[Provider.GITHUB]
_GATEWAY_BUCKETS = (
    *(_HUGGINGFACE, _GITHUB),
    *(subjects.TOKENS_BUCKET, subjects.LIMITS_BUCKET, subjects.TICKETS_BUCKET),
)
_EARLIER_BLOBS = f"OBJ_{subjects.BLOBS_BUCKET}"


class Permissions(msgspec.Struct, frozen=True):
    """Subjects a user may publish to and subscribe to; everything else is denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False
    """May also publish once to the reply subject of each request it receives."""


class ServerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one server's configuration is made of."""

    port: int
    store_dir: Path
    credentials: Mapping[str, Credentials]
    """For `sys`, every role, and every publisher, by name."""
    publishers: tuple[Publisher, ...] = (DEFAULT_PUBLISHER,)
    host: str = "127.0.0.1"
    log_file: Path | None = None
    max_file_store: int | None = None
    """Bytes of streams on disk; None: the server's own rule."""
    passwords_from_env: bool = False
    """Write `$NATS_PASSWORD_<USER>` in place of passwords that are not in `credentials`."""


def users(publishers: Iterable[Publisher] = (DEFAULT_PUBLISHER,)) -> tuple[str, ...]:
    """Every user a deployment needs. Raises Rejected for a publisher name that can't be an id,
    ValueError for one that is a role's."""
    checked = [
        (check_user(one.name, "publisher"), check_user(one.user, "user")) for one in publishers
    ]
    names = tuple(name for name, _ in checked)
    for name in names:
        if name in (SYSTEM, *ROLES) or names.count(name) > 1:
            raise ValueError(f"publisher name {name!r} is taken; choose another")
    return (SYSTEM, *ROLES, *names)


def permissions(role: str) -> Permissions:
    """What one of our users may do. Raises KeyError for a role that doesn't exist."""
    return _PERMISSIONS[role]


def render(plan: ServerPlan) -> str:
    """Return the server's configuration file. Raises KeyError if a user has no credentials."""
    users(plan.publishers)
    return "\n".join((*_server(plan), accounts(plan)))


def accounts(plan: ServerPlan) -> str:
    """The accounts alone, for a server's configuration that has the rest. Raises as `render`."""
    users(plan.publishers)
    return "\n".join(("accounts {", *_accounts(plan), "}", ""))


def _read(stream: str, api: str = JS_API) -> tuple[str, ...]:
    """Look at a stream without any consumer: its state, and its messages by direct get, or from
    its leader where a replica has not heard of them yet."""
    get = f"{api}.DIRECT.GET.{stream}"
    return (f"{api}.STREAM.INFO.{stream}", f"{api}.STREAM.MSG.GET.{stream}", get, f"{get}.>")


def _read_kv(bucket: str) -> tuple[str, ...]:
    """Read the values of a bucket."""
    return _read(f"KV_{bucket}")


def _consume(stream: str, durable: str) -> tuple[str, ...]:
    """Pull from one durable consumer that exists already."""
    return (
        f"{JS_API}.CONSUMER.INFO.{stream}.{durable}",
        f"{JS_API}.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
    )


def _replay(role: str) -> tuple[str, ...]:
    """Read the whole log through a consumer of one of its own names, that ends by itself."""
    return tuple(
        f"{JS_API}.CONSUMER.{verb}.{subjects.STREAM}.{name}"
        for name in replay_consumers(role)
        for verb in ("CREATE", "MSG.NEXT", "DELETE")
    )


def _service(
    role: str, publish: tuple[str, ...] = (), subscribe: tuple[str, ...] = ()
) -> Permissions:
    return Permissions(
        publish=(*roles.WRITES[role], *_read(subjects.STREAM), *_replay(role), *publish),
        subscribe=(
            "live.>",
            f"{inbox_prefix(role)}.>",
            *(f"$SRV.*{suffix}" for suffix in ("", f".{role}", f".{role}.*")),
            f"cmd.{role}.>",
            *subscribe,
        ),
        answers=True,
    )


_BLOB_STORE = (
    *("blob.meta.*.*", "blob.chunk.*.*"),
    *_read(subjects.BLOBS_STREAM),
    *_read(_EARLIER_BLOBS),
)
_EMPTY_EARLIER = tuple(f"$O.{subjects.BLOBS_BUCKET}.{kind}.*" for kind in "CM")
"""Take blobs of earlier releases away: by a rollup, which one service alone may send there."""

_PERMISSIONS: Mapping[str, Permissions] = {
    OPERATOR: Permissions(
        publish=(
            *(f"{JS_API}.STREAM.{verb}.*" for verb in ("CREATE", "UPDATE", "INFO", "MSG.GET")),
            *(f"{JS_API}.CONSUMER.{verb}.>" for verb in ("CREATE", "DURABLE.CREATE", "INFO")),
            *(f"{JS_API}.{verb}" for verb in ("INFO", "STREAM.NAMES", "STREAM.LIST")),
            f"{JS_API}.DIRECT.GET.>",
            "$SRV.>",
        ),
        subscribe=("live.>", f"{inbox_prefix(OPERATOR)}.>"),
    ),
    "gateway": _service(
        "gateway",
        publish=(
            f"{JS_API}.INFO",
            "live.intake.error.*",
            "cmd.>",
            *_consume(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE),
            f"{JS_API}.STREAM.INFO.{subjects.INTAKE_STREAM}",
            *_BLOB_STORE,
            *(f"$KV.{bucket}.*" for bucket in _GATEWAY_BUCKETS),
            f"$KV.{subjects.ACCOUNTS_BUCKET}.*.*",
            subjects.WRITE_PROBE,
            *subjects.ACCESS_SUBJECTS,
            *_read(subjects.ACCESS_STREAM),
            *_read_kv(subjects.ACCOUNTS_BUCKET),
            *(subject for bucket in _GATEWAY_BUCKETS for subject in _read_kv(bucket)),
        ),
        subscribe=(
            *("submit.*", "submit.*.*", "progress.*.*", "said.*.*", "beat.executor.*"),
            "reads.changed.*.*",
        ),
    ),
    "router": _service(
        "router",
        publish=(
            f"$KV.{subjects.LEASES_BUCKET}.router",
            *_read(_LEASES),
            f"$KV.{subjects.VIEWS_BUCKET}.router.*",
            *_read(_VIEWS),
        ),
        subscribe=("beat.executor.*",),
    ),
    "executor": _service(
        "executor",
        publish=(
            "progress.*.*",
            "said.*.*",
            "beat.executor.*",
            "breaker.*.*",
            "tools.changed.*.*",
            "reads.changed.*.*",
            subjects.HOST_TOKEN,
            *_consume(subjects.STREAM, subjects.EXECUTOR_DURABLE),
            *_BLOB_STORE,
            *(_read_kv(_HUGGINGFACE) + _read_kv(_GITHUB)),
            # Whether a router leads.
            *_read(_LEASES),
            # Of people the quotas alone: a result counts among what its user has stored.
            f"{JS_API}.DIRECT.GET.KV_{subjects.ACCOUNTS_BUCKET}.{subjects.quota('*')}",
        ),
    ),
    "registry": _service(
        "registry",
        (
            *("cmd.executor.holder", "cmd.executor.look.*", subjects.HOST_TOKEN),
            *_read_kv(_HUGGINGFACE),
        ),
        subscribe=("breaker.*.*", "tools.changed.*.*", "beat.executor.*"),
    ),
    "results": _service("results", (*_BLOB_STORE, *_EMPTY_EARLIER, *_read_kv(_HUGGINGFACE))),
    AUDITOR: Permissions(
        publish=(
            *_read(subjects.STREAM, AUDIT_API),
            *_read(subjects.ACCESS_STREAM, AUDIT_API),
        ),
        subscribe=("live.>", f"{inbox_prefix(AUDITOR)}.>"),
    ),
}


def _server(plan: ServerPlan) -> Iterable[str]:
    yield f"host: {_text(plan.host)}"
    yield f"port: {plan.port}"
    yield f"max_payload: {MAX_PAYLOAD}"
    if plan.log_file is not None:
        yield f"log_file: {_text(plan.log_file)}"
        yield "logfile_size_limit: 10MB"
        yield "logfile_max_num: 3"
    yield "logtime: true"
    yield "jetstream {"
    yield f"  store_dir: {_text(plan.store_dir)}"
    yield "  sync_interval: always"
    yield f"  max_memory_store: {MAX_MEMORY}"
    if plan.max_file_store is not None:
        yield f"  max_file_store: {plan.max_file_store}"
    yield "}"
    yield 'system_account: "SYS"'


def _accounts(plan: ServerPlan) -> Iterable[str]:
    yield '  "SYS" {'
    yield f"    users: [ {{ {_login(plan, SYSTEM)} }} ]"
    yield "  }"
    yield f"  {_text(ACCOUNT)} {{"
    if plan.max_file_store is None:
        yield "    jetstream: enabled"
    else:
        # Only of an account's limit the server tells anybody.
        yield f"    jetstream: {{ max_file: {plan.max_file_store}, max_mem: {MAX_MEMORY} }}"
    yield "    users: ["
    for role in (OPERATOR, *roles.SERVICES):
        yield from _user(plan, role)
    yield "    ]"
    yield "    exports: ["
    shares = (*_AUDIT, *(share for one in plan.publishers for share in _shares(one)))
    yield from _exports(shares)
    yield "    ]"
    yield "  }"
    yield from _outside(_AUDIT_ACCOUNT, _user(plan, AUDITOR), _AUDIT)
    for one in plan.publishers:
        login = (f"      {{ {_login(plan, one.name)} }}",)
        yield from _outside(_account(one.name), login, _shares(one))


def _user(plan: ServerPlan, role: str) -> Iterable[str]:
    allowed = permissions(role)
    yield f"      {{ {_login(plan, role)}, permissions: {{"
    yield f"        publish: {{ allow: {_list(allowed.publish)} }}"
    yield f"        subscribe: {{ allow: {_list(allowed.subscribe)} }}"
    if allowed.answers:
        yield '        allow_responses: { max: 1, expires: "2m" }'
    yield "      } }"


class _Share(NamedTuple):
    """A subject of our account that one other account may use, under its own name for it."""

    account: str
    kind: str
    ours: str
    theirs: str
    many_answers: bool = False


_AUDIT_ACCOUNT = "AUDIT"
_AUDIT = (
    *(
        _Share(_AUDIT_ACCOUNT, "service", ours, theirs, many_answers="DIRECT" in ours)
        for stream in (subjects.STREAM, subjects.ACCESS_STREAM)
        for ours, theirs in zip(_read(stream), _read(stream, AUDIT_API), strict=True)
    ),
    _Share(_AUDIT_ACCOUNT, "stream", "live.>", "live.>"),
)


def _shares(one: Publisher) -> tuple[_Share, ...]:
    account, user = _account(one.name), one.user
    return (
        _Share(account, "service", intake_subject(user, one.name), "task.created"),
        _Share(account, "service", submit_subject(user, one.name), "metamcp.tasks.submit"),
        *(
            _Share(account, "stream", f"live.{fact}.{user}.>", f"{fact}.>")
            for fact in PUBLISHER_FACTS
        ),
        _Share(account, "stream", f"progress.{user}.*", "progress.*"),
        _Share(account, "stream", intake_error_subject(user), "intake.error"),
    )


def _exports(shares: Iterable[_Share]) -> Iterable[str]:
    """Each subject once: of two lines about one the server would keep the last."""
    accounts_of: dict[_Share, list[str]] = {}
    for share in shares:
        accounts_of.setdefault(share._replace(account="", theirs=""), []).append(share.account)
    for share, accounts_ in accounts_of.items():
        many = ", response_type: stream" if share.many_answers else ""
        yield f"      {{ {share.kind}: {_text(share.ours)}{many}, accounts: {_list(accounts_)} }}"


def _outside(account: str, logins: Iterable[str], shares: Iterable[_Share]) -> Iterable[str]:
    yield f"  {_text(account)} {{"
    yield "    limits { max_connections: 64, max_subscriptions: 1024 }"
    yield "    users: ["
    yield from logins
    yield "    ]"
    yield "    imports: ["
    for share in shares:
        source = f"{{ account: {_text(ACCOUNT)}, subject: {_text(share.ours)} }}"
        yield f"      {{ {share.kind}: {source}, to: {_text(share.theirs)} }}"
    yield "    ]"
    yield "  }"


def _account(name: str) -> str:
    return f"PUBLISHER-{name}"


def _login(plan: ServerPlan, user: str) -> str:
    if plan.passwords_from_env and user not in plan.credentials:
        variable = "NATS_PASSWORD_" + user.upper().replace("-", "_")
        return f"user: {_text(user)}, password: ${variable}"
    login = plan.credentials[user]
    return f"user: {_text(login.user)}, password: {_text(login.password)}"


def _list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(_text(text) for text in texts) + "]"


def _text(value: object) -> str:
    # A double-quoted JSON string of plain characters is also one of this format.
    return json.dumps(str(value), ensure_ascii=False)


def example() -> str:
    """The configuration for a server of your own, with passwords from its environment."""
    plan = ServerPlan(
        port=4222,
        store_dir=Path("/var/lib/nats/jetstream"),
        credentials={},
        passwords_from_env=True,
    )
    return "# Written by `python -m services.up.nats_config`; see README.md.\n" + render(plan)


if __name__ == "__main__":
    sys.stdout.write(example())
