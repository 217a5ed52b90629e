"""The texts below fields are read whatever the collector takes away meanwhile."""

from __future__ import annotations

import ast
import gc

from contracts import facts, schema


class Parsing:
    """Parses when it is collected, as whatever shows a traceback then does."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        ast.parse("a + b")


def test_what_is_collected_meanwhile_may_parse_too() -> None:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            schema._texts_of.cache_clear()
            for _ in range(50):
                Parsing()
            assert schema.field_texts(facts.TaskCreated)
    finally:
        gc.set_threshold(*before)
    assert gc.isenabled()
