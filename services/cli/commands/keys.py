"""Commands about permit keys: keys (from the log), keys rotate (in the data folder)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from rich.text import Text

from contracts.facts import LogKey, Record
from contracts.subjects import KEYS
from services.cli.commands.log import Nats, open_log
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, environ, run
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain
from services.executor.settings import Settings
from services.keys.files import KeyFolder, StoredKeys
from services.keys.jwk import Algorithm
from services.keys.permits import BadKey, SigningKey
from services.process.settings import load
from services.up import up

State: TypeAlias = Literal["next", "signing", "replaced"]

NOTHING = StoredKeys(None, None)
_STYLE = {"signing": "green", "next": "yellow", "replaced": "dim"}


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key."""

    kid: str
    algorithm: str
    state: State
    since: float | None = None
    """Log time from which it is known; none: the log does not have it yet."""
    signs_in_s: float | None = None
    """Seconds until a next key may sign; none: not known before it is in the log."""


def keys(*, nats: Nats = None, options: Options = NO_OPTIONS) -> int:
    """List the keys that permits are signed with: those that sign, will sign, or did.

    Parameters
    ----------
    nats
        URL of the NATS server, if it isn't the one of the data folder.
    """
    return run(_keys(options, nats))


async def _keys(options: Options, nats: str | None) -> int:
    settings = _settings()
    async with open_log(options, nats) as log:
        head = await log.head()
        known = [r async for batch in log.scan((KEYS,), 0, head) for r in batch.records]
    own = _own(options.folder, options.out) if nats is None else NOTHING
    found = rows(known, own, time.time(), settings.permit_overlap_s)
    options.out.show(found, _table(found))
    return Exit.OK


def rows(known: Sequence[Record], own: StoredKeys, now: float, overlap_s: float) -> list[Row]:
    """Say what each key is for, newest first.

    Of the own data folder the files say it. Of others the log does: a key that replaces another one
    signs after the overlap.
    """
    facts = [(record, record.fact) for record in known if isinstance(record.fact, LogKey)]
    replaced = {
        # One that is replaced by what signs here was so whatever the clock says.
        fact.replaces: -math.inf if _in_file(fact.kid, own) == "signing" else record.at
        for record, fact in facts
        if fact.replaces
    }
    found = []
    for record, fact in reversed(facts):
        in_file = _in_file(fact.kid, own)
        state = in_file or _in_log(record.at, fact, replaced.get(fact.kid), now - overlap_s)
        left = max(0.0, round(record.at + overlap_s - now, 1)) if state == "next" else None
        found.append(Row(fact.kid, str(fact.jwk.get("alg", "")), state, record.at, left))
    listed = {row.kid for row in found}
    fresh = [key for key in (own.next, own.signing) if key is not None and key.kid not in listed]
    return [Row(key.kid, key.algorithm, _in_file(key.kid, own) or "next") for key in fresh] + found


def _in_file(kid: str, own: StoredKeys) -> State | None:
    if own.signing is not None and own.signing.kid == kid:
        return "signing"
    return "next" if own.next is not None and own.next.kid == kid else None


def _in_log(at: float, fact: LogKey, replaced_at: float | None, before: float) -> State:
    """What a key of another data folder is for; what was announced by `before` holds."""
    if replaced_at is not None:
        return "replaced" if replaced_at <= before else "signing"
    return "next" if fact.replaces and at > before else "signing"


def _own(data: Path, out: Out) -> StoredKeys:
    """The keys in the data folder, if it is one and we may read them."""
    try:
        found = KeyFolder(data).look()
    except (BadKey, OSError) as error:
        out.note(f"The keys in {data} can't be read, so the log alone says what they are: {error}")
        return NOTHING
    if found.problem:
        out.note(found.problem)
    return found


def _table(found: Sequence[Row]) -> FittedTable:
    table = FittedTable(
        Column("key"),
        Column("algorithm", drop=2),
        Column("state"),
        Column("known since", least=10, drop=3),
        Column("signs in", drop=1),
    )
    for row in found:
        since = "not yet"
        if row.since is not None:
            moment = datetime.fromtimestamp(row.since, UTC).astimezone()
            since = moment.isoformat(" ", "seconds")
        left = "" if row.signs_in_s is None else f"{row.signs_in_s:.0f} s"
        state = Text(row.state, style=_STYLE[row.state])
        table.add(plain(row.kid), plain(row.algorithm), state, since, left)
    return table


def rotate(
    *,
    algorithm: Algorithm | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Make the key that signs next; executors announce it, and sign with it after the overlap.

    Parameters
    ----------
    algorithm
        RS256 or EdDSA; else the executors' setting permit_algorithm.
    """
    settings = _settings()
    out = options.out
    chosen = algorithm or settings.permit_algorithm
    try:
        old, made = _rotated(options.folder, chosen)
    except BadKey as error:
        raise CliError(Exit.FAILED, str(error)) from error
    except OSError as error:
        raise CliError(
            Exit.FAILED,
            f"The keys in {options.folder} can't be changed: {error.strerror}.",
            "Run it as the user that executors run as.",
        ) from error
    wait = f"{settings.permit_overlap_s:g} s"
    answer = {"kid": made.kid, "algorithm": made.algorithm, "replaces": old.kid}
    text = f"{made.kid} ({made.algorithm}) signs next, {wait} after an executor has announced it"
    out.show(answer | {"overlap_s": settings.permit_overlap_s}, Text(text), soft_wrap=True)
    if up.read_state(options.folder) is None:
        out.note("Nothing runs in this data folder: an executor announces the key when it starts.")
    if made.algorithm != settings.permit_algorithm:
        out.note(
            f"The setting permit_algorithm is {settings.permit_algorithm}: executors go back to it"
            f" at their next start. Set METAMCP_EXECUTOR_PERMIT_ALGORITHM={made.algorithm}."
        )
    return Exit.OK


def _rotated(data: Path, algorithm: Algorithm) -> tuple[SigningKey, SigningKey]:
    """Make the next key; the answer is the key it replaces, and itself."""
    folder = KeyFolder(data)
    found = folder.look()
    if found.signing is None:
        raise CliError(
            Exit.REFUSED,
            f"There is no permit key in {data}.",
            "An executor makes the first one when it starts; name its folder with --data.",
        )
    if found.problem:
        raise BadKey(found.problem)
    if found.next is not None:
        raise CliError(
            Exit.REFUSED,
            f"Key {found.next.kid} is the next one already.",
            "See `metamcp keys`; when it signs, another one can be made.",
        )
    if folder.signing.stat().st_uid != os.geteuid():
        raise PermissionError(1, "they belong to another user")
    folder.make_next(algorithm, found.signing.kid)
    made = folder.look().next
    if made is None:
        raise CliError(Exit.FAILED, "Somebody else is changing the keys.", "Try again.")
    return found.signing, made


def _settings() -> Settings:
    return load(Settings, "executor", environ(), cwd=Path.cwd())
