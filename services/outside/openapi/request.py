"""A call of an operation to the HTTP request that it is.

Pure. No argument leads elsewhere: a path keeps its segments, a header its line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

import msgspec

from services.outside.openapi.inputs import FORM, MULTIPART
from services.outside.openapi.operation import ApiOperation, BadArguments, Parameter, Scheme

MOST_URL = 16 * 1024
"""Bytes of a path with its query."""
MOST_HEADER = 8000
"""Bytes of one header."""
_RESERVED = ":/?@!$'()*,;"
_SHORTEST_HIDDEN = 4
_VALUE = re.compile(r"[\x20-\x7e]*")
_DELIMITERS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:$|[/\\])")
_IN_PATH = re.compile(r"\{([^{}]*)\}")


class ApiRequest(NamedTuple):
    """What is sent."""

    method: str
    path: str
    """Percent-encoded, with its query: it is added to the base URL."""
    headers: dict[str, str]
    body: bytes | None


def built(
    operation: ApiOperation, arguments: Mapping[str, Any], secrets: Mapping[str, str]
) -> ApiRequest:
    """The request. `secrets`: by security scheme. Raises BadArguments."""
    _check_names(operation, arguments)
    in_path: dict[str, str] = {}
    query: list[str] = []
    headers: dict[str, str] = {"Accept": "*/*"}
    cookies: list[str] = []
    for parameter in operation.parameters:
        name = parameter.argument or parameter.name
        value = arguments.get(name)
        if value is None:
            if parameter.required:
                raise BadArguments(f"{name}: it is missing")
            continue
        match parameter.place:
            case "path":
                in_path[parameter.name] = _simple(parameter, value, _quoted)
                if not in_path[parameter.name]:
                    raise BadArguments(f"{name}: it is empty, and would be another path")
            case "query":
                query += _query(parameter, value)
            case "header":
                headers[parameter.name] = _line(name, _simple(parameter, value, str))
            case "cookie":
                cookies += _query(parameter, value)
    for scheme in _chosen(operation, secrets):
        _admit(scheme, secrets[scheme.name], headers, query, cookies)
    if cookies:
        headers["Cookie"] = _line("cookies", "; ".join(cookies))
    body = _body(operation, arguments, headers)
    path = _path(operation.path, in_path)
    if query:
        path += ("&" if "?" in path else "?") + "&".join(query)
    if len(path) > MOST_URL:
        raise BadArguments(f"path and query have more than {MOST_URL} bytes")
    return ApiRequest(operation.method, path, headers, body)


def _check_names(operation: ApiOperation, arguments: Mapping[str, Any]) -> None:
    known = [one.argument or one.name for one in operation.parameters]
    if operation.body:
        known.append(operation.body_argument)
    if unknown := sorted(arguments.keys() - set(known)):
        names = ", ".join(known)[:500] or "none"
        raise BadArguments(f"{unknown[0][:80]!r} is no argument; there are: {names}")


def _path(template: str, values: Mapping[str, str]) -> str:
    """The path with its parameters. Raises BadArguments for one that leads up or elsewhere."""
    # Texts and names take turns.
    parts = _IN_PATH.split(template)
    path = "".join(
        values[part] if at % 2 else quote(part, safe="/:@!$&'()*+,;=~?%")
        for at, part in enumerate(parts)
    )
    if not path.startswith("/") or _DOTS.search(unquote(path.partition("?")[0])):
        raise BadArguments("`.` and `..` in a path stand for other paths")
    return path


def _line(name: str, text: str) -> str:
    if not _VALUE.fullmatch(text) or len(text) > MOST_HEADER:
        raise BadArguments(
            f"{name}: expected at most {MOST_HEADER} visible ASCII characters for a header"
        )
    return text


def _text(value: Any) -> str:
    """A primitive as it is written."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _simple(parameter: Parameter, value: Any, form: Any) -> str:
    if parameter.json:
        return str(form(msgspec.json.encode(value).decode()))
    if isinstance(value, list):
        return ",".join(form(_text(one)) for one in value)
    if isinstance(value, dict):
        between = "=" if parameter.explode else ","
        pairs = (f"{form(key)}{between}{form(_text(one))}" for key, one in value.items())
        return ",".join(pairs)
    return str(form(_text(value)))


