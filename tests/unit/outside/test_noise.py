"""What a server may say beside its answers: much, for long, but not without end."""

from __future__ import annotations

import pytest

from services.outside.noise import (
    BYTES,
    LINES,
    MESSAGE_BYTES,
    MESSAGES,
    PROGRAM,
    REQUESTS,
    Noise,
)


def test_a_long_call_may_report_for_days() -> None:
    noise, now = Noise(0.0), 0.0
    for _ in range(10_000):
        now += 60.0
        for _ in range(600):
            noise.message(200)
            noise.line(10)
        assert not noise.over(now)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("line", LINES.burst),
        ("long line", BYTES.burst / 1000),
        ("message", MESSAGES.burst),
        ("long message", MESSAGE_BYTES.burst / 50_000),
        ("request", REQUESTS.burst),
    ],
)
def test_a_flood_is_over_the_budget(kind: str, most: float) -> None:
    noise = Noise(0.0)

    def once() -> None:
        match kind:
            case "line":
                noise.line(1)
            case "long line":
                noise.line(1000)
            case "message":
                noise.message(100)
            case "long message":
                noise.message(50_000)
            case _:
                noise.request(0.0)

    for _ in range(int(most)):
        once()
    assert not noise.over(0.0)
    once()
    once()
    assert noise.over(0.001)


def test_no_request_too_many_is_handed_on_however_many_come_together() -> None:
    noise = Noise(0.0)
    most = int(REQUESTS.burst)
    assert [noise.request(0.0) for _ in range(3 * most)] == [True] * most + [False] * 2 * most
    # What is not answered ends it, also where there is room again when that is judged.
    assert noise.over(1_000.0)


def test_a_program_at_work_for_many_is_not_taken_for_a_flood() -> None:
    noise, over = Noise(0.0, PROGRAM), False
    for tenth in range(1, 601):
        for _ in range(64):
            noise.message(200)
        over |= noise.over(tenth / 10)
    assert not over, "64 calls that report ten times a second, for a minute"
