"""zizmor for GitHub's workflows and actions: audits that need no network and are about holes.

Left out is what is a matter of policy: actions that are not pinned by digest, permissions that are
not narrowed down, checkouts that keep their token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.registry.builtin.security import weaknesses
from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.base import (
    EngineFailed,
    EngineResult,
    Found,
    Rules,
    ScanTarget,
)

_WORKFLOW = re.compile(r"(?:^|/)\.github/workflows/[^/]+\.ya?ml$|(?:^|/)action\.ya?ml$")
AUDITS = {
    "bot-conditions": (290, "Compare the author of the event itself, not github.actor."),
    "cache-poisoning": (349, "Use no cache in workflows that publish."),
    "dangerous-triggers": (829, "Use pull_request, and give the workflow no secrets."),
    "github-env": (77, "Don't write what others can choose to GITHUB_ENV or GITHUB_PATH."),
    "hardcoded-container-credentials": (798, "Read the password from secrets."),
    "insecure-commands": (77, "Remove ACTIONS_ALLOW_UNSECURE_COMMANDS; write to GITHUB_ENV."),
    "overprovisioned-secrets": (522, "Name the one secret that is needed, not all of them."),
    "secrets-inherit": (522, "Pass only the secrets that the called workflow needs."),
    "template-injection": (94, "Put the expression into env, and use the variable in the script."),
    "unsound-condition": (670, "Write the condition so that it is one expression."),
    "unsound-contains": (697, "Compare with a list: contains(fromJSON('[...]'), value)."),
    "unredacted-secrets": (532, "Use the secret whole; parts of it are not masked in logs."),
}
_SEVERITIES = {"High": "ERROR", "Medium": "WARNING"}


class Zizmor:
    """The zizmor of one environment."""

    name = "zizmor"
    package = "zizmor"
    batch = 200

    def __init__(self, environment: Path) -> None:
        self._program = environment / "bin" / "zizmor"

    async def prepare(self) -> int:
        """Nothing to get ready."""
        return len(AUDITS)

    def rules_for(self, target: ScanTarget) -> Rules:
        """All of them, for workflows and actions."""
        return Rules(len(AUDITS) if _WORKFLOW.search(target.name) else 0)

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files; one that is no workflow fails all of a run. Raises EngineFailed."""
        names = [f"./{target.name}" for target in targets]
        command = [str(self._program), "--offline", "--format", "json-v1", "--no-progress"]
        command += ["--quiet", "--no-config", "--no-exit-codes", "--strict-collection", *names]
        output = await child.run(command, root, env={"RUST_BACKTRACE": "0"})
        if output.problem:
            raise EngineFailed(*output.problem)
        try:
            raw = msgspec.json.decode(output.stdout, type=list[dict[str, Any]])
        except msgspec.MsgspecError:
            words = output.words.partition("Stack backtrace")[0].strip()
            raise EngineFailed("parse_error", words) from None
        paths = {target.name: target.path for target in targets}
        return EngineResult([found for one in raw for found in findings(one, paths)])


def findings(raw: Mapping[str, Any], paths: Mapping[str, str]) -> Iterator[Found]:
    """One finding of zizmor, at its primary place."""
    if (known := AUDITS.get(raw["ident"])) is None or raw.get("ignored"):
        return
    about = raw["determinations"]
    for location in raw["locations"]:
        symbolic = location["symbolic"]
        name = str(symbolic["key"].get("Local", {}).get("verbatim_path", "")).removeprefix("./")
        if symbolic.get("kind") != "Primary" or name not in paths:
            continue
        place = location["concrete"]["location"]
        start, end = place["start_point"], place["end_point"]
        cwe, fix = known
        yield Found(
            path=paths[name],
            line=start["row"] + 1,
            end_line=end["row"] + 1,
            column=start["column"] + 1,
            end_column=end["column"] + 1,
            rule=raw["ident"],
            severity=_SEVERITIES.get(about["severity"], "INFO"),
            confidence=str(about["confidence"]).upper(),
            cwe=(weaknesses.named(cwe),),
            message=f"{str(raw['desc']).capitalize()}.",
            fix=fix,
            secret=cwe == 798,
        )
