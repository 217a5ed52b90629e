"""What people read of a program that did not start: traces as Node, npm and Python write them."""

from __future__ import annotations

import pytest

from contracts.host import Stdio
from services.keys.start_words import HIDDEN, LINE, LINES, start_words

MODULE = """node:internal/modules/cjs/loader:1215
  throw err;
  ^

Error: Cannot find module '/srv/dist/index.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1212:15)
    at Module._load (node:internal/modules/cjs/loader:1043:27)
    at handleError (node:internal/main:49:12) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
"""
NPM = """npm error code E404
npm error 404 Not Found - GET https://registry.example/nope - Not found
npm error 404
npm error 404  'nope@*' is not in this registry.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git folder.
npm error A complete log of this run can be found in: /srv/.npm/_logs/debug-0.log
"""
VARIABLE = "Starting\nError: BRAVE_API_KEY environment variable is required\n"
PORT = """Error: listen EADDRINUSE: address already in use 127.0.0.1:9009
    at Server.setupListenHandle [as _listen2] (node:net:1817:16)
Node.js v20.20.2
"""
PYTHON = """Traceback (most recent call last):
  File "/srv/server.py", line 1, in <module>
    import nowhere
ModuleNotFoundError: No module named 'nowhere'
"""
NOTHING = Stdio("x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (MODULE, "Error: Cannot find module '…/index.js'"),
        (NPM, "npm error 404 'nope@*' is not in this registry."),
        (VARIABLE, "Error: BRAVE_API_KEY environment variable is required"),
        (PORT, "Error: listen EADDRINUSE: address already in use 127.0.0.1:9009"),
        (PYTHON, "ModuleNotFoundError: No module named 'nowhere'"),
        ("GITHUB_TOKEN not set\nbye\n", "GITHUB_TOKEN not set"),
    ],
)
def test_the_line_that_tells_why_is_first_and_the_last_lines_follow(text: str, why: str) -> None:
    said = start_words(text, NOTHING, {})
    first, _, rest = said.partition(" (its last lines: ")
    assert first == why
    last = text.strip().splitlines()[-1].strip().replace("/srv/.npm/_logs/", "…/")
    assert last == why or rest.endswith(f"{last})")


def test_without_such_a_line_there_are_the_last_ones() -> None:
    text = "".join(f"line {n}\n" for n in range(20))
    assert start_words(text, NOTHING, {}) == " | ".join(f"line {n}" for n in range(15, 20))
    assert start_words(" \n", NOTHING, {}) == ""


def test_secrets_are_not_shown() -> None:
    endpoint = Stdio("x", env={"DB_PASS": "hunter22"}, env_from=("PRIVATE_THING", "PEM"))
    environment = {"DB_PASS": "hunter22", "PRIVATE_THING": "abc-def", "HOME": "/srv/x"}
    environment["PEM"] = "first part\nsecond part"
    token = "ghp_" + "a1B2" * 9
    text = "\n".join(
        [
            "Error: no access with abc-def as hunter22 in /srv/x",
            "API_KEY=q9w8e7r6 was refused",
            f"sent {token} and first part",
            "second part",
            "opened postgresql://me:pa55word@db/x",
        ]
    )
    said = start_words(text, endpoint, environment)
    for secret in ("abc-def", "hunter22", "q9w8e7r6", token, "pa55word"):
        assert secret not in said
    assert "second part" not in said
    assert "no access" in said
    assert said.count(HIDDEN) >= 5


def test_where_things_lie_is_not_shown() -> None:
    text = "Error: connect ECONNREFUSED 10.1.2.3:5432 for /srv/secret/a.db at http://db.lan/x"
    said = start_words(text, NOTHING, {})
    assert said == "Error: connect ECONNREFUSED [address]:5432 for …/a.db at http://…"


def test_it_is_one_bounded_line_that_plays_with_no_terminal() -> None:
    text = "\n".join(f"Error: \x1b[31m{n}\x07\u202e{'x' * 5000}" for n in range(50))
    said = start_words(text, NOTHING, {})
    assert said.isprintable()
    assert len(said) < (LINES + 1) * (LINE + 20)
