"""Real source files: what the packages of this environment and this machine bring along.

Which ones depends on what is installed, and on nothing else: the same machine, the same files.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from services.registry.builtin import sources

SAMPLES = Path(__file__).parent / "code"
"""A small file of each language; those that a tool would take for ours end in `.txt`."""
PLACES = [
    Path(sysconfig.get_path("purelib")),
    Path(sysconfig.get_path("stdlib")),
    Path(sysconfig.get_path("include")),
    Path("/usr/include"),
    Path("/usr/share"),
    Path("/usr/lib/node_modules"),
]
"""Where a machine has code; what is not there is passed over."""
WANTED = {
    "python": 160, "javascript": 40, "c": 40, "cpp": 30, "json": 30, "css": 25, "html": 25,
    "markdown": 25, "yaml": 15, "toml": 15, "shell": 20, "xml": 15, "typescript": 20, "sql": 15,
    "make": 10, "go": 10, "rust": 10, "ruby": 10, "lua": 10, "scss": 10,
}  # fmt: skip
"""Files of each language, if there are so many."""
LARGEST = 300_000


def copied(folder: Path, count: int = sum(WANTED.values())) -> list[str]:
    """Fill a folder with about `count` files, by language, and the small ones; their names.

    Of what is rare all is taken, and Python fills up the rest.
    """
    found = _found()
    names = [_copy(path, folder, f"own/{_own(path)}") for path in sorted(SAMPLES.iterdir())]
    share = count / sum(WANTED.values())
    for language, paths in found.items():
        if language != "python":
            names += _some(folder, language, paths, round(WANTED[language] * share))
    names += _some(folder, "python", found["python"], count - len(names))
    return sorted(names)


def _own(path: Path) -> str:
    return path.name.replace("python.txt", "python.py")


def _some(folder: Path, language: str, paths: list[Path], count: int) -> list[str]:
    """Copy `count` of them, from all over the places."""
    step = max(1, len(paths) // max(1, count))
    return [
        _copy(path, folder, f"{language}/{number // 100}/{number}_{path.name}")
        for number, path in enumerate(paths[::step][:count])
    ]


def _copy(path: Path, folder: Path, name: str) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / name)
    return name


def _found() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {language: [] for language in WANTED}
    for place in PLACES:
        for root, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                language = sources.language(name, b"")
                path = Path(root, name)
                if language in found and not path.is_symlink() and _fits(path):
                    found[language].append(path)
    return found


def _fits(path: Path) -> bool:
    try:
        return 100 < path.stat().st_size < LARGEST
    except OSError:
        return False
