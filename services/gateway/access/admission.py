"""Whether a user may store more: the budgets, and what is left of the disk.

Every door asks here before anything goes to the log or to the object store.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

from contracts.budget import BudgetOf, InUse, usual
from services.gateway.access.limits import RateLimit
from services.gateway.access.reserve import Reserve
from services.gateway.access.use import SOON_S, OverBudget, UserCounts
from services.log.damage import ViewError

UPLOADS = 4
"""Uploads of one user at once: until they are whole they lie in temporary files."""


class Admission:
    """Budgets of all users at one gateway."""

    def __init__(
        self,
        budget_of: BudgetOf = usual,
        frames: RateLimit | None = None,
        reserve: Reserve | None = None,
        clock: Callable[[], float] = time.time,
        *,
        counted: bool = True,
    ) -> None:
        """`frames` counts frames and messages; without it there is no limit to them."""
        self.budget_of = budget_of
        self.reserve = reserve or Reserve()
        self.use = UserCounts()
        self.counted = counted
        """Whether it is known what users have open; until then only operators get new tasks in."""
        self._frames = frames or RateLimit(0, 60.0)
        self._clock = clock
        self._uploads: Counter[str] = Counter()

    @property
    def counts_frames(self) -> bool:
        """Whether there is a limit to frames and messages, which gateways share."""
        return self._frames.counts

    def begin(self, user: str, task: str, size: int, *, operator: bool = False) -> None:
        """Reckon with a task on its way to the log; `end` it if it does not get there.

        Raises OverBudget, Rejected(TOO_LARGE, DISK_FULL), ViewError.
        """
        if not self.counted and not operator:
            raise ViewError("it is still being read which tasks are open")
        self.reserve.check(operator=operator)
        budget = self.budget_of(user)
        self.use.begin(user, task, size, budget, self._clock(), operator=operator)

    def end(self, user: str, task: str) -> None:
        """A task has not become a new one in the log, as far as is known here."""
        self.use.end(user, task)

    @contextlib.contextmanager
    def on_its_way(self, user: str, task: str, size: int, *, operator: bool) -> Iterator[None]:
        """`begin`, and `end` if the block raises."""
        self.begin(user, task, size, operator=operator)
        try:
            yield
        except BaseException:
            self.end(user, task)
            raise

    def check_fact(self, user: str, *, operator: bool = False) -> None:
        """Refuse another fact of a user over the budget. Raises OverBudget, Rejected(DISK_FULL)."""
        self.reserve.check(operator=operator)
        if not operator:
            self.use.check_facts(user, self.budget_of(user), self._clock())

    def check_frame(self, user: str, *, operator: bool = False) -> None:
        """Count a frame or message. Raises OverBudget."""
        if operator or not (wait_s := self._frames.count(f"frames {user}")):
            return
        raise OverBudget(
            f"budget frames: {user} has sent {self.budget_of(user).frames} frames and messages in"
            f" {self._frames.window_s:g} s, the most there may be: wait {int(wait_s) + 1} s",
            wait_s,
        )

    @contextlib.contextmanager
    def upload(self, user: str, *, operator: bool) -> Iterator[None]:
        """Let a user send a blob. Raises OverBudget, Rejected(DISK_FULL)."""
        self.reserve.check(operator=operator)
        if self._uploads[user] >= UPLOADS:
            text = f"{user} sends {UPLOADS} uploads already, the most there may be at once"
            raise OverBudget(f"{text}: wait until one is done", SOON_S)
        self._uploads[user] += 1
        try:
            yield
        finally:
            self._uploads[user] -= 1
            if not self._uploads[user]:
                del self._uploads[user]

    def used(self, user: str) -> InUse:
        """What a user has used, but for the object store."""
        return self.use.of(user, self._clock())
