"""detect-secrets: the detectors with a form of their own, and the one for names such as `password`.

Those that take any random-looking text for a secret are left out; values that are plainly none
(placeholders, names, words) are dropped here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.registry.builtin.security import weaknesses
from services.registry.builtin.security.engines import lines
from services.registry.builtin.security.engines.base import EngineResult, Found, Rules, ScanTarget

_WORKER = Path(__file__).with_name("secrets_worker.py")
KEYWORD = "Secret Keyword"
BASIC_AUTH = "Basic Auth Credentials"
PRIVATE_KEY = "Private Key"
KINDS = (
    "AWS Access Key", "Azure Storage Account access key", BASIC_AUTH, "Cloudant Credentials",
    "Discord Bot Token", "GitHub Token", "GitLab Token", "IBM Cloud IAM Key",
    "IBM COS HMAC Credentials", "JSON Web Token", "Mailchimp Access Key", "NPM tokens",
    "OpenAI Token", PRIVATE_KEY, "PyPI Token", "SendGrid API Key", "Slack Token",
    "SoftLayer Credentials", "Square OAuth Secret", "Stripe Access Key", "Telegram Bot Token",
    "Twilio API Key", KEYWORD,
)  # fmt: skip
"""As detect-secrets calls them. Artifactory's pattern fits words in capitals, so it is left out."""
_SHORTEST = 8
_LONGEST = 200
_SPREAD = 2.5
"""Bits a character: words that people make up for an example repeat more."""
_PLACEHOLDER = re.compile(
    r"(?i)x{3,}|\*{3,}|\.{3}|<[^>]*>|\$[({]|[{%]\w|change.?(?:me|it)|example|placeholder"
    r"|your[-_ ]|dummy|fake|sample|insert|replace|redact|default|secret|passw|todo"
    r"|foobar|hunter2|test|demo|(?:0123|1234|abcd)"
)
_FILLED = re.compile(r"(?i)([x*0.])\1{7}")
"""No token repeats one of these so often; places that the reader has to fill in do."""
_HEAD_ALONE = re.compile(r"KEY(?: BLOCK)?-----[\"'`]")
_CODE = re.compile(r"[\w.]+\s*\(|\w+\[|^[\w-]+(?:\.[\w-]+)+$|::|->|^\W+$|^[/~.]|^[a-z]+://|\\[nt]")
_LOOKED_UP = re.compile(
    r"(?i)getenv|environ|process\.env|\benv\b|config\(|settings\.|vault|secrets?\.|keyring|\$\{|\{\{"
)
_WORDS = re.compile(r"^(?:[A-Z]?[a-z]+|[A-Z]+)(?:[-_ .:/]?(?:[A-Z]?[a-z]+|[A-Z]+))*\d?$")


class DetectSecrets:
    """The detect-secrets of one environment."""

    name = "detect-secrets"
    package = "detect_secrets"
    batch = 1000

    def __init__(self, environment: Path) -> None:
        self._environment = environment

    async def prepare(self) -> int:
        """Nothing to get ready."""
        return len(KINDS)

    def rules_for(self, target: ScanTarget) -> Rules:
        """All of them, for any text."""
        return Rules(0, len(KINDS))

    async def run(self, root: Path, targets: Sequence[ScanTarget]) -> EngineResult:
        """Scan the files. Raises EngineFailed."""
        given = {"kinds": KINDS}
        return await lines.run(self._environment, _WORKER, given, targets, root, findings)


def findings(target: ScanTarget, raw: Mapping[str, Any]) -> Iterator[Found]:
    """One secret, unless its value is plainly none."""
    kind, value, text = raw["kind"], raw["value"], raw["text"]
    if kind == KEYWORD and not likely(value, text):
        return
    if kind == BASIC_AUTH and (_PLACEHOLDER.search(value) or len(value) < 6):
        return
    if _HEAD_ALONE.search(text) if kind == PRIVATE_KEY else _FILLED.search(value):
        return
    column = raw["column"]
    yield Found(
        path=target.path,
        line=raw["line"],
        end_line=raw["line"],
        column=column,
        end_column=column + len(value),
        rule=kind.lower().replace(" ", "-"),
        severity="WARNING" if kind in (KEYWORD, BASIC_AUTH) else "ERROR",
        confidence="MEDIUM" if kind in (KEYWORD, BASIC_AUTH) else "HIGH",
        cwe=(weaknesses.named(321 if kind == PRIVATE_KEY else 798),),
        message=_message(kind),
        secret=True,
        in_bytes=False,
    )


def likely(value: str, line: str) -> bool:
    """Whether the value beside a name such as `password` looks like a real secret."""
    if not _SHORTEST <= len(value) <= _LONGEST or any(sign.isspace() for sign in value):
        return False
    if _PLACEHOLDER.search(value) or _CODE.search(value) or _WORDS.match(value):
        return False
    if _LOOKED_UP.search(line):
        return False
    kinds = sum(bool(re.search(one, value)) for one in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w]"))
    return kinds >= 2 and _spread(value) >= _SPREAD


def _spread(value: str) -> float:
    """Shannon entropy, bits a character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def _message(kind: str) -> str:
    if kind == KEYWORD:
        return "A value that looks like a secret stands in the file, beside a name that says so."
    if kind == BASIC_AUTH:
        return "A URL holds a password."
    return f"A secret stands in the file: {kind}."
