"""semgrep's engine with the rules of this server, or with one that a task brings."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.registry.builtin.security.engines import child
from services.registry.builtin.security.engines.base import (
    EngineFailed,
    EngineResult,
    Found,
    Rules,
    ScanTarget,
)

RULE_S = 10
"""Seconds that one rule may take for one file."""
_EXPERIMENTAL = "--experimental"
"""The engine alone, in 0.2 s: without it a start of Python comes before, for 3 s."""
_QUIET = {
    "SEMGREP_SEND_METRICS": "off",
    "SEMGREP_ENABLE_VERSION_CHECK": "0",
    "SEMGREP_MCP_DISABLE_TRACING": "true",
}
_WORKER = Path(__file__).with_name("rules_worker.py")
LANGUAGES = {
    "c++": "cpp", "c#": "csharp", "js": "javascript", "ts": "typescript", "golang": "go",
    "py": "python", "python2": "python", "python3": "python", "kt": "kotlin", "rs": "rust",
    "rb": "ruby", "bash": "shell", "sh": "shell", "docker": "dockerfile", "ex": "elixir",
    "sol": "solidity", "hcl": "terraform", "tf": "terraform",
}  # fmt: skip
"""From semgrep's names to those of `sources`."""
_DIALECTS = {"jsx": "javascript", "tsx": "typescript"}
_ANY = {"regex", "generic", "none"}
SEVERITIES = {
    "CRITICAL": "ERROR", "HIGH": "ERROR", "ERROR": "ERROR", "MEDIUM": "WARNING",
    "WARNING": "WARNING",
}  # fmt: skip


class Rule(msgspec.Struct, frozen=True):
    """What decides which files a rule looks at."""

    id: str
    languages: tuple[str, ...]
    include: tuple[str, ...] = ()


