"""Prints what semgrep rules are for, as JSON; run by the environment's Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]


def rules(path: Path) -> list[dict[str, Any]]:
    """All rules of a file, or of the files of a folder."""
    files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
    found: list[dict[str, Any]] = []
    for file in files:
        document = yaml.load(file.read_text("utf-8"), Loader=_LOADER)
        found += (document or {}).get("rules", [])
    return found


def brief(rule: dict[str, Any]) -> dict[str, Any]:
    """What decides which files the rule looks at."""
    include = (rule.get("paths") or {}).get("include") or []
    return {"id": rule["id"], "languages": rule.get("languages") or [], "include": include}


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

if __name__ == "__main__":
    json.dump([brief(rule) for rule in rules(Path(sys.argv[1]))], sys.stdout)
