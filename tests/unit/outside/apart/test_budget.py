"""The time of the processor that an owner's workers may take in a minute."""

from __future__ import annotations

from services.outside.apart.budget import MOST_OWNERS, CpuBudget


def test_who_is_over_waits_until_enough_of_it_is_old() -> None:
    budget = CpuBudget(most_s=10, window_s=60)
    assert budget.wait_s("a", 0.0) == 0
    for second in range(11):
        budget.spend("a", 1.0, float(second))
    assert budget.wait_s("a", 11.0) == 49
    assert budget.wait_s("a", 59.0) == 1
    assert budget.wait_s("a", 60.5) == 0
    assert budget.wait_s("b", 11.0) == 0


def test_few_owners_are_remembered() -> None:
    budget = CpuBudget(most_s=1)
    for number in range(MOST_OWNERS + 1):
        budget.spend(str(number), 2.0, 0.0)
    assert budget.wait_s("0", 0.0) == 0
    assert budget.wait_s(str(MOST_OWNERS), 0.0) > 0
