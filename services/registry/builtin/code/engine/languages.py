"""What each language has a notion of, and how it is read: the one list of languages."""

from __future__ import annotations

from typing import NamedTuple

from services.registry.builtin.code.engine.definitions import (
    clang,
    curly,
    data,
    jvm,
    scripts,
    systems,
)
from services.registry.builtin.code.engine.imports import Takers, compiled
from services.registry.builtin.code.engine.imports import scripts as imported
from services.registry.builtin.code.engine.symbols import Table

PATHS = " > "
"""Joins names that may hold dots themselves."""


class Notions(NamedTuple):
    """One language: what an answer tells of its files."""

    table: Table
    imports: Takers | None = None
    """None: the language has no imports, so that the answer has none."""
    functions: bool = True
    complexity: bool = True
    """Whether there is a number that can be trusted."""
    comments: bool = True
    joint: str = "."
    lizard: str = ""
    """The suffix that lizard knows the language by; empty: it doesn't know it."""
    search: str = ""
    """The name that ast-grep has for it; empty: it has none."""


def _data(
    table: Table, imports: Takers | None = None, *, comments: bool = True, search: str = ""
) -> Notions:
    return Notions(
        table,
        imports,
        functions=False,
        complexity=False,
        comments=comments,
        joint=PATHS,
        search=search,
    )


LANGUAGES: dict[str, Notions] = {
    "c": Notions(clang.C, compiled.C, lizard="c", search="c"),
    "cpp": Notions(clang.CPP, compiled.C, lizard="cpp", search="cpp"),
    "csharp": Notions(curly.CSHARP, compiled.CSHARP, lizard="cs", search="csharp"),
    "css": _data(data.CSS, compiled.CSS, search="css"),
    "dockerfile": _data(data.DOCKERFILE, compiled.DOCKERFILE),
    "elixir": Notions(scripts.ELIXIR, imported.ELIXIR, complexity=False, search="elixir"),
    "go": Notions(systems.GO, compiled.GO, lizard="go", search="go"),
    "haskell": Notions(systems.HASKELL, compiled.HASKELL, complexity=False, search="haskell"),
    "html": _data(data.HTML, compiled.HTML, search="html"),
    "java": Notions(jvm.JAVA, compiled.JAVA, lizard="java", search="java"),
    "javascript": Notions(
        scripts.JAVASCRIPT, imported.JAVASCRIPT, lizard="js", search="javascript"
    ),
    "json": _data(data.JSON, comments=False, search="json"),
    "jsx": Notions(scripts.JAVASCRIPT, imported.JAVASCRIPT, lizard="jsx", search="jsx"),
    "kotlin": Notions(jvm.KOTLIN, compiled.KOTLIN, lizard="kt", search="kotlin"),
    "lua": Notions(scripts.LUA, imported.LUA, lizard="lua", search="lua"),
    "make": _data(data.MAKE, compiled.MAKE),
    "markdown": _data(data.MARKDOWN, comments=False),
    "php": Notions(scripts.PHP, imported.PHP, lizard="php", search="php"),
    "python": Notions(scripts.PYTHON, imported.PYTHON, lizard="py", search="python"),
    "ruby": Notions(scripts.RUBY, imported.RUBY, lizard="rb", search="ruby"),
    "rust": Notions(systems.RUST, compiled.RUST, lizard="rs", search="rust"),
    "scala": Notions(jvm.SCALA, compiled.SCALA, lizard="scala", search="scala"),
    "scss": _data(data.CSS, compiled.CSS),
    "shell": Notions(scripts.SHELL, imported.SHELL, search="bash"),
    "solidity": Notions(curly.SOLIDITY, compiled.SOLIDITY, lizard="sol", search="solidity"),
    "sql": Notions(data.SQL, lizard="sql"),
    "swift": Notions(curly.SWIFT, compiled.SWIFT, lizard="swift", search="swift"),
    "toml": _data(data.TOML),
    "tsx": Notions(scripts.TYPESCRIPT, imported.JAVASCRIPT, lizard="tsx", search="tsx"),
    "typescript": Notions(
        scripts.TYPESCRIPT, imported.JAVASCRIPT, lizard="ts", search="typescript"
    ),
    "xml": _data(data.XML),
    "yaml": _data(data.YAML, search="yaml"),
}
