"""The router's tables: its state, row by row, so that a restart need not fold the whole log.

Rows follow from the facts alone; what the active router has in mind but not in the log is not here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.host import HealthStatus, Host
from services.log.projection import Change, Projection
from services.router.answers import PastAnswer
from services.router.select import HostEntry
from services.router.state import Changes, OpenTask, State, Track, initial, key_of, slim

VERSION = 7
"""Goes up with every change of the tables or of what is folded into them."""
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS router_tasks (
        key TEXT PRIMARY KEY, task TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_hosts (
        host TEXT PRIMARY KEY, seq INTEGER NOT NULL, status TEXT NOT NULL, spec TEXT NOT NULL,
        reason TEXT NOT NULL, since INTEGER NOT NULL, since_at REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_history (
        user TEXT, host TEXT, good INTEGER NOT NULL, tried INTEGER NOT NULL,
        PRIMARY KEY (user, host)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_preferences (
        user TEXT, host TEXT, weight REAL NOT NULL, PRIMARY KEY (user, host)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_answers (
        key TEXT PRIMARY KEY, seq INTEGER NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        term INTEGER, term_seq INTEGER, first_host_seq INTEGER, at REAL)""",
)
_PUT_TASK = "REPLACE INTO router_tasks VALUES (?, ?)"
_CUT_TASK = "DELETE FROM router_tasks WHERE key = ?"
_PUT_HOST = "REPLACE INTO router_hosts VALUES (?, ?, ?, ?, ?, ?, ?)"
_CUT_HOST = "DELETE FROM router_hosts WHERE host = ?"
_PUT_TRACK = "REPLACE INTO router_history VALUES (?, ?, ?, ?)"
_CUT_TRACK = "DELETE FROM router_history WHERE user = ? AND host = ?"
_PUT_TASTE = "REPLACE INTO router_preferences VALUES (?, ?, ?)"
_CUT_TASTE = "DELETE FROM router_preferences WHERE user = ? AND host = ?"
_PUT_ANSWER = "REPLACE INTO router_answers VALUES (?, ?, ?)"
_CUT_ANSWER = "DELETE FROM router_answers WHERE key = ?"
_PUT_META = "REPLACE INTO router_meta VALUES (1, ?, ?, ?, ?)"

_encode = msgspec.json.Encoder(order="deterministic").encode
_task: msgspec.json.Decoder[OpenTask] = msgspec.json.Decoder(OpenTask)
_answer: msgspec.json.Decoder[PastAnswer] = msgspec.json.Decoder(PastAnswer)
_host: msgspec.json.Decoder[Host] = msgspec.json.Decoder(Host)


def rows(state: State, changes: Changes) -> list[Change]:
    """Return the statements that bring the changed rows in line with the state."""
    out: list[Change] = []
    if changes.tasks:
        out += _task_rows(state, changes)
    if changes.tracks:
        tracks = [(pair, state.tracks.get(pair)) for pair in changes.tracks]
        out.append(Change(_PUT_TRACK, [(*p, t.good, t.tried) for p, t in tracks if t is not None]))
        out.append(Change(_CUT_TRACK, [pair for pair, track in tracks if track is None]))
    if changes.hosts:
        hosts = [(id_, state.hosts.get(id_)) for id_ in changes.hosts]
        out.append(Change(_PUT_HOST, [_host_row(id_, h) for id_, h in hosts if h is not None]))
        out.append(Change(_CUT_HOST, [(id_,) for id_, entry in hosts if entry is None]))
    if changes.tastes:
        tastes = [(pair, state.tastes.get(pair)) for pair in changes.tastes]
        out.append(Change(_PUT_TASTE, [(*pair, said) for pair, said in tastes if said is not None]))
        out.append(Change(_CUT_TASTE, [pair for pair, said in tastes if said is None]))
    if changes.answers:
        answers = [(key, state.answers.get(key)) for key in changes.answers]
        put = [(key, found.seq, _encode(found)) for key, found in answers if found is not None]
        out.append(Change(_PUT_ANSWER, put))
        out.append(Change(_CUT_ANSWER, [(key,) for key, found in answers if found is None]))
    if changes.meta:
        meta = (state.term, state.term_seq, state.first_host_seq, state.at)
        out.append(Change(_PUT_META, [meta]))
    return [change for change in out if change.rows]


async def load(projection: Projection) -> State:
    """Read the state back as it was at the projection's checkpoint."""
    state = initial()
    state.seq = projection.position
    for (text,) in await projection.query("SELECT task FROM router_tasks"):
        task = slim(_task.decode(text))
        state.tasks[key_of(task.user, task.task)] = task
        state.count_flight(task)
    for id_, seq, status, spec, *news in await projection.query("SELECT * FROM router_hosts"):
        state.hosts[id_] = HostEntry(_host.decode(spec), seq, HealthStatus(status), *news)
        state.count_owner(state.hosts[id_].spec.owner)
        state.guard(None, state.hosts[id_].spec)
        state.note_cache(state.hosts[id_].spec)
    for user, host, good, tried in await projection.query("SELECT * FROM router_history"):
        state.tracks[user, host] = Track(good, tried)
    for user, host, weight in await projection.query("SELECT * FROM router_preferences"):
        state.tastes[user, host] = weight
    for (text,) in await projection.query("SELECT answer FROM router_answers ORDER BY seq"):
        state.answers.put(_answer.decode(text))
    for _, term, term_seq, first, at in await projection.query("SELECT * FROM router_meta"):
        state.term, state.term_seq, state.first_host_seq = term, term_seq, first
        state.at = at
    state.take_changes()
    return state


def _task_rows(state: State, changes: Changes) -> list[Change]:
    """A task that has come and gone since the last rows has none."""
    open_, born = state.tasks, changes.born
    put = [(key, _encode(open_[key])) for key in changes.tasks if key in open_]
    cut = [(key,) for key in changes.tasks if key not in open_ and key not in born]
    return [Change(_PUT_TASK, put), Change(_CUT_TASK, cut)]


def _host_row(id_: str, entry: HostEntry) -> tuple[Any, ...]:
    news = entry.reason, entry.since, entry.since_at
    return id_, entry.seq, entry.status.value, _encode(entry.spec), *news
