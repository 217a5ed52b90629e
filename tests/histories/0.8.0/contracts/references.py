"""References to secrets in a host's endpoint: `{secret:NAME}` in its args, env, url and headers.

Pure. The reference is what stands in the log; values are put in where a host is started or called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

import msgspec

from contracts.host import Endpoint, Execute, OpenApi, Stdio, StreamableHttp

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NAME_RULE = "use 1 to 64 of the characters A-Z a-z 0-9 _, and no digit first"
_START = "{secret:"
_REFERENCE = re.compile(r"(\{?)\{secret:([^{}]*)\}(\}?)")


def is_name(text: str) -> bool:
    """Tell whether a secret may have this name."""
    return _NAME.fullmatch(text) is not None


def reference(name: str) -> str:
    """What stands for this secret."""
    return f"{_START}{name}}}"


def literal(text: str) -> str:
    """The text written so that nothing in it is taken for a reference."""
    return _REFERENCE.sub(lambda found: f"{{{found[0]}}}", text)


def texts(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """What may hold references, each with its path in the endpoint."""
    match endpoint:
        case Stdio():
            for at, text in enumerate(endpoint.args):
                yield f"args[{at}]", text
            for name, text in endpoint.env.items():
                yield f"env.{name}", text
        case StreamableHttp() | Execute():
            yield "url", endpoint.url
            for name, text in endpoint.headers.items():
                yield f"headers.{name}", text
        case OpenApi():
            yield "url", endpoint.url
            for name, text in endpoint.headers.items():
                yield f"headers.{name}", text
            for name, secret in endpoint.secrets.items():
                yield f"secrets.{name}", reference(secret)


def named(text: str) -> list[str]:
    """The names that a text refers to, in order; also such as no secret can have."""
    if _START not in text:
        return []
    return [name for before, name, after in _REFERENCE.findall(text) if not (before and after)]


def names(endpoint: Endpoint) -> list[str]:
    """The secrets that an endpoint refers to, each once, without that of `bearer_from`."""
    return list(dict.fromkeys(name for _, text in texts(endpoint) for name in named(text)))


def filled(endpoint: Endpoint, values: Mapping[str, str]) -> Endpoint:
    """The endpoint with values in the place of its references; one in a URL is percent-encoded,
    so that no value leads elsewhere."""
    replace = msgspec.structs.replace
    match endpoint:
        case Stdio():
            args = tuple(_put(text, values) for text in endpoint.args)
            env = {name: _put(text, values) for name, text in endpoint.env.items()}
            return replace(endpoint, args=args, env=env)
        case StreamableHttp() | Execute():
            url = _put(endpoint.url, values, _quoted)
            headers = {name: _put(text, values) for name, text in endpoint.headers.items()}
            return replace(endpoint, url=url, headers=headers)
        case OpenApi():
            url = _put(endpoint.url, values, _quoted)
            headers = {name: _put(text, values) for name, text in endpoint.headers.items()}
            # Where they are values by now, as in a worker, they stay.
            secrets = {
                name: values.get(secret, secret) for name, secret in endpoint.secrets.items()
            }
            return replace(endpoint, url=url, headers=headers, secrets=secrets)
        case _:
            return endpoint


def _put(text: str, values: Mapping[str, str], form: Callable[[str], str] = str) -> str:
    def value(found: re.Match[str]) -> str:
        before, name, after = found.groups()
        if before and after:
            return found[0][1:-1]
        return f"{before}{form(values[name])}{after}"

    return _REFERENCE.sub(value, text) if _START in text else text


def _quoted(value: str) -> str:
    return quote(value, safe="")
