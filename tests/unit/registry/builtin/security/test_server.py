"""What the scan server refuses before any engine runs."""

from __future__ import annotations

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from services.registry.builtin.security import report, server


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("x" * (server.MOST_RULE + 1), "are allowed"),
        ("rules:\n  - id: a\n    mode: join\n", "mode: join"),
        ("rules:\n  - mode: 'join'\n", "mode: join"),
    ],
)
def test_a_rule_that_can_not_be_used_is_refused(rule: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        server._checked(rule)
    assert server._checked("rules: []") == "rules: []"


def test_the_line_for_readers_tells_what_went_wrong() -> None:
    totals = {"files": 9, "scanned": 5, "not_scanned": 3, "failed": 1}
    engines = [{"name": "semgrep", "problem": "p"}, {"name": "bandit"}]
    scan = {"findings": [{}], "totals": totals, "engines": engines}
    assert report.summary(scan) == (
        "1 findings in 5 of 9 files, 3 not scanned, 1 failed; trouble with semgrep"
    )
