"""What a task without a host waits for, in words."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.host import Capability, HealthStatus, Host
from contracts.task import TaskSpec
from services.outside.fits import HostState, waiting
from tests.unit.router.world import capability, host, space

UP, DOWN, NEW = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN
PARSE = (Capability("parse", "2.0"),)


def at(one: Host, status: HealthStatus = UP, reason: str = "") -> HostState:
    return HostState(one, status, reason)


CASES: list[tuple[dict[str, Any], list[HostState], dict[str, int], str]] = [
    ({}, [at(host("a"))], {"a": 1}, ""),
    ({"host": "a"}, [at(host("a"), DOWN, "no answer")], {}, "host a is unhealthy: no answer"),
    ({"host": "a"}, [at(host("a"), NEW)], {}, "host a is not known to answer yet"),
    ({"host": "a"}, [at(host("a", enabled=False))], {}, "host a is disabled"),
    ({"host": "a"}, [at(host("b"))], {}, "host a is not registered"),
    ({"host": "a"}, [at(host("a", 2, "other"))], {}, "host a: task_type"),
    (
        {"host": "a"},
        [at(host("a"))],
        {"a": 2},
        "every host for it is at its limit: a (2 at once)",
    ),
    (
        {"host": "mine"},
        [at(space("alice/mine", "alice"), DOWN)],
        {},
        "host alice/mine is unhealthy",
    ),
    ({}, [at(host("a"), DOWN, "gone"), at(host("b"))], {}, ""),
    (
        {},
        [at(host(name), DOWN, "gone") for name in "abcd"],
        {},
        "host a is unhealthy: gone; host b is unhealthy: gone; host c is unhealthy: gone; and 1"
        " more",
    ),
    (
        {"required_capabilities": PARSE},
        [at(host("a", capabilities=(capability("parse", "1.9"),)))],
        {},
        "no host for work has the capabilities parse 2.0",
    ),
    ({}, [at(host("a", enabled=False))], {}, "no host serves work; disabled: a"),
    ({}, [], {}, "no host serves work"),
]


@pytest.mark.parametrize(("fields", "hosts", "used", "text"), CASES)
def test_what_a_task_waits_for_is_said(
    fields: dict[str, Any], hosts: list[HostState], used: dict[str, int], text: str
) -> None:
    spec = TaskSpec(**{"type": "work"} | fields)
    assert waiting(spec, "alice", hosts, used) == text
