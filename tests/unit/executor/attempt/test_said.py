"""Log messages of hosts are passed on within their pace, and what is left out is counted."""

from __future__ import annotations

import json

from contracts.nesting import MAX_DEPTH
from services.executor.attempt.said import (
    AT_ONCE,
    LOGGER_CHARS,
    OURSELVES,
    SAID_BYTES,
    SAID_S,
    LogLine,
    SaidPace,
    shortened,
)

ONE = LogLine("info", b'"one"')


def test_a_few_come_at_once_and_a_flood_ten_times_a_second_with_the_count_of_the_rest() -> None:
    pace, passed = SaidPace(), []
    for n in range(2000):
        passed += pace.passed(1000.0 + n * SAID_S / 50, ONE)
    passed += pace.rest()
    told = [json.loads(said.data) for said in passed if said.logger == OURSELVES]
    left_out = sum(int(text.rpartition(" ")[2]) for text in told)
    assert passed[:AT_ONCE] == [ONE] * AT_ONCE
    assert passed.count(ONE) + left_out == 2000
    assert AT_ONCE + 38 <= passed.count(ONE) <= AT_ONCE + 41
    assert pace.rest() == []


def test_a_host_that_says_little_is_heard_whole() -> None:
    pace = SaidPace()
    assert [pace.passed(1000.0 + n, ONE) for n in range(500)] == [[ONE]] * 500


def test_a_message_is_cut_where_it_is_long_or_deep_and_its_logger_too() -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    for data in ("x" * SAID_BYTES, deep):
        said = shortened("error", data, "l" * 1000)
        assert json.loads(said.data).endswith(" bytes)")
        assert (len(said.data) <= SAID_BYTES, len(said.logger)) == (True, LOGGER_CHARS)
    assert shortened("debug", None, None) == LogLine("debug", b"null", "")
