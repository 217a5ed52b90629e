"""The gateway's client: HTTP requests.

It knows the gateway's contract only, nothing of its code.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import msgspec

from contracts.errors import Reason
from contracts.facts import Record, decode
from contracts.subjects import of
from services.cli.common import CliError, Exit
from services.cli.http import httpx
from services.cli.target import Target, find_target
from services.process import tls

__all__ = ["Api", "Target", "find_target", "hint", "record", "unreachable"]

REQUEST_S = 60.0
UPLOAD_S = 300.0
"""How long an answer may take of what stores big things first."""


class Api:
    """Requests to one gateway. Use as an async context manager."""

    def __init__(self, target: Target, *, within_s: float = REQUEST_S) -> None:
        """`within_s`: how long an answer may take."""
        self.target = target
        self._client = httpx.AsyncClient(
            base_url=target.url,
            headers={"User-Agent": "metamcp"} | target.headers,
            timeout=httpx.Timeout(within_s, connect=min(within_s, REQUEST_S)),
            trust_env=not target.here,
            # Without TLS nobody's certificate is believed, and no CAs are loaded for nothing.
            verify=target.trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def __aenter__(self) -> Api:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, path: str, /, **params: Any) -> Any:
        """Return `data` of the answer; parameters that are None are left out."""
        return _data(await self._send("GET", path, params=_present(params)))

    async def report(self, path: str) -> tuple[Any, str]:
        """Return `data` of an answer that says as much when it is a 503, and then why it is one."""
        answer = await self._send("GET", path)
        with contextlib.suppress(msgspec.DecodeError):
            envelope = msgspec.json.decode(answer.content)
            if answer.status_code == 503 and isinstance(envelope, dict) and envelope.get("data"):
                return envelope["data"], str(envelope.get("message", ""))
        return _data(answer), ""

    async def page(self, path: str, /, **params: Any) -> tuple[list[Any], int | None]:
        """Return one page of a list and the cursor of the next, None after the last."""
        envelope = await self.envelope(path, **params)
        return envelope["data"], envelope.get("next_cursor")

    async def envelope(self, path: str, /, **params: Any) -> dict[str, Any]:
        """Return a whole answer: of a list also its cursor and its totals."""
        answer = await self._send("GET", path, params=_present(params))
        _refuse(answer)
        envelope: dict[str, Any] = msgspec.json.decode(answer.content)
        return envelope

    async def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """Send JSON and return `data` of the answer."""
        content = b"" if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        return _data(
            await self._send(
                "POST", path, content=content, headers=headers, params=_present(params)
            )
        )

    async def put(self, path: str, body: Any) -> Any:
        """Send JSON in the place of what is there and return `data` of the answer."""
        content, headers = msgspec.json.encode(body), {"Content-Type": "application/json"}
        return _data(await self._send("PUT", path, content=content, headers=headers))

    async def patch(self, path: str, body: Any) -> Any:
        """Send JSON that changes what is there and return `data` of the answer."""
        content, headers = msgspec.json.encode(body), {"Content-Type": "application/json"}
        return _data(await self._send("PATCH", path, content=content, headers=headers))

    async def delete(self, path: str, **params: Any) -> Any:
        """Take away what is there and return `data` of the answer."""
        return _data(await self._send("DELETE", path, params=_present(params)))

    async def put_blob(self, content: bytes) -> Any:
        """Store bytes as an input; the answer is the pointer to name as `input_pointer`."""
        headers = {"Content-Type": "application/json"}
        return _data(await self._send("PUT", "/api/blobs", content=content, headers=headers))

    async def put_file(self, parts: AsyncIterator[bytes], size: int, media_type: str) -> Any:
        """Store so many bytes that come in parts; the answer is the pointer to them."""
        return await self.put_parts("/api/blobs", parts, size, media_type)

    async def put_parts(
        self, path: str, parts: AsyncIterator[bytes], size: int, media_type: str
    ) -> Any:
        """Send so many bytes that come in parts and return `data` of the answer."""
        headers = {"Content-Type": media_type, "Content-Length": str(size)}
        return _data(await self._send("PUT", path, content=parts, headers=headers))

    async def post_lines(
        self, path: str, parts: AsyncIterator[bytes], size: int, **params: Any
    ) -> Any:
        """Send so many bytes of JSON lines that come in parts and return `data` of the answer."""
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(size)}
        sent = {"content": parts, "headers": headers, "params": _present(params)}
        return _data(await self._send("POST", path, **sent))

    async def raw(self, path: str, **params: Any) -> tuple[bytes, str]:
        """Return the bytes of an answer and their media type."""
        answer = await self._send("GET", path, params=_present(params))
        _refuse(answer)
        return answer.content, answer.headers.get("content-type", "")

    @contextlib.asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Begin a download: the head of an answer that is a success, or 416.

        Reading its body raises httpx.HTTPError when it breaks off.
        """
        request = self._client.build_request("GET", path, headers=dict(headers))
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise unreachable(self.target.url, error) from error
        try:
            if not answer.is_success and answer.status_code != 416:
                try:
                    await answer.aread()
                except httpx.HTTPError as error:
                    raise unreachable(self.target.url, error) from error
                _refuse(answer)
            yield answer
        finally:
            await answer.aclose()

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **options)
        except httpx.InvalidURL as error:
            raise CliError(Exit.USAGE, f"{self.target.url} is no address: {error}.") from error
        except httpx.HTTPError as error:
            raise unreachable(self.target.url, error) from error


