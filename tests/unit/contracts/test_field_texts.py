"""The texts below fields are read whatever the collector takes away meanwhile."""

from __future__ import annotations

import ast
import gc

import pytest

from contracts import facts, schema


class Parsing:
    """Parses when it is collected, as whatever shows a traceback then does."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        ast.parse("a + b")


@pytest.mark.parametrize("allocations", [500, 1000, 2000, 4000, 8000])
def test_what_is_collected_meanwhile_may_parse_too(allocations: int) -> None:
    before = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        schema._texts_of.cache_clear()
        for _ in range(50):
            Parsing()
        # The collector begins after so many: while the source is being parsed.
        gc.set_threshold(allocations)
        gc.enable()
        assert schema.field_texts(facts.TaskCreated)
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
        gc.enable()
