"""One process of the engine: takes a request, gives an answer, and is worth nothing more.

Frames on stdin and stdout: four bytes of length, then JSON. It ends when stdin does.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from services.registry.builtin.code.engine import analysis, search, trees
from services.registry.builtin.code.engine.grammars import GRAMMARS, SyntaxTree
from services.registry.builtin.code.engine.languages import LANGUAGES
from services.registry.builtin.code.engine.patterns import BadPattern

MOST_MEMORY = 2 * 1024**3
CPU_S = 120
"""Of one request. The server is quicker, unless it was killed and nobody else ends this."""


class Unfit(Exception):
    """The request can't be done as it is; the message says why."""


def analyze(request: dict[str, Any]) -> dict[str, Any]:
    """Everything about one file."""
    language = better_language(request)
    told = analysis.analyzed(request["text"], language, request.get("unfit", ""))
    return {"language": language, **told}


def better_language(request: dict[str, Any]) -> str | None:
    """A header called `.h` is C++ if that is what it can be parsed as."""
    language: str | None = request["language"]
    if language == "c" and request.get("path", "").lower().endswith(".h"):
        tree = SyntaxTree(request["text"], "c")
        if tree.root.has_error:
            other = SyntaxTree(request["text"], "cpp")
            if len(other.found("ERROR")) < len(tree.found("ERROR")):
                return "cpp"
    return language


def parse(request: dict[str, Any]) -> dict[str, Any]:
    """One file's tree."""
    language = better_language(request)
    if language not in GRAMMARS:
        known = ", ".join(sorted(GRAMMARS))
        raise Unfit(f"there is no grammar for {language or 'its language'}; there is for {known}")
    wanted = trees.Wanted(**{**request["wanted"], "node_types": tuple(request["node_types"])})
    parsed = SyntaxTree(request["text"], language)
    unknown = [one for one in wanted.node_types if not trees.known(parsed, one)]
    if unknown:
        raise Unfit(f"{language} has no nodes of type {', '.join(map(repr, unknown))}")
    return {"language": language, **trees.tree(parsed, wanted)}


def find(request: dict[str, Any]) -> dict[str, Any]:
    """The matches of a pattern in one file."""
    return search.found(
        request["text"],
        request["language"],
        request["pattern"],
        request["most"],
        request["context"],
    )


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Whether a pattern can be used in each of some languages."""
    wrong: dict[str, str] = {}
    for language in request["languages"]:
        try:
            search.check(request["pattern"], language)
        except BadPattern as error:
            wrong[language] = str(error)
    return {"wrong": wrong}


def languages(request: dict[str, Any]) -> dict[str, Any]:
    """What is told of each language."""
    return {
        "languages": [
            {
                "name": name,
                "comments": one.comments,
                "imports": one.imports is not None,
                "functions": one.functions,
                "complexity": ("lizard" if one.lizard else "tree") if one.complexity else None,
                "search": bool(one.search),
            }
            for name, one in sorted(LANGUAGES.items())
        ]
    }


DO: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    one.__name__: one for one in (analyze, parse, find, check, languages)
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; never raises for what is wrong with it."""
    try:
        return {"answer": DO[request["do"]](request)}
    except (Unfit, BadPattern, trees.NotGiven) as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"failed": "it takes more memory than the engine may have"}
    except RecursionError:
        return {"failed": "it is nested too deep"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:500]}


def main() -> None:
    """Serve requests until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    frames = os.fdopen(os.dup(1), "wb")
    # What a library prints must not come between the frames.
    os.dup2(2, 1)
    stdin = sys.stdin.buffer
    _write(frames, {"ready": True})
    with contextlib.suppress(BrokenPipeError):
        while (request := _read(stdin)) is not None:
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
            told = answer(request)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _write(frames, told)


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    request: dict[str, Any] = json.loads(stream.read(size))
    return request


def _write(stream: BinaryIO, told: dict[str, Any]) -> None:
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()
