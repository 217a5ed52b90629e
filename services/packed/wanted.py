"""Which files of a folder or repository go with a task: text of one's own. Pure."""

from __future__ import annotations

import codecs
import re

MOST_BYTES = 5 * 1024 * 1024
"""Of one file of a folder."""
MOST_NAME = 512
"""Characters of a file's name in the folder; what executors take."""
HIDDEN_FOLDERS = frozenset((".circleci", ".github", ".gitlab"))
HIDDEN_FILES = frozenset(
    ".dockerignore .envrc .gitlab-ci.yml .htaccess .netrc .npmrc .pre-commit-config.yaml .pypirc"
    " .travis.yml".split()
)
"""Hidden ones that go along all the same, and `.env` with whatever follows it."""
INSTALLED = frozenset(
    "__pycache__ bower_components node_modules site-packages .cache .eggs .gradle .mypy_cache"
    " .next .nox .nuxt .nyc_output .pytest_cache .ruff_cache .terraform .tox .yarn".split()
)
"""Folders that a program has filled: packages and caches."""
HEAD = 8192
"""Bytes by which a file is known as binary."""
_GIT = re.compile(r"\.git|git~\d+")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def goes_along(name: str, folder: bool) -> bool:
    """Whether something hidden goes along all the same; `name` is its own, without a folder's."""
    if folder:
        return name in HIDDEN_FOLDERS
    return name in HIDDEN_FILES or name == ".env" or name.startswith(".env.")


def is_name(name: str) -> bool:
    """Whether an executor takes it: it refuses what some file system takes for `.git`."""
    last = name[name.rfind("/") + 1 :]
    if "\\" in name or _GIT.fullmatch(last.partition(":")[0].rstrip(". ").casefold()):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_binary(head: bytes) -> bool:
    """Bytes that no text has; UTF-16 has them too, and says so first. `head`: its first bytes."""
    return b"\0" in head and not head.startswith(_WIDE)
