"""What `tsc --checkJs` says of the console; where it can't be had, that it was not asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.foreign import install

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROJECT = ROOT / "services" / "gateway" / "console" / "tsconfig.json"


def main() -> int:
    """Print what it finds; 1 when it finds anything."""
    try:
        node = install.node(HERE)
    except install.NotToBeHad as error:
        print(f"lint: the types of the console were not checked: {error}", file=sys.stderr)
        return 0
    command = (*node.program("tsc"), "--project", str(PROJECT), "--pretty", "false")
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
