"""bandit for Python: the tests that are right nearly always, and others to confirm a finding.

Left out are those for what is no weakness in itself: asserts, imports, `except: pass`, `/tmp`, and
programs named without their folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.registry.builtin.security import weaknesses
from services.registry.builtin.security.engines import lines
from services.registry.builtin.security.engines.base import EngineResult, Found, Rules, ScanTarget

_WORKER = Path(__file__).with_name("bandit_worker.py")
_ANY, _HIGH = "LOW", "HIGH"
_RANK = {"LOW": 0, "MEDIUM": 1, "HIGH": 2}


class BanditTest(NamedTuple):
    """How one test of bandit is told."""

    cwe: int
    severity: str
    least: str = _ANY
    """bandit's own severity that a finding has to have: below it stands what is harmless."""
    alone: bool = True
    """False: told only where another engine found the same."""
    fix: str = ""


CHECKS = {
    "B103": BanditTest(732, "ERROR", _HIGH),
    "B201": BanditTest(
        489, "ERROR", fix="Start the app without debug=True; its console runs code."
    ),
    "B304": BanditTest(327, "ERROR"),
    "B305": BanditTest(327, "WARNING"),
    "B306": BanditTest(377, "WARNING", fix="Use tempfile.mkstemp or NamedTemporaryFile."),
    "B312": BanditTest(319, "WARNING", fix="Use SSH."),
    "B323": BanditTest(295, "ERROR", fix="Use ssl.create_default_context."),
    "B324": BanditTest(328, "WARNING", _HIGH),
    "B501": BanditTest(295, "ERROR", _HIGH, fix="Leave verify on, or give your authority's file."),
    "B502": BanditTest(757, "ERROR", fix="Use ssl.create_default_context: TLS 1.2 and later."),
    "B503": BanditTest(757, "WARNING", fix="Use ssl.create_default_context."),
    "B505": BanditTest(326, "ERROR", fix="Use RSA of 2,048 bits or more, or an elliptic curve."),
    "B506": BanditTest(502, "ERROR", fix="Use yaml.safe_load."),
    "B507": BanditTest(295, "ERROR", fix="Load known hosts, and use RejectPolicy."),
    "B508": BanditTest(319, "WARNING", fix="Use SNMPv3 with authentication and encryption."),
    "B509": BanditTest(319, "WARNING", fix="Use SNMPv3 with authentication and encryption."),
    "B605": BanditTest(78, "ERROR", _HIGH, fix="Use subprocess.run with a list of arguments."),
    "B609": BanditTest(78, "WARNING", fix="Expand the names with glob, and put `--` before them."),
    "B611": BanditTest(89, "ERROR", fix="Give the values as params of RawSQL."),
    "B612": BanditTest(94, "WARNING", fix="Give logging.config.listen a verify function."),
    "B613": BanditTest(1007, "ERROR"),
    # To confirm only: each is wrong too often, on constants, own data, or values that are safe.
    "B102": BanditTest(95, "WARNING", alone=False),
    "B105": BanditTest(798, "WARNING", alone=False),
    "B106": BanditTest(798, "WARNING", alone=False),
    "B107": BanditTest(798, "WARNING", alone=False),
    "B202": BanditTest(22, "WARNING", alone=False),
    "B301": BanditTest(502, "WARNING", alone=False),
    "B302": BanditTest(502, "WARNING", alone=False),
    "B307": BanditTest(95, "WARNING", alone=False),
    "B308": BanditTest(79, "WARNING", alone=False),
    "B310": BanditTest(918, "WARNING", alone=False),
    "B311": BanditTest(330, "INFO", alone=False),
    "B313": BanditTest(611, "WARNING", alone=False),
    "B314": BanditTest(611, "WARNING", alone=False),
    "B318": BanditTest(611, "WARNING", alone=False),
    "B319": BanditTest(611, "WARNING", alone=False),
    "B321": BanditTest(319, "WARNING", alone=False),
    "B504": BanditTest(757, "WARNING", alone=False),
    "B601": BanditTest(78, "WARNING", alone=False),
    "B602": BanditTest(78, "ERROR", _HIGH, alone=False),
    "B604": BanditTest(78, "WARNING", alone=False),
    "B608": BanditTest(89, "WARNING", alone=False),
    "B610": BanditTest(89, "WARNING", alone=False),
    "B614": BanditTest(502, "WARNING", alone=False),
    "B701": BanditTest(79, "WARNING", alone=False),
    "B702": BanditTest(79, "WARNING", alone=False),
    "B703": BanditTest(79, "WARNING", alone=False),
    "B704": BanditTest(79, "WARNING", alone=False),
}


class Bandit:
    """The bandit of one environment."""

    name = "bandit"
    package = "bandit"
    batch = 400

    def __init__(self, environment: Path) -> None:
        self._environment = environment

    async def prepare(self) -> int:
        """Nothing to get ready."""
        return len(CHECKS)

    def rules_for(self, target: ScanTarget) -> Rules:
        """All of them, for Python."""
        return Rules(len(CHECKS) if target.language == "python" else 0)

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files. Raises EngineFailed."""
        given = {"tests": sorted(CHECKS)}
        return await lines.run(self._environment, _WORKER, given, targets, root, findings)


def findings(target: ScanTarget, raw: Mapping[str, Any]) -> Iterator[Found]:
    """One issue of bandit, unless it is of the harmless kind."""
    check = CHECKS[raw["test"]]
    if _RANK.get(raw["severity"], 0) < _RANK[check.least]:
        return
    cwe = weaknesses.named(check.cwe)
    yield Found(
        path=target.path,
        line=raw["line"],
        end_line=max(raw["line"], raw["end_line"]),
        column=max(1, raw["column"]),
        end_column=None,
        rule=raw["test"],
        severity=check.severity,
        confidence=raw["confidence"] if raw["confidence"] in _RANK else "MEDIUM",
        cwe=(cwe,),
        message=raw["text"],
        fix=check.fix,
        alone=check.alone,
        secret=check.cwe == 798,
    )
