"""What was denied is denied by its exact name."""

from __future__ import annotations

import pytest

from services.bus.connect import Troubles
from services.bus.errors import PermissionDenied


async def test_ids_that_differ_in_case_share_no_denial() -> None:
    troubles = Troubles()
    with troubles.watch("task.created.Ann.t") as hers, troubles.watch("task.created.ann.t") as his:
        assert troubles.deny("task.created.Ann.t")
        assert hers.done()
        assert not his.done()
    troubles.check("task.created.ann.t")
    with pytest.raises(PermissionDenied, match=r"created\.Ann\.t"):
        troubles.check("task.created.Ann.t")
