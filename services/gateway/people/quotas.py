"""Quotas: what single users have otherwise than the table of budgets says, at all gateways."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from contracts.budget import QUOTAS, Budget, InUse, check_quotas, excepted
from contracts.errors import Reason, Rejected
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.people.records import Exceptions
from services.gateway.people.state import HeldRecord, PeopleState

KIND = "quota"
"""In the bucket of people; `subjects.quota` names the same."""


class Quotas:
    """The budgets of all users: a `BudgetOf`. Raises StoreError where it writes."""

    def __init__(self, state: PeopleState, common: Budget) -> None:
        """`common`: the budget of whoever is no exception."""
        self.common = common
        self._state = state
        self._table = state.table(KIND, Exceptions)
        self._made: dict[str, tuple[int, Budget]] = {}
        self._counters: dict[str, Callable[[str], int]] = {}

    def __call__(self, user: str) -> Budget:
        """The budget of a user."""
        found = self._table.get(user)
        if found is None:
            self._made.pop(user, None)
            return self.common
        made = self._made.get(user)
        if made is None or made[0] != found.revision:
            made = self._made[user] = found.revision, excepted(self.common, found.value.limits)
        return made[1]

    def of(self, user: str) -> HeldRecord[Exceptions] | None:
        """What was set for a user, and its revision; None: nothing."""
        return self._table.get(user)

    async def put(
        self, user: str, limits: Mapping[str, int], expected: int | None, by: str
    ) -> HeldRecord[Exceptions]:
        """Set a user's exceptions in the place of what there was.

        With `expected`, only at that revision (0: there is nothing). Raises Rejected(BAD_REQUEST,
        CONFLICT).
        """
        check_quotas(limits)
        await self._state.refresh()
        found = self._table.get(user)
        revision = 0 if found is None else found.revision
        if expected in (None, revision):
            value = Exceptions(limits=dict(limits), by=by, changed=time.time())
            if (put := await self._table.put(user, value, revision)) is not None:
                return put
        raise Rejected(
            Reason.CONFLICT, f"the quotas of {user} have changed meanwhile: look at them again"
        )

    async def delete(self, user: str) -> bool:
        """Give a user the usual budget again; False if it had nothing else."""
        return await self._table.delete(user)

    def count_with(self, quota: str, counter: Callable[[str], int]) -> None:
        """Have this function say how much of a quota a user has: of hosts, tokens, sign_ins."""
        if quota not in QUOTAS:
            raise ValueError(f"{quota} is no quota")
        self._counters[quota] = counter

    def counted(self, user: str, used: InUse) -> InUse:
        """`used` with what the functions of `count_with` say."""
        counts = {name: counter(user) for name, counter in self._counters.items()}
        return msgspec.structs.replace(used, **counts)

    def check(self, user: str, quota: str, way: str) -> None:
        """Refuse one more of what `count_with` counts where a user has so many. Raises OverBudget.

        `way`: how there would be room.
        """
        have, most = self._counters[quota](user), getattr(self(user), quota)
        if have >= most:
            text = f"budget {quota}: {user} has {have}, of at most {most}: {way}"
            raise OverBudget(text, SOON_S)
