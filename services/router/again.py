"""Whether a task is answered with the result of an earlier one, and what is remembered for that.

Pure. Given again is only what the task's user may have worked for now, by the host that says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts.cached import cache_for, question, shareable, young
from contracts.facts import JobDone, Outcome, Record
from contracts.route import Earlier
from services.router.answers import PastAnswer
from services.router.state import OpenTask, State

MOST_HOSTS = 8
"""Hosts whose earlier answers are looked at for one task."""


class GiveAgain(msgspec.Struct, frozen=True, gc=False):
    """The task is over with this; the router writes its `job.done`."""

    answer: PastAnswer
    earlier: Earlier


def again(state: State, task: OpenTask, hosts: tuple[str, ...], now: float) -> GiveAgain | None:
    """The newest answer that may be given to the task by one of these hosts; all of them may serve
    it as they are registered, whether or not they are well. None: it is work."""
    if task.fresh or task.approve or task.attempt or not len(state.answers):
        return None
    best: GiveAgain | None = None
    for id_ in hosts[:MOST_HOSTS]:
        entry, version = state.hosts.get(id_), state.caching.get(id_)
        if entry is None or version is None:
            continue
        cache = cache_for(entry.spec, task.need.type, task.tool)
        if cache is None:
            continue
        shared = cache.scope == "all" and task.anyone
        for user in (task.user, "") if shared else (task.user,):
            answer = state.answers.get(_key(task, id_, version, user))
            if answer is None or not young(answer.at, now, cache):
                continue
            if best is None or answer.seq > best.answer.seq:
                best = GiveAgain(answer, Earlier(answer.seq, id_, entry.seq, now))
    return best


def given(due: Mapping[str, object]) -> list[str]:
    """The tasks that are to be answered so: each is looked at again when a host or answer goes."""
    return [key for key, step in due.items() if isinstance(step, GiveAgain)]


def remember(state: State, task: OpenTask, record: Record, fact: JobDone) -> None:
    """Note the result of an attempt on a host that lets results be given again."""
    entry, version = state.hosts.get(fact.host), state.caching.get(fact.host)
    known = entry is not None and version == task.version and fact.host == task.host
    if not known or fact.result is None or fact.outcome is not Outcome.SUCCEEDED:
        return
    if task.approve:
        # What a person has allowed is done for this task alone.
        return
    assert entry is not None
    cache = cache_for(entry.spec, task.need.type, task.tool)
    if cache is None:
        return
    user = "" if shareable(cache, fact.result, own=not task.anyone) else task.user
    answer = PastAnswer(
        key=_key(task, fact.host, task.version, user),
        user=task.user,
        task=task.task,
        seq=record.seq,
        at=record.at,
        until=record.at + cache.ttl_s,
        host=fact.host,
        result=fact.result,
        remarks=fact.remarks,
    )
    state.changes.answers |= state.answers.put(answer)


def _key(task: OpenTask, host: str, version: str, user: str) -> str:
    need = task.need
    return question(host, version, need.type, task.digest, need.required, need.heavy, user)
