"""Secrets in a host's description, where they would stand in the log for ever: by name or by form.

Pure. What only may be one (a long word, a digest, a UUID) is let through.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from contracts import references
from contracts.host import Endpoint, Execute, OpenApi, Stdio, StreamableHttp

_FORMS: tuple[tuple[str, str], ...] = (
    ("a private key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})"),
    ("a GitLab token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[\w-]{16,255}"),
    (
        "a key of an AI provider",
        r"\b(?:sk|gsk|xai|pplx|tvly|r8)[-_](?=[a-zA-Z_-]{0,255}\d)[\w-]{16,255}",
    ),
    ("a Stripe key", r"\b[sr]k_(?:live|test)_\w{8,255}"),
    ("a Slack token", r"\bx(?:ox[a-z]|app)-[\w-]{10,255}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z]{20,255}"),
    ("an AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a Google key", r"\bAIza[\w-]{30,255}|\bya29\.[\w-]{20,255}"),
    ("a JSON Web Token", r"\beyJ[\w-]{8,255}\.eyJ[\w-]{8,255}\.[\w-]{0,255}"),
    ("a package registry's token", r"\bnpm_[A-Za-z0-9]{30,255}|\bpypi-[\w-]{40,255}"),
    ("a SendGrid key", r"\bSG\.[\w-]{16,255}\.[\w-]{16,255}"),
    ("a service's token", r"\b(?:dop_v1|lin_api|ntn|figd|shpat|sbp|mtm)_[\w-]{16,255}"),
)
# Bounded, so that no text of a stranger takes long: where the next begins, the last is read again.
_KNOWN = tuple((what, re.compile(pattern)) for what, pattern in _FORMS)
_SCHEME = re.compile(r"\b(bearer|basic|token)\s+([^\s\"']+)", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)
_PAIR = re.compile(r"-{0,2}([A-Za-z][\w.-]*)=(.*)", re.DOTALL)
_HEADER = re.compile(r"([A-Za-z][\w-]*):\s+(.+)|([A-Za-z]\w*-[\w-]+|[Aa]uthorization):(.+)")
_JSON_PAIR = re.compile(r'"([\w.-]+)"\s*:\s*"([^"]*)"')
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLACEHOLDER = re.compile(
    r"\{secret:\w+\}|\$\{[^}]*\}|\$[A-Za-z_]\w*|\$\(.*\)|\{\{.*\}\}|\{\w+\}|%\w+%|<[^<>]*>|\[[^\[\]]*\]"
    r"|[xX]{3,}|\*+|\.{3,}|…|(?:your|my|insert|enter|replace)[-_ ].*|.*[-_ ]here|change[-_]?me"
    r"|placeholder|redacted",
    re.IGNORECASE | re.DOTALL,
)
_NO_SECRETS = frozenset("true false yes no on off none null auto default required".split())

_ALWAYS = frozenset(
    "password passwd passphrase secret token apikey credential credentials accesstoken authtoken"
    " secretkey jwt bearer authorization cookie".split()
)
_LAST = frozenset("pass pwd pat key auth sig signature".split())
"""They say so as the last word only: `DB_PASS`, `OPENAI_KEY`."""
ABOUT = frozenset(
    "file path dir folder url uri endpoint id name names type kind limit limits count size length"
    " ttl timeout expiry expires days hours minutes seconds ms enabled disabled required mode"
    " header prefix suffix format version provider store storage manager arn region policy budget"
    " window usage ratio field column env var variable location algorithm issuer audience scope"
    " scopes source strategy encoding separator index rotation len max min".split()
)
"""As the last word they make it something about a secret."""
OPEN_KEYS = frozenset(
    "public primary foreign sort partition cache group object json shard routing hot map"
    " row idempotency dedup message event".split()
)
_QUERY = frozenset("key code sig signature auth sas".split())
_PATH = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:\\).*|.*\.(?:pem|key|crt|cer|json|ya?ml|toml|txt|env)")
_LOGIN = frozenset("-u --user --username --login -U".split())
_RUNNERS = frozenset("docker podman nerdctl".split())


class Spotted(NamedTuple):
    """A place that has a secret in it."""

    where: str
    """Path in the endpoint: `args[2]`, `env.NAME`, `headers.NAME`, `url`."""
    why: str
    """What gives it away. Never the secret."""


def spotted(endpoint: Endpoint) -> list[Spotted]:
    """All secrets of an endpoint."""
    match endpoint:
        case Stdio():
            return [*in_arguments(endpoint.args), *in_values("env", endpoint.env)]
        case StreamableHttp() | Execute():
            why = in_url(endpoint.url)
            return [*([Spotted("url", why)] if why else []), *in_headers(endpoint.headers)]
        case OpenApi():
            places = (
                ("url", in_url(endpoint.url)),
                ("document_url", in_url(endpoint.document_url)),
            )
            secrets = ((f"secrets.{name}", in_text(one)) for name, one in endpoint.secrets.items())
            found = [Spotted(where, why) for where, why in (*places, *secrets) if why]
            return [*found, *in_headers(endpoint.headers)]
        case _:
            return []


def in_values(where: str, values: Mapping[str, str]) -> list[Spotted]:
    """Those of variables."""
    found = ((name, _pair(name, value) or in_text(value)) for name, value in values.items())
    return [Spotted(f"{where}.{name}", why) for name, why in found if why]


def in_headers(headers: Mapping[str, str]) -> list[Spotted]:
    """Those of HTTP headers."""
    return in_values("headers", headers)


def in_arguments(args: Sequence[str]) -> list[Spotted]:
    """Those of a command line."""
    login = not _LOGIN.isdisjoint(args)
    found = ((at, _at(args, at, login=login)) for at in range(len(args)))
    return [Spotted(f"args[{at}]", why) for at, why in found if why]


def in_url(url: str) -> str:
    """What gives away a secret in a URL; empty: nothing."""
    try:
        parts = urlsplit(url)
        password, user = parts.password, parts.username
    except ValueError:
        return ""
    if password and not placeholder(password):
        return "a password in a URL"
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if why := _pair(name, value):
            return f"{why}, in a URL"
        if name.lower() in _QUERY and len(value) >= 8 and not placeholder(value):
            return f"the parameter {name[:40]} of a URL"
    return _form(user or "") or _form(parts.query) or _form(parts.path)


def in_text(text: str) -> str:
    """What gives away a secret in a text without a name; empty: nothing."""
    if why := _form(text):
        return why
    for found in _SCHEME.finditer(text):
        bearer, value = found[1].lower() == "bearer", found[2]
        least = 6 if bearer and any(map(str.isdigit, value)) else 16
        if len(value) >= least and not placeholder(value):
            return "a credential after its scheme"
    for url in _URL.findall(text):
        if why := in_url(url):
            return why
    for name, value in _JSON_PAIR.findall(text):
        if why := _pair(name, value):
            return why
    return ""


def placeholder(value: str) -> bool:
    """Whether this stands where a secret is to be put."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def secret_name(name: str) -> bool:
    """Whether what has this name is a secret: `API_KEY`, `dbPassword`, and not `MAX_TOKENS`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[-1] in ABOUT:
        return False
    if _ALWAYS.intersection(words) or words[-1].endswith(("apikey", "password")):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "key":
        return bool(before) and before not in OPEN_KEYS
    return words[-1] in _LAST and bool(before)


def passed_on(args: Sequence[str], command: str) -> dict[int, str]:
    """Variables of secrets that a container's command line sets, by position: such a program takes
    the name alone too, and passes on its own."""
    if command.replace("\\", "/").rpartition("/")[2] not in _RUNNERS:
        return {}
    return {
        at + 1: pair[1]
        for at, arg in enumerate(args[:-1])
        if arg in ("-e", "--env")
        and (pair := _PAIR.fullmatch(args[at + 1]))
        and (_single(args[at + 1]) or in_text(args[at + 1]))
    }


def _at(args: Sequence[str], at: int, *, login: bool) -> str:
    """What gives away the argument at this place; `login`: one of them names a user."""
    arg = args[at]
    if why := _single(arg) or in_text(arg):
        return why
    before = args[at - 1] if at else ""
    if arg.startswith("-") or not before.startswith("-") or "=" in before:
        return _in_script(arg)
    if before.startswith("--") and (why := _pair(before.lstrip("-"), arg)):
        return why
    if before in ("-p", "-P") and login and _worth(arg) and ":" not in arg:
        return "" if arg.isdigit() else f"what follows {before}"
    return _in_script(arg)


def _single(arg: str) -> str:
    """`NAME=VALUE`, `--name=value` or `Name: value`."""
    if pair := _PAIR.fullmatch(arg):
        inner = _PAIR.fullmatch(pair[2])
        return _pair(pair[1], pair[2]) or (_pair(inner[1], inner[2]) if inner else "")
    if header := _HEADER.fullmatch(arg):
        return _pair(header[1] or header[3], header[2] or header[4])
    return ""


def _in_script(arg: str) -> str:
    """Words of a line for a shell."""
    if " " not in arg.strip():
        return ""
    try:
        words = shlex.split(arg)
    except ValueError:
        words = arg.split()
    if len(words) < 2:
        return ""
    return next((one.why for one in in_arguments(words)), "")


def _pair(name: str, value: str) -> str:
    """What gives away this value by its name."""
    if not secret_name(name) or not _worth(value):
        return ""
    if value.isdigit() and len(value) < 6 and "pass" not in name.lower():
        return ""
    return f"the name {name[:64]}"


def _worth(value: str) -> bool:
    """Whether it is more than a switch, a place to look, or a gap to be filled."""
    text = value.strip()
    inner = _SCHEME.fullmatch(text)
    bare = inner[2] if inner else text
    if not bare or bare.lower() in _NO_SECRETS or placeholder(bare) or references.named(bare):
        return False
    if "://" in bare:
        return bool(in_url(bare))
    return _PATH.fullmatch(bare) is None


def _form(text: str) -> str:
    return next((what for what, form in _KNOWN if _real(form, text)), "")


def _real(form: re.Pattern[str], text: str) -> bool:
    return any(len(set(found[0])) > 6 for found in form.finditer(text))
