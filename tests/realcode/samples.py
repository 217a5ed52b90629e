"""Loads vulnerable samples and their safe twins: `samples/LANGUAGE/KIND/NAME/{bad,good}.*`.

Tokens and keys in them are placeholders such as `{{github_pat}}`, filled in here, so that nothing
that looks like a secret stands in a file of the repository.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SAMPLES = Path(__file__).parent / "samples"
_DASHES = "-" * 5
_LOWER = string.ascii_lowercase + string.digits
_ALL = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_BASE64 = _ALL + "+/"
_URL = _ALL + "-_"

Generator = Callable[[random.Random], str]


class Sample(NamedTuple):
    """A program with a fault, and the same program as it should have been written."""

    language: str
    kind: str
    name: str
    suffix: str
    bad: str
    good: str

    def path(self, side: str) -> str:
        """Where `write` puts the `bad` or the `good` side, relative to its folder."""
        return f"{self.language}/{self.kind}/{self.name}/{side}{self.suffix}"


def load(folder: Path = SAMPLES) -> list[Sample]:
    """Every sample below the folder, sorted; ValueError names one that lacks a side."""
    return [_sample(path) for path in sorted(folder.glob("*/*/*/bad*"))]


def write(samples: Iterable[Sample], folder: Path) -> None:
    """Write both sides of each sample below the folder, with their secrets filled in."""
    for sample in samples:
        for side, text in (("bad", sample.bad), ("good", sample.good)):
            path = folder / sample.path(side)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(filled(text), encoding="utf-8")


def filled(text: str) -> str:
    """The text with each placeholder of a secret replaced; always by the same secret."""
    for name in placeholders(text):
        text = text.replace(f"{{{{{name}}}}}", SECRETS[name](random.Random(name)))
    return text


def placeholders(text: str) -> Iterator[str]:
    """Names of the secrets that the text has a place for."""
    return (name for name in SECRETS if f"{{{{{name}}}}}" in text)


def _sample(bad: Path) -> Sample:
    suffix = bad.name.removeprefix("bad")
    good = bad.with_name(f"good{suffix}")
    if not good.is_file():
        raise ValueError(f"{bad} has no twin {good.name}")
    language, kind, name = bad.parts[-4:-1]
    return Sample(language, kind, name, suffix, bad.read_text("utf-8"), good.read_text("utf-8"))


def _of(*parts: str | tuple[str, int]) -> Generator:
    """Text, and so many characters of an alphabet, one after the other."""

    def make(dice: random.Random) -> str:
        return "".join(
            part if isinstance(part, str) else "".join(dice.choices(part[0], k=part[1]))
            for part in parts
        )

    return make


def _jwt(dice: random.Random) -> str:
    parts = [json.dumps(one).encode() for one in ({"alg": "HS256"}, {"sub": "42", "admin": True})]
    coded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*coded, "".join(dice.choices(_URL, k=43))])


def _pem(title: str) -> Generator:
    def make(dice: random.Random) -> str:
        body = "\n".join("".join(dice.choices(_BASE64, k=64)) for _ in range(6))
        return f"{_DASHES}BEGIN {title}{_DASHES}\n{body}\n{_DASHES}END {title}{_DASHES}"

    return make


SECRETS: dict[str, Generator] = {
    "anthropic": _of("sk-ant-", "api03-", (_URL, 93), "AA"),
    "aws_access_key": _of("AKIA", (string.ascii_uppercase + "234567", 16)),
    "aws_secret_key": _of((_BASE64, 40)),
    "azure_storage_key": _of((_BASE64, 86), "=="),
    "digitalocean": _of("dop_v1_", (_HEX, 64)),
    "discord_bot": _of("MT", (_ALL, 24), ".G", (_ALL, 5), ".", (_URL, 38)),
    "discord_webhook": _of(
        "https://discord.com/api/", "webhooks/", ("123456789", 18), "/", (_URL, 68)
    ),
    "github_fine": _of("github_", "pat_", (_ALL, 22), "_", (_ALL, 59)),
    "github_oauth": _of("gho_", (_ALL, 36)),
    "github_pat": _of("ghp_", (_ALL, 36)),
    "gitlab": _of("glpat-", (_URL, 20)),
    "google_api_key": _of("AIza", (_URL, 35)),
    "google_oauth": _of("GOCSPX-", (_URL, 28)),
    "hex32": _of((_HEX, 32)),
    "huggingface": _of("hf_", (string.ascii_letters, 34)),
    "jwt": _jwt,
    "mailchimp": _of((_HEX, 32), "-us", ("12345678", 1)),
    "mailgun": _of("key-", (_HEX, 32)),
    "npm": _of("npm_", (_ALL, 36)),
    "openai": _of("sk-", "proj-", (_ALL, 20), "T3BlbkFJ", (_ALL, 20)),
    "openai_old": _of("sk-", (_ALL, 20), "T3BlbkFJ", (_ALL, 20)),
    "password": _of(("bcdfghjkmnpqrstvwxz", 6), ("23456789", 3), "!", (_ALL, 6)),
    "private_key": _pem("RSA PRIVATE KEY"),
    "private_key_ec": _pem("EC PRIVATE KEY"),
    "private_key_line": lambda dice: _pem("PRIVATE KEY")(dice).replace("\n", "\\n"),
    "private_key_openssh": _pem("OPENSSH PRIVATE KEY"),
    "private_key_pkcs8": _pem("PRIVATE KEY"),
    "pypi": _of("pypi-", "AgEIcHlwaS5vcmc", (_URL, 120)),
    "random_hex": _of((_HEX, 40)),
    "random_text": _of((_ALL, 32)),
    "sendgrid": _of("SG.", (_URL, 22), ".", (_URL, 43)),
    "shopify": _of("shpat_", (_HEX, 32)),
    "slack_bot": _of("xoxb", "-", ("123456789", 12), "-", ("123456789", 13), "-", (_ALL, 24)),
    "slack_webhook": _of(
        "https://hooks.slack.com/",
        "services/T",
        (_ALL.upper(), 8),
        "/B",
        (_ALL.upper(), 8),
        "/",
        (_ALL, 24),
    ),
    "square": _of("sq0atp-", (_URL, 22)),
    "square_new": _of("EAAA", (_URL, 60)),
    "stripe": _of("sk_", "live_", (_ALL, 24)),
    "stripe_restricted": _of("rk_", "live_", (_ALL, 24)),
    "telegram": _of(("123456789", 10), ":AA", (_URL, 33)),
    "twilio_account": _of("AC", (_HEX, 32)),
    "twilio_key": _of("SK", (_HEX, 32)),
}
"""What makes each secret: of the form that its service gives out, and of no use anywhere."""