def _query(parameter: Parameter, value: Any) -> Iterator[str]:
    """The pairs of a parameter in a query or a cookie."""
    name, style = _quoted(parameter.name), parameter.style or "form"

    def form(text: str) -> str:
        return quote(text, safe=_RESERVED) if parameter.reserved else _quoted(text)

    if parameter.json:
        yield f"{name}={_quoted(msgspec.json.encode(value).decode())}"
    elif style == "deepObject" and isinstance(value, dict):
        yield from _deep(name, value, form)
    elif isinstance(value, list):
        texts = [form(_text(one)) for one in value]
        if parameter.explode:
            yield from (f"{name}={text}" for text in texts)
        elif texts:
            yield f"{name}={_DELIMITERS.get(style, ',').join(texts)}"
    elif isinstance(value, dict):
        pairs = [(_quoted(key), form(_text(one))) for key, one in value.items()]
        if parameter.explode:
            yield from (f"{key}={text}" for key, text in pairs)
        elif pairs:
            yield f"{name}={','.join(f'{key},{text}' for key, text in pairs)}"
    else:
        yield f"{name}={form(_text(value))}"


def _deep(name: str, value: Any, form: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _deep(f"{name}[{_quoted(key)}]", one, form)
    elif isinstance(value, list):
        for one in value:
            yield from _deep(name, one, form)
    else:
        yield f"{name}={form(_text(value))}"


def _chosen(operation: ApiOperation, secrets: Mapping[str, str]) -> tuple[Scheme, ...]:
    """The first combination whose secrets are there; none: the API will say what it misses."""
    for schemes in operation.security:
        if all(scheme.name in secrets for scheme in schemes):
            return schemes
    return ()


def forms(secret: str) -> list[str]:
    """The ways in which a secret is written in a request; a short one stands in too many texts."""
    encoded = base64.b64encode(secret.encode()).decode()
    return [secret, _quoted(secret), encoded] if len(secret) >= _SHORTEST_HIDDEN else []


def _admit(
    scheme: Scheme, secret: str, headers: dict[str, str], query: list[str], cookies: list[str]
) -> None:
    match scheme.kind, scheme.place:
        case "bearer", _:
            headers["Authorization"] = f"Bearer {secret}"
        case "basic", _:
            headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
        case "key", "header":
            for name in [name for name in headers if name.lower() == scheme.key.lower()]:
                del headers[name]
            headers[scheme.key] = secret
        case "key", "query":
            begin = f"{_quoted(scheme.key)}="
            query[:] = [*(pair for pair in query if not pair.startswith(begin)), begin]
            query[-1] += _quoted(secret)
        case "key", "cookie":
            cookies.append(f"{_quoted(scheme.key)}={_quoted(secret)}")


def _body(
    operation: ApiOperation, arguments: Mapping[str, Any], headers: dict[str, str]
) -> bytes | None:
    name = operation.body_argument
    if not operation.body:
        return None
    if name not in arguments:
        if operation.body_required:
            raise BadArguments(f"{name}: it is missing")
        return None
    value, media = arguments[name], operation.body
    if media in (FORM, MULTIPART):
        if not isinstance(value, dict):
            raise BadArguments(f"{name}: expected an object, which is sent as a form")
        if media == FORM:
            headers["Content-Type"] = FORM
            return "&".join(_fields(value)).encode()
        parts = list(_parts(value, frozenset(operation.files), name))
        boundary = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
        headers["Content-Type"] = f"{MULTIPART}; boundary={boundary}"
        mark = b"--" + boundary.encode()
        return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    headers["Content-Type"] = media
    if media == "application/json" or media.endswith("+json"):
        return msgspec.json.encode(value)
    if not isinstance(value, str):
        raise BadArguments(f"{name}: expected a text, which is sent as {media}")
    if media.startswith("text/") or media.endswith("xml"):
        headers["Content-Type"] = f"{media}; charset=utf-8"
        return value.encode()
    return _decoded(name, value)


def _fields(value: Mapping[str, Any]) -> Iterator[str]:
    for key, one in value.items():
        for single in one if isinstance(one, list) else [one]:
            if single is not None:
                yield f"{quote_plus(key)}={quote_plus(_text(single))}"


def _parts(value: Mapping[str, Any], files: frozenset[str], name: str) -> Iterator[bytes]:
    for key, one in value.items():
        for single in one if isinstance(one, list) else [one]:
            field = quote(key, safe=" ").encode()
            head = b'Content-Disposition: form-data; name="' + field + b'"'
            if key in files:
                data = _decoded(f"{name}.{key}", single)
                head += b'; filename="' + field + b'"\r\nContent-Type: application/octet-stream'
            else:
                data = _text(single).encode()
                if isinstance(single, dict):
                    head += b"\r\nContent-Type: application/json"
            yield head + b"\r\n\r\n" + data


def _decoded(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise BadArguments(f"{name}: expected bytes in base64") from None