def unreachable(url: str, error: BaseException) -> CliError:
    """The error of a gateway that does not answer."""
    why = str(error) or type(error).__name__
    return CliError(Exit.UNREACHABLE, f"The gateway at {url} can't be reached: {why}", _way(error))


def _way(error: BaseException) -> str:
    """What to do so that it is reached."""
    failure = tls.failure(error)
    if isinstance(failure, ssl.SSLCertVerificationError):
        if tls.is_other_name(failure):
            return "Call it by a name that stands in its certificate: --url or METAMCP_URL."
        return "If its CA is your own, name the CA's certificate: --ca or METAMCP_CLI_CA."
    if failure is not None:
        return "Does it speak TLS there? Without TLS its address begins with http://"
    if isinstance(error, httpx.RemoteProtocolError):
        return "Does it speak TLS there? With TLS its address begins with https://"
    return "Is `metamcp up` running? Another address: --url or METAMCP_URL."


def _present(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _data(answer: httpx.Response) -> Any:
    _refuse(answer)
    envelope = msgspec.json.decode(answer.content)
    return envelope.get("data") if isinstance(envelope, dict) else envelope


def _refuse(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    message, reason = f"The gateway answered {answer.status_code}", ""
    with contextlib.suppress(msgspec.DecodeError, AttributeError, KeyError, TypeError):
        error = msgspec.json.decode(answer.content)["error"]
        message, reason = str(error["message"]), str(error.get("reason", ""))
    code = _exit_code(answer.status_code, reason)
    raise CliError(code, message, hint(answer.status_code, reason))


def _exit_code(status: int, reason: str) -> Exit:
    if reason == Reason.DIGEST_MISMATCH:
        # It was read, and is not what it should be: a failure, whatever the status says.
        return Exit.FAILED
    if status in (400, 413):
        return Exit.USAGE
    if status in (502, 503, 504):
        return Exit.UNREACHABLE
    return Exit.FAILED if status >= 500 else Exit.REFUSED


def hint(status: int, reason: str) -> str:
    """What to do about such an answer; empty: nobody knows."""
    if reason == Reason.INSUFFICIENT_SCOPE:
        return "Set METAMCP_TOKEN to a token that has this scope, or to one without any limits."
    hints = {
        401: "Check METAMCP_TOKEN, sign in with `metamcp login`, or see the file credentials/token"
        " in the data folder.",
        429: "Wait a moment and try again.",
        503: "The services may still be starting: see `metamcp doctor`.",
    }
    return hints.get(status, f"(reason: {reason})" if reason else "")


def record(seq: int, at: float, data: bytes) -> Record:
    """A fact as the gateway sends it, as a record of the log."""
    fact = decode(data)
    return Record(seq, at, of(fact), fact, data)
