"""All tools by their words: a table of SQLite's full text search, in memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import threading
from collections.abc import Collection, Iterable
from typing import NamedTuple

from contracts.errors import Reason, Rejected
from contracts.host import Host, Tool
from services.gateway.mcp import words

_TABLE = """CREATE VIRTUAL TABLE tools USING fts5(
    host UNINDEXED, tool UNINDEXED, name, title, description, origin, arguments, said,
    tokenize = 'porter unicode61'
)"""
_SCORE = "-bm25(tools, 0.0, 0.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.1)"
"""By column: a word of a tool's name is worth more than one of its arguments."""
_OF_ALIKE = 0.8
"""What a word is worth that stands for one of the question's."""
_ADD = "INSERT INTO tools(host, tool, name, title, description, origin, arguments, said) VALUES"
_WORD = f"""SELECT {{}} AS notion, rowid AS id, host, tool, {_SCORE} * {{}} AS score
    FROM tools WHERE tools MATCH ?"""
_FIND = """WITH scored AS MATERIALIZED ({}) SELECT host, tool FROM (
    SELECT notion, id, host, tool, max(score) AS score FROM scored
    WHERE host IN (SELECT value FROM json_each(?)) GROUP BY notion, id
) GROUP BY id ORDER BY sum(score) * count(*) DESC, id"""
"""Who fits more of a question goes before who fits one of its words better; `bm25` can't be used
where a plan has put it into a group."""
SPARE_HOSTS = 100
"""Hosts that are gone and still have their rows, before they are looked for and taken away."""


class _Held(NamedTuple):
    """What the table has of a host."""

    tools: tuple[Tool, ...]
    instructions: str
    name: str


class ToolIndex:
    """Kept by its questions: before one is answered, the hosts that have changed since are read.

    Nobody pays for it who never asks. Who asks finds what is theirs alone.
    """

    def __init__(self) -> None:
        self._opened: sqlite3.Connection | None = None
        self._closed = False
        self._held: dict[str, _Held] = {}
        self._turn = asyncio.Lock()
        self._at_work = threading.Lock()
        """Held by a thread to its end, also when nobody waits for it any more."""

    def close(self) -> None:
        """Find nothing any more."""
        with self._at_work:
            self._closed = True
            if self._opened is not None:
                self._opened.close()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            made = sqlite3.connect(":memory:", check_same_thread=False)
            try:
                made.execute(_TABLE)
            except sqlite3.OperationalError:
                made.close()
                raise
            self._opened = made
        return self._opened

    async def find(
        self,
        query: str,
        among: Collection[tuple[str, str]],
        every: Iterable[Host],
        most: int,
    ) -> list[tuple[str, str]]:
        """Hosts and tools that fit a question, the best first, among these alone.

        `every`: all hosts there are, so that each is read once for all who ask. Raises Rejected.
        """
        async with self._turn:
            return await asyncio.to_thread(self._work, query, among, list(every), most)

    def _work(
        self, query: str, among: Collection[tuple[str, str]], every: list[Host], most: int
    ) -> list[tuple[str, str]]:
        try:
            with self._at_work:
                if self._closed:
                    raise Rejected(Reason.UNAVAILABLE, "the gateway is stopping: try again")
                with self._db:
                    self._read(every)
                return self._find(query, among, most)
        except sqlite3.OperationalError as error:
            text = f"tools can't be searched: SQLite says {error}; see docs/mcp.md"
            raise Rejected(Reason.UNAVAILABLE, text) from error

    def _find(
        self, query: str, among: Collection[tuple[str, str]], most: int
    ) -> list[tuple[str, str]]:
        parts, given = [], []
        for number, notion in enumerate(words.asked(query)):
            # Two words that stand together say as much as each of them alone.
            worth = [(word, 1.0 + word.count(" ")) for word in notion.words]
            worth += [(word, _OF_ALIKE) for word in notion.alike]
            parts += [_WORD.format(number, one) for _, one in worth]
            given += [f'"{word}"' for word, _ in worth]
        if not parts:
            return []
        hosts = json.dumps(sorted({host for host, _ in among}))
        rows = self._db.execute(_FIND.format(" UNION ALL ".join(parts)), (*given, hosts))
        found = list(itertools.islice((row for row in rows if row in among), most))
        rows.close()
        return found

    def _read(self, every: list[Host]) -> None:
        for host in every:
            held = self._held.get(host.id)
            if (
                held is None
                or held.tools is not host.tools
                or (held.instructions, held.name) != (host.instructions, host.name)
            ):
                self._put(host)
        if len(self._held) > len(every) + SPARE_HOSTS:
            there = {host.id for host in every}
            for id_ in [id_ for id_ in self._held if id_ not in there]:
                self._drop(id_)

    def _put(self, host: Host) -> None:
        self._drop(host.id)
        origin = words.split(f"{host.id.rpartition('/')[2]} {host.name}")
        said = words.split(host.instructions)
        rows = [
            (
                *(host.id, tool.name, words.split(tool.name)),
                *(words.split(tool.title or tool.hints_title), words.split(tool.description)),
                *(origin, words.split(words.of_schema(tool.input_schema)), said),
            )
            for tool in host.tools
        ]
        self._db.executemany(f"{_ADD} (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._held[host.id] = _Held(host.tools, host.instructions, host.name)

    def _drop(self, id_: str) -> None:
        if self._held.pop(id_, None) is not None:
            self._db.execute("DELETE FROM tools WHERE host = ?", (id_,))
