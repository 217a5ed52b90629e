"""Commands about what you have in the object store: blobs (a list), blobs delete; and limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import RenderableType
from rich.filesize import decimal
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.fitted import Column, FittedTable

PATH = "/api/blobs"
PAGE, BIG_PAGE = 50, 500
MOST = 10_000
"""Blobs that --all shows at most."""
COUNTED = {
    "open_tasks": "tasks that are not over",
    "open_bytes": "bytes of them in the log",
    "stored_bytes": "bytes in the object store",
    "stored_blobs": "blobs in the object store",
    "facts": "tasks, cancellations and preferences an hour",
    "tasks_a_day": "tasks in 24 hours",
    "hosts": "hosts that are registered by command",
    "tokens": "tokens of the API",
    "sign_ins": "sessions that are not over",
    "requests": "HTTP requests in a window",
    "frames": "frames and NATS messages in a window",
    "websockets": "websockets",
    "subscriptions": "subscriptions of all websockets",
    "event_streams": "event streams",
    "mcp_sessions": "sessions of /mcp",
    "history_readers": "reads of older facts at once",
}


def blobs(
    *,
    limit: Annotated[int | None, Parameter(name="--limit")] = None,
    cursor: int | None = None,
    every: Annotated[bool, Parameter(name="--all")] = False,
    user: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """List what you have in the object store: uploads, big inputs, big results; oldest first.

    Parameters
    ----------
    limit
        How many to show, 50 if not given and at most 500.
    cursor
        Go on after a page, with the cursor it printed.
    every
        All pages, up to 10000 blobs.
    user
        Those of another user; for the role admin.
    """
    check_ids(user=user)
    return run(_list(options, limit or (BIG_PAGE if every else PAGE), cursor, user, every=every))


def delete(
    sha256: Annotated[tuple[str, ...], Parameter(name="SHA256")],
    /,
    *,
    user: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Delete blobs; those that an open task needs, or that are a result, are refused.

    Parameters
    ----------
    sha256
        Their digests, see `metamcp blobs`.
    user
        Those of another user; for the role admin.
    """
    check_ids(user=user)
    for one in sha256:
        if len(one) != 64 or not set(one) <= set("0123456789abcdef"):
            hint = "See `metamcp blobs`."
            raise CliError(Exit.USAGE, f"{one!r} is no SHA-256: 64 of 0-9 and a-f.", hint)
    return run(_delete(options, sha256, user))


def limits(*, options: Options = NO_OPTIONS) -> int:
    """Show your budgets and what you have used of them."""
    return run(_limits(options))


async def _list(
    options: Options, limit: int, cursor: int | None, user: str | None, *, every: bool
) -> int:
    found: list[Any] = []
    async with Api(find_target(options)) as api:
        while True:
            page, cursor = await api.page(PATH, limit=limit, cursor=cursor, user=user)
            found += page
            if cursor is None or not every or len(found) >= MOST:
                break
    options.out.show(found, _table(found))
    if cursor is not None:
        options.out.note(f"There are more: --cursor {cursor}, or --all.")
    return Exit.OK


async def _delete(options: Options, wanted: Sequence[str], user: str | None) -> int:
    async with Api(find_target(options)) as api:
        for sha256 in wanted:
            gone = await api.delete(f"{PATH}/{sha256}", user=user)
            options.out.show(gone, Text(f"{gone['sha256']} is deleted, {decimal(gone['size'])}"))
    return Exit.OK


async def _limits(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get("/api/limits")
    options.out.show(found, budgets(found))
    return Exit.OK


def _table(found: Sequence[Any]) -> RenderableType:
    if not found:
        return Text("nothing is in the object store", style="dim")
    table = FittedTable(Column("sha256"), Column("size"), Column("stored", least=10, drop=1))
    for blob in found:
        at = datetime.fromtimestamp(blob["stored_at"], UTC).astimezone().isoformat(" ", "minutes")
        table.add(blob["sha256"], decimal(blob["size"]), at)
    return table


def budgets(found: Any) -> RenderableType:
    """The budgets of an answer, and what is used of them."""
    most, used = found.get("budgets"), found.get("used") or {}
    if most is None:
        return Text("without a token there are no budgets to show", style="dim")
    table = FittedTable(
        Column("budget"), Column("used"), Column("most"), Column("what", least=12, drop=1)
    )
    for name, value in most.items():
        table.add(name, _shown(name, used.get(name)), _shown(name, value), COUNTED.get(name, ""))
    return table


def _shown(name: str, value: int | None) -> str:
    if value is None:
        return "-"
    return decimal(value) if name.endswith("_bytes") else f"{value:,}"
