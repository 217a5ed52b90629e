"""What may be a secret in another client's file: it is taken out, and a reference stands for it.

Pure. More is taken for a secret than a registration refuses: one too many among the secrets does
no harm, one too few stands in the log for ever.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, unquote_plus, urlsplit, urlunsplit

from contracts import references
from contracts.account import SECRET_NAMES
from services.foreign.entry import BadEntry
from services.foreign.variables import secret_name
from services.keys import spotting

_SHORTEST = 6
"""Values of at least so many characters are looked for everywhere else in the entry."""
_LITERAL = re.compile(r"\{\{secret:[^{}]*\}\}")
_PLAIN_WORD = re.compile(r"[a-z]+")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_EAGER = re.compile(
    r"secret|token(?!i[sz])|passw|passphrase|credential|creds?$|apikey|api_?key|private|cookie|session|salt"
    r"|signature|mnemonic|webhook|dsn$|connection_?str|pwd|^pat$|bearer|jwt|license_?key"
    r"|authorization",
    re.IGNORECASE,
)
_EAGER_LAST = frozenset(
    "key keys auth pass pat pin otp sid seed sig pw cred creds dsn header headers".split()
)
_SCHEME = re.compile(
    r"((?:bearer|basic|token|apikey|api-key|key|digest)\s+)(\S.*)", re.I | re.DOTALL
)
_FLAG = re.compile(r"(-{1,2}|/)([A-Za-z][\w.-]*)([=:])(.+)", re.DOTALL)
_PAIR = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_HEADER = re.compile(r"([A-Za-z][\w-]*):(\s*)(.+)", re.DOTALL)
_ENV_FLAGS = frozenset({"-e", "--env"})
_HEADER_FLAGS = frozenset({"-H", "--header", "--headers"})
_LOGIN_FLAGS = frozenset({"-u", "--user", "--login", "--auth", "--basic-auth"})
_SHORT_FLAGS = frozenset({"-k", "-t", "-p", "-P", "-s", "-a"})
_GLUED = re.compile(r"(-[pP])([^\d\s-].*)")
_RUNNERS = frozenset("docker podman nerdctl".split())
_PLAIN_HEADERS = frozenset(
    "accept accept-language cache-control content-type dnt origin pragma referer user-agent".split()
)
_PLAIN_LAST = frozenset(
    "agent app application branch client datacenter dataset environment env format host language"
    " level locale mode model name org organization organisation owner project product readonly"
    " region repo repository role site source team tenant timeout timezone toolset toolsets tools"
    " type version workspace zone database schema account".split()
)
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|auto|\d{1,5}|", re.IGNORECASE)
_PATH = re.compile(
    r"(?:~|\.{1,2})/\w.*|[A-Za-z]:\\.*|/.*\.[a-z]{2,4}"
    r"|/(?:app|config|data|etc|home|mnt|opt|root|run|srv|tmp|usr|var|Users|Volumes)/.*",
    re.DOTALL,
)
_PORTS = re.compile(r"[\d.:-]+(?:/\w+)?")
_USER_IN_URL = re.compile(r"https?://[^/@\s]+@", re.IGNORECASE)
_WEBHOOK = re.compile(r"web_?hook", re.IGNORECASE)
_PUBLIC_DIGEST = re.compile(r"sha(?:256|512)[:-][0-9a-zA-Z+/=]+|git\+\S+|@[0-9a-f]{40}\b")
_PIECE = re.compile(r"[A-Za-z0-9_-]+|[A-Za-z0-9+/]{24,}={0,2}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ABOUT_IDS = frozenset("id ids commit sha digest revision version image model".split())
_CREDENTIAL_PAIR = re.compile(
    r"(?:^|[\s;,&?{\"'])(?P<name>[\w.-]*(?:password|passwd|pwd|secret|token|apikey|api_key|api-key"
    r"|accesskey|access_key|accountkey|sharedaccesskey|sharedaccesssignature|private_key))"
    r"[\"']?\s*[=:]\s*[\"']?(?P<value>[^\s;,&\"']+)",
    re.IGNORECASE,
)
_OF_GO = re.compile(r"[^\s:/@]+:([^\s@]+)@(?:tcp|unix|udp)?\(")


class SecretKeeper:
    """Takes the secrets out of one server's description."""

    def __init__(self, host: str, values: dict[str, str]) -> None:
        """`values` gets what was taken out, by the name that stands for it."""
        self._prefix = secret_name(host)
        self._values = values
        self.taken: list[str] = []
        """Names of what was taken out here."""

    def variable(self, name: str, text: str) -> str:
        """What stands for a variable's value."""
        return self._kept(name, text) if is_secret(name, text) else text

    def header(self, name: str, text: str) -> str:
        """What stands for a header's value; its scheme stays."""
        scheme = _SCHEME.fullmatch(text)
        before, value = (scheme[1], scheme[2]) if scheme else ("", text)
        plain = name.lower() in _PLAIN_HEADERS or _last(name) in _PLAIN_LAST
        if _open(value) or (plain and not scheme and not is_secret(name, text)):
            return text
        return before + self._kept(name, value)

    def arguments(self, command: str, args: Sequence[str], env: dict[str, str]) -> list[str]:
        """What stands for the words of a command; `env` gets the variables that a container's
        command line sets, since it passes on its own: those nobody on this machine can list."""
        runs = command.replace("\\", "/").rpartition("/")[2] in _RUNNERS
        found: list[str] = []
        for at, arg in enumerate(args):
            before = args[at - 1] if at else ""
            pair = _PAIR.fullmatch(arg.removeprefix("--env=") if arg.startswith("--env=") else arg)
            if runs and pair and (before in _ENV_FLAGS or arg.startswith("--env=")):
                kept = self.variable(pair[1], pair[2])
                if references.named(kept):
                    env[pair[1]] = kept
                    found.append(arg[: -len(pair[2]) - 1])
                    continue
            login = not _LOGIN_FLAGS.isdisjoint(args[:at])
            if login and (short := _GLUED.fullmatch(arg)):
                found.append(short[1] + self._kept("password", short[2]))
            else:
                found.append(self._argument("" if runs and before == "-p" else before, arg))
        return found

    def url(self, url: str) -> tuple[str, str]:
        """The URL with references in its path and query, and what user and password in it are as a
        header."""
        try:
            parts = urlsplit(url)
            user, password = parts.username, parts.password
        except ValueError:
            raise BadEntry("url: this is no URL") from None
        header = ""
        if user is not None:
            login = f"{unquote(user)}:{unquote(password or '')}"
            header = "Basic " + self._kept("login", base64.b64encode(login.encode()).decode())
            parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        before = ["", *parts.path.split("/")]
        path = "/".join(map(self._segment, before, before[1:]))
        query = "&".join(self._parameter(one) for one in parts.query.split("&"))
        # What follows a # is for browsers, and is never sent.
        return urlunsplit(parts._replace(path=path, query=query, fragment="")), header

    def everywhere(self, text: str) -> str:
        """The text without values that were taken out elsewhere."""
        for name in self.taken:
            value = self._values.get(name, "")
            if len(value) < _SHORTEST or _PLAIN_WORD.fullmatch(value):
                continue
            forms = "|".join(map(re.escape, {value, quote(value, safe="")}))
            # What is a reference already stays one, whatever its name holds.
            parts = re.split(r"(\{secret:\w+\})", text)
            parts[::2] = [re.sub(forms, references.reference(name), part) for part in parts[::2]]
            text = "".join(parts)
        return text

    def _argument(self, before: str, arg: str) -> str:
        if (flag := _FLAG.fullmatch(arg)) and not (flag[1] == "/" and flag[3] == "="):
            return arg[: -len(flag[4])] + self._flagged(flag[1] + flag[2], flag[4])
        if not arg.startswith("-") and before.startswith("-") and "=" not in before:
            return self._flagged(before, arg)
        if (pair := _PAIR.fullmatch(arg)) and "://" not in pair[1]:
            return f"{pair[1]}={self.variable(pair[1], pair[2])}"
        if _is_header(arg) and (head := _HEADER.fullmatch(arg)):
            return f"{head[1]}:{head[2]}{self.header(head[1], head[3])}"
        return self.variable("argument", arg)

    def _flagged(self, flag: str, value: str) -> str:
        """What stands for the value of a flag."""
        if flag in _HEADER_FLAGS and (head := _HEADER.fullmatch(value)):
            return f"{head[1]}:{head[2]}{self.header(head[1], head[3])}"
        pair = _PAIR.fullmatch(value)
        if pair and "://" not in pair[1] and (flag in _ENV_FLAGS or not _eager(flag)):
            return f"{pair[1]}={self.variable(pair[1], pair[2])}"
        if _is_header(value):
            return self._argument("", value)
        if flag in _LOGIN_FLAGS and ":" in value and "://" not in value and not _open(value):
            user, _, password = value.partition(":")
            return f"{user}:{self._kept('password', password)}"
        if flag in _SHORT_FLAGS and not (
            _open(value) or _harmless(value) or _PORTS.fullmatch(value)
        ):
            return self._kept(f"option{flag}", value)
        return self.variable(flag.lstrip("-/"), value)

    def _segment(self, before: str, text: str) -> str:
        value = unquote(text)
        secret = not _open(value) and (_eager(before) or _random(value) or spotting.in_text(value))
        return self._kept("url", value) if secret else text

    def _parameter(self, text: str) -> str:
        name, found, value = text.partition("=")
        plain = unquote_plus(value)
        if not found:
            return self._kept("url", unquote_plus(text)) if text and not _open(text) else text
        secret = is_secret(name, plain) or name.lower() in ("code", "profile")
        if not secret or _open(plain):
            return text
        return f"{name}={self._kept(name, plain)}"

    def _kept(self, place: str, value: str) -> str:
        """The reference to a value, which gets a name of its own."""
        if references.named(value):
            if spotting.placeholder(value):
                return value
            raise BadEntry(
                f"{place}: a variable and a secret stand in one text: make it one variable"
            )
        words = secret_name(place)
        own = words.startswith(f"{self._prefix}_") and words not in SECRET_NAMES.values()
        base = (
            words
            if own
            else f"{self._prefix[: 62 - len(words)]}_{words}"[-62:].lstrip("_0123456789")
        )
        name, count = base, 1
        while name in self._values and self._values[name] != value:
            count += 1
            name = f"{base}_{count}"
        if not spotting.placeholder(value):
            self._values[name] = value
        if name not in self.taken:
            self.taken.append(name)
        return references.reference(name)


