"""The troubles of a process: one of each kind, until it is over."""

from __future__ import annotations

from services.process.run import Process


def test_a_trouble_stands_until_it_is_over() -> None:
    troubles = Process("router").troubles
    assert troubles.all() == ()
    troubles.tell("clock", "an hour behind", "Set it.")
    troubles.tell("view_unwritable", "its view can't be written", "Make room.")
    troubles.tell("clock", "two hours behind", "Set it.")
    assert [one.text for one in troubles.all()] == ["two hours behind", "its view can't be written"]
    troubles.over("clock")
    troubles.over("clock")
    assert [one.kind for one in troubles.all()] == ["view_unwritable"]
