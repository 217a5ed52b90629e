"""Real source files: those that the packages of this environment and Python itself bring along.

What is chosen depends on what is installed, and on nothing else: the same machine, the same files.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 300_000
SAMPLES = Path(__file__).parent / "code"
"""Small files of our own, one or more in every language."""
SUFFIXES = (
    ".py .pyi .pyx .c .h .cpp .hpp .cc .js .mjs .cjs .ts .tsx .jsx .java .kt .cs .go .rs .rb .php"
    " .swift .scala .sh .bash .sql .html .css .scss .json .yaml .yml .toml .md .xml .proto .lua"
).split()


def repository(folder: Path, count: int, *more: Path) -> list[str]:
    """Fill a folder with `count` files, in folders as they were; returns their names.

    Every suffix gets its turn, so that the many Python files don't crowd out the others. `more`:
    further folders to take from, such as the environments of engines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turns = {suffix: iter(sorted(paths)) for suffix, paths in _by_suffix(more).items()}
    names: list[str] = []
    while turns and len(names) < count:
        for suffix in sorted(turns):
            found = next(turns[suffix], None)
            if found is None:
                del turns[suffix]
            elif len(names) < count:
                name, source = found
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / name)
                names.append(name)
    return sorted(names)


def _by_suffix(more: tuple[Path, ...]) -> dict[str, list[tuple[str, Path]]]:
    found: dict[str, list[tuple[str, Path]]] = {}
    roots = {
        "samples": SAMPLES,
        "packages": Path(sysconfig.get_path("purelib")),
        "python": Path(sysconfig.get_path("stdlib")),
        "include": Path(sysconfig.get_path("include")),
        **{f"more{number}": path for number, path in enumerate(more)},
    }
    for word, root in roots.items():
        for path in _files(root):
            found.setdefault(path.suffix, []).append((f"{word}/{path.relative_to(root)}", path))
    return found


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        within = path.relative_to(root).parts
        if "site-packages" in within or "__pycache__" in within:
            continue
        if path.suffix not in SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        if 0 < path.stat().st_size <= MOST_BYTES:
            yield path


if __name__ == "__main__":
    print(len(repository(Path(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))))
