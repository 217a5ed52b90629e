"""What each language has a notion of, and how it is read: the one list of languages."""

from __future__ import annotations

from typing import NamedTuple

from services.registry.builtin.code.engine.definitions import curly, other, scripts
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
    "c": Notions(curly.C, compiled.C, lizard="c", search="c"),
    "cpp": Notions(curly.CPP, compiled.C, lizard="cpp", search="cpp"),
    "csharp": Notions(curly.CSHARP, compiled.CSHARP, lizard="cs", search="csharp"),
    "css": _data(other.CSS, compiled.CSS, search="css"),
    "dockerfile": _data(other.DOCKERFILE, compiled.DOCKERFILE),
    "elixir": Notions(scripts.ELIXIR, imported.ELIXIR, complexity=False, search="elixir"),
    "go": Notions(other.GO, compiled.GO, lizard="go", search="go"),
    "haskell": Notions(other.HASKELL, compiled.HASKELL, complexity=False, search="haskell"),
    "html": _data(other.HTML, compiled.HTML, search="html"),
    "java": Notions(curly.JAVA, compiled.JAVA, lizard="java", search="java"),
    "javascript": Notions(
        scripts.JAVASCRIPT, imported.JAVASCRIPT, lizard="js", search="javascript"
    ),
    "json": _data(other.JSON, comments=False, search="json"),
    "jsx": Notions(scripts.JAVASCRIPT, imported.JAVASCRIPT, lizard="jsx", search="jsx"),
    "kotlin": Notions(curly.KOTLIN, compiled.KOTLIN, lizard="kt", search="kotlin"),
    "lua": Notions(scripts.LUA, imported.LUA, lizard="lua", search="lua"),
    "make": _data(other.MAKE, compiled.MAKE),
    "markdown": _data(other.MARKDOWN, comments=False),
    "php": Notions(scripts.PHP, imported.PHP, lizard="php", search="php"),
    "python": Notions(scripts.PYTHON, imported.PYTHON, lizard="py", search="python"),
    "ruby": Notions(scripts.RUBY, imported.RUBY, lizard="rb", search="ruby"),
    "rust": Notions(other.RUST, compiled.RUST, lizard="rs", search="rust"),
    "scala": Notions(curly.SCALA, compiled.SCALA, lizard="scala", search="scala"),
    "scss": _data(other.CSS, compiled.CSS),
    "shell": Notions(scripts.SHELL, imported.SHELL, search="bash"),
    "solidity": Notions(curly.SOLIDITY, compiled.SOLIDITY, lizard="sol", search="solidity"),
    "sql": Notions(other.SQL, lizard="sql"),
    "swift": Notions(curly.SWIFT, compiled.SWIFT, lizard="swift", search="swift"),
    "toml": _data(other.TOML),
    "tsx": Notions(scripts.TYPESCRIPT, imported.JAVASCRIPT, lizard="tsx", search="tsx"),
    "typescript": Notions(
        scripts.TYPESCRIPT, imported.JAVASCRIPT, lizard="ts", search="typescript"
    ),
    "xml": _data(other.XML),
    "yaml": _data(other.YAML, search="yaml"),
}
