"""docs/rules.md lists every rule of ours; with WRITE_DOCS=1 in the environment this writes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from services.registry.manifests.manifest import BUILTIN

ROOT = Path(__file__).parents[5]
PAGE = ROOT / "docs" / "rules.md"
HEAD = """# The rules of the security scan

Those that come with it, for semgrep's engine; they are ours, under the license of this project.
[security-scan.md](security-scan.md) has the other engines and how to bring rules of your own.
A test writes this page from `services/registry/builtin/security/rules/`.
"""


def rules() -> list[dict[str, Any]]:
    folder = BUILTIN.parent / "security" / "rules"
    return [
        rule
        for path in sorted(folder.glob("*.yaml"))
        for rule in yaml.safe_load(path.read_text())["rules"]
    ]


def page() -> str:
    lines = [HEAD, "| rule | languages | severity | weakness |", "|---|---|---|---|"]
    for rule in rules():
        cwe = rule["metadata"]["cwe"]
        weakness = cwe if isinstance(cwe, str) else ", ".join(cwe)
        languages = ", ".join(rule["languages"])
        lines.append(f"| `{rule['id']}` | {languages} | {rule['severity']} | {weakness} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_rule() -> None:
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