def is_secret(name: str, text: str) -> bool:
    """Whether the value of something with this name may be a secret."""
    text = _LITERAL.sub("", text)
    if _open(text):
        return False
    if spotting.in_text(text) or _in_pairs(text) or _USER_IN_URL.search(text):
        return True
    if (scheme := _SCHEME.fullmatch(text)) and not re.search(r"\s", scheme[2]):
        return True
    if _eager(name) and not (_harmless(text) and not _WEBHOOK.search(name)):
        return True
    return _last(name) not in _ABOUT_IDS and _random(text)


def _eager(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[-1] in spotting.ABOUT - {"url", "uri", "header"}:
        return False
    if words[-1] in ("key", "keys") and len(words) > 1 and words[-2] in spotting.OPEN_KEYS:
        return False
    return bool(_EAGER.search(name)) or words[-1] in _EAGER_LAST


def _last(name: str) -> str:
    words = _WORDS.findall(name)
    return words[-1].lower() if words else ""


def _open(text: str) -> bool:
    """Whether nothing is hidden: a switch, or a reference that stands there already."""
    if _SWITCH.fullmatch(text.strip()):
        return True
    names = references.named(text)
    rest = text
    for name in names:
        rest = rest.replace(references.reference(name), "")
    return bool(names) and not _random(rest) and not spotting.in_text(text)


def _harmless(text: str) -> bool:
    """A place, which is no secret whatever its name says."""
    if "://" in text:
        return not (spotting.in_url(text) or _random(text))
    return _PATH.fullmatch(text) is not None and not _random(text)


def _in_pairs(text: str) -> bool:
    """Whether it is a connection string with a password, or a line that says one."""
    if _OF_GO.search(text):
        return True
    return any(
        not spotting.placeholder(found["value"]) and not _SWITCH.fullmatch(found["value"])
        for found in _CREDENTIAL_PAIR.finditer(text)
    )


def _random(text: str) -> bool:
    """Whether it has a long word that nobody has made up."""
    text = _PUBLIC_DIGEST.sub(" ", text)
    if _UUID.search(text):
        return True
    return any(_odd(part) for word in _PIECE.findall(text) for part in re.split("[-_]", word))


def _odd(word: str) -> bool:
    digits = sum(map(str.isdigit, word))
    if len(word) < 12 or digits == len(word):
        return False
    kinds = ["d" if one.isdigit() else "u" if one.isupper() else "l" for one in word]
    turns = sum(one != other for one, other in itertools.pairwise(kinds))
    return turns >= 5 if digits else turns >= 8 and len(word) >= 20


def _is_header(text: str) -> bool:
    name = text.partition(":")[0]
    return (
        _HEADER.fullmatch(text) is not None
        and "://" not in text
        and (
            "-" in name
            or name.lower() in ("authorization", "cookie")
            or text[len(name) + 1 :][:1] == " "
        )
    )