class Semgrep:
    """The semgrep of one environment with one set of rules."""

    name = "semgrep"
    package = "semgrep"
    batch = 600

    def __init__(self, environment: Path, rules: Path, *, own: bool = False) -> None:
        """`rules`: file or folder; `own`: a task brought them, so they may be anything."""
        self._bin = environment / "bin"
        self._path = rules.absolute()
        self._own = own
        self._rules: list[Rule] | None = None

    async def prepare(self) -> int:
        """Read which languages the rules are for. Raises EngineFailed."""
        if self._rules is None:
            if self._own:
                await self.run(self._path.parent, [ScanTarget("", self._path.name, None)])
            self._rules = await self._read()
        return len(self._rules)

    def rules_for(self, target: ScanTarget) -> Rules:
        """Rules of the language, and those that search text of any kind."""
        counts = [counted(rule, target) for rule in self._rules or ()]
        return Rules(sum(one.language for one in counts), sum(one.secrets for one in counts))

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files, named one by one.

        Of a whole folder semgrep would leave out what a `.gitignore`, a `.semgrepignore` or its
        own list names, such as tests.
        """
        options = ["--quiet", "--json", "--no-rewrite-rule-ids", "--novcs", "--oss-only"]
        options += ["--jobs", "1", "--timeout", str(RULE_S)]
        options += ["--max-target-bytes", "0", "--config", str(self._path)]
        names = [f"./{target.name}" for target in targets]
        output = await self._call("scan", _EXPERIMENTAL, *options, "--", *names, root=root)
        try:
            raw = msgspec.json.decode(output.stdout, type=dict[str, Any])
        except msgspec.MsgspecError:
            words = output.words or "it said nothing"
            raise EngineFailed(
                "engine_failed", f"semgrep ended with {output.code}: {words}"
            ) from None
        if wrong := broken_rule(raw):
            raise EngineFailed("engine_failed", f"the rule can't be used: {wrong}")
        return ran(raw, targets)

    async def languages(self) -> list[str]:
        """The languages that rules can be for. Raises EngineFailed."""
        output = await self._call("show", "supported-languages", _EXPERIMENTAL)
        _, _, names = output.stdout.decode("utf-8", "replace").partition(":")
        return [name.strip() for name in names.split(",")]

    async def _call(self, *arguments: str, root: Path | None = None) -> child.Output:
        path = f"{self._bin}:/usr/bin:/bin"
        command = [str(self._bin / "semgrep"), *arguments]
        output = await child.run(command, root or self._bin, env={**_QUIET, "PATH": path})
        if output.problem:
            raise EngineFailed(*output.problem)
        return output

    async def _read(self) -> list[Rule]:
        command = [str(self._bin / "python"), "-I", str(_WORKER), str(self._path)]
        output = await child.run(command, self._bin)
        try:
            return msgspec.json.decode(output.stdout, type=list[Rule])
        except msgspec.MsgspecError:
            raise EngineFailed(
                "engine_failed", f"the rules can't be read: {output.words}"
            ) from None


def counted(rule: Rule, target: ScanTarget) -> Rules:
    """Whether this rule looks at this file: for its language, or for secrets in any text."""
    inside = not rule.include or any(_within(target.name, one) for one in rule.include)
    if not inside:
        return Rules(0)
    language = _DIALECTS.get(target.language or "", target.language)
    named = {LANGUAGES.get(one, one) for one in rule.languages}
    if language in named:
        return Rules(1)
    if not named & _ANY:
        return Rules(0)
    return Rules(1) if rule.include else Rules(0, 1)


def ran(raw: Mapping[str, Any], targets: Sequence[ScanTarget]) -> EngineResult:
    """semgrep's own report as findings of the task's files."""
    paths = {target.name: target.path for target in targets}
    results = [one for one in raw.get("results", ()) if _named(one["path"]) in paths]
    failed: dict[str, tuple[str, str]] = {}
    remarks: dict[str, str] = {}
    for error in raw.get("errors", ()):
        path = paths.get(_named(str(error.get("path", ""))))
        if path is None:
            continue
        match _kind(error):
            case "Syntax error" | "Lexical error":
                failed[path] = ("parse_error", _said(error))
            case kind:
                failed.pop(path, None)
                remarks[path] = f"semgrep: {kind}: {_said(error)}"
    return EngineResult([finding(one, paths) for one in results], failed, remarks)


def finding(match: Mapping[str, Any], paths: Mapping[str, str]) -> Found:
    """One match as a finding."""
    extra = match.get("extra", {})
    about = extra.get("metadata", {})
    cwe = about.get("cwe", [])
    severity = str(extra.get("severity", "INFO")).upper()
    confidence = str(about.get("confidence", "MEDIUM")).upper()
    rule = match["check_id"]
    return Found(
        path=paths[_named(match["path"])],
        line=match["start"]["line"],
        end_line=match["end"]["line"],
        column=match["start"]["col"],
        end_column=match["end"]["col"],
        rule=rule,
        severity=SEVERITIES.get(severity, "INFO"),
        confidence=confidence if confidence in ("HIGH", "MEDIUM", "LOW") else "MEDIUM",
        cwe=(cwe,) if isinstance(cwe, str) else tuple(map(str, cwe)),
        message=extra.get("message", ""),
        fix=str(about.get("fix", "")),
        secret=rule.startswith("secret-") or about.get("secret") is True,
    )


def broken_rule(raw: Mapping[str, Any]) -> str:
    """What is wrong with the rules themselves; empty: they could be used."""
    wrong = [
        error
        for error in raw.get("errors", ())
        if _kind(error) in {"Invalid YAML", "Rule parse error", "InvalidRuleSchemaError"}
        or (error.get("level") == "error" and not error.get("path"))
    ]
    return "; ".join(_said(error) for error in wrong[:3])


def _kind(error: Mapping[str, Any]) -> str:
    kind = error.get("type", "")
    return str(kind[0] if isinstance(kind, list) and kind else kind)


def _named(path: str) -> str:
    return path.removeprefix("./")


def _said(error: Mapping[str, Any]) -> str:
    return " ".join(str(error.get("message", "")).split())[:500]


def _within(name: str, pattern: str) -> bool:
    """Whether semgrep's `paths.include` names the file, as far as shell patterns say."""
    pattern = pattern.removeprefix("/")
    tails = [name, *(name[at + 1 :] for at, sign in enumerate(name) if sign == "/")]
    return any(fnmatch.fnmatchcase(tail, pattern) for tail in tails)
