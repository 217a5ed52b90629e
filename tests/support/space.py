"""The Space kit as a real process, with the recording server inside, and somebody who asks it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from services.process.files import free_port
from tests.support import forked
from tests.support.system import until

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "deploy" / "space"
AUDIENCE = "https://ann-space.hf.space"
"""The address that the Space is told it has."""
HOST = "ann-space"
OWNERS = "ann,alice,bob,local"
PATIENCE_S = 30.0
RECORDER = (sys.executable, "-m", "tests.support.recording_mcp")
_URL = re.compile(r"running on (http://\S+)")

Steps = Sequence[Mapping[str, Any]]

TYPES: dict[str, Steps] = {
    "work": [
        {"tool": "work", "arguments": {"task": "$task", "attempt": "$attempt", "ms": "$input.ms?"}}
    ],
    "echo": [{"tool": "echo", "arguments": {"text": "$input.text"}}],
    "twice": [
        {"tool": "echo", "arguments": {"text": "$input.text"}, "output": "first"},
        {"tool": "echo", "arguments": {"text": "${step.first.result}, $$"}, "output": "second"},
        {"tool": "echo", "arguments": {"text": "$step.second.result"}, "cleanup": True},
    ],
    "fail": [{"tool": "fail", "arguments": {"message": "$input.message?"}}],
    "hang": [{"tool": "hang"}],
    "die": [{"tool": "die"}],
    "big": [{"tool": "big", "arguments": {"bytes": "$input.bytes"}}],
    "media": [{"tool": "media"}],
}
"""One task type for each of the recorder's tools, and one that calls a tool twice."""
SCHEMAS: dict[str, dict[str, Any]] = {"work": {"properties": {"ms": {"type": "number"}}}}


class Issuer:
    """An orchestrator's key: RS256 or EdDSA."""

    def __init__(self, algorithm: str = "EdDSA", kid: str = "k1") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
        public: dict[str, Any]
        if algorithm == "RS256":
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        else:
            self._key = ed25519.Ed25519PrivateKey.generate()
            raw = self._key.public_key().public_bytes_raw()
            x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
            public = {"kty": "OKP", "crv": "Ed25519", "x": x}
        self.jwk = public | {"kid": kid, "use": "sig", "alg": algorithm}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self._key, self.algorithm, headers={"kid": self.kid})

    def claims(
        self,
        data: bytes,
        *,
        task: str = "t1",
        attempt: int = 1,
        user: str = "ann",
        type: str = "work",
        audience: str = AUDIENCE,
        lifetime_s: float = 60.0,
    ) -> dict[str, Any]:
        """The claims of a permit for these bytes of input, valid from now on."""
        now = int(time.time())
        return {
            "iss": "metamcp",
            "sub": user,
            "aud": audience,
            "jti": f"{task}.{attempt}",
            "iat": now,
            "nbf": now,
            "exp": int(now + lifetime_s),
            "task_id": task,
            "attempt": attempt,
            "input_sha256": hashlib.sha256(data).hexdigest(),
            "task_type": type,
            "host": HOST,
        }


def body_of(data: bytes, permit: str, task: str, user: str, timeout_s: float = 30.0) -> bytes:
    """The body of `/execute`; the input's bytes stand in it as they are."""
    before = json.dumps({"task_id": task, "user_id": user}).removesuffix("}")
    after = {
        "required_capabilities": [{"name": "code_analysis", "version": "1.0.0"}],
        "timeout": timeout_s,
        "timestamp": "2026-11-22T10:00:00+00:00",
        "signature": permit,
    }
    behind = json.dumps(after).removeprefix("{")
    return b'%s, "input": %s, %s' % (before.encode(), data, behind.encode())


class Caller:
    """Asks a Space for work as an executor does; its permits are kept, so that it can repeat."""

    def __init__(self, url: str, issuer: Issuer) -> None:
        self.url = url
        self.issuer = issuer
        self.http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        self._permits: dict[tuple[str, str, int], str] = {}

    def permit(self, data: bytes, user: str, task: str, attempt: int, **claims: Any) -> str:
        """This attempt's permit, the same whenever it is asked for."""
        name = (user, task, attempt)
        if name not in self._permits:
            made = self.issuer.claims(data, task=task, attempt=attempt, user=user, **claims)
            self._permits[name] = self.issuer.sign(made)
        return self._permits[name]

    async def execute(
        self,
        task: str,
        type: str = "work",
        data: Any = None,
        *,
        attempt: int = 1,
        user: str = "ann",
        timeout_s: float = 30.0,
        lifetime_s: float = 60.0,
    ) -> httpx.Response:
        """Run one attempt; `data` is the input, or its very bytes."""
        raw = data if isinstance(data, bytes) else json.dumps(data or {}).encode()
        permit = self.permit(raw, user, task, attempt, type=type, lifetime_s=lifetime_s)
        return await self.send(body_of(raw, permit, task, user, timeout_s))

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        """Post a body as it is."""
        return await self.http.post("/execute", content=body, headers=headers)


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason of an error, which has to be in its proper form."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"reason", "message"}
    assert body["error"]["message"]
    return answer.status_code, body["error"]["reason"]


class Space:
    """One run of the kit."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.record = folder / "calls.jsonl"
        self.state = folder / "state"
        self.url = ""
        self._log = folder / f"space-{process.pid}.log"

    def calls(self, event: str = "start") -> list[dict[str, Any]]:
        """What the recorder has written down."""
        if not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def calls_of(self, task: str, event: str = "start") -> list[dict[str, Any]]:
        """What it has written about one task."""
        return [call for call in self.calls(event) if call["task"] == task]

    async def until_called(
        self, count: int = 1, event: str = "start", *, task: str = ""
    ) -> list[dict[str, Any]]:
        """Wait until the recorder has written this much down, about the task if one is named."""

        def found() -> list[dict[str, Any]]:
            return self.calls_of(task, event) if task else self.calls(event)

        async def written() -> bool:
            return len(found()) >= count

        await until(written, seconds=PATIENCE_S, every=0.01)
        return found()

    def said(self) -> str:
        """Its own log, and the recorder's stderr."""
        return self._log.read_text() if self._log.exists() else ""

    async def listening(self) -> None:
        """Wait until it accepts connections; `url` says where."""

        async def found() -> bool:
            assert self.process.poll() is None, self.said()
            if match := _URL.search(self.said()):
                self.url = match[1]
            return bool(self.url)

        await until(found, seconds=PATIENCE_S, every=0.02)

    async def healthy(self) -> None:
        """Wait until it can run tasks."""
        async with httpx.AsyncClient(trust_env=False) as http:

            async def is_so() -> bool:
                assert self.process.poll() is None, self.said()
                return (await http.get(f"{self.url}/health")).status_code == 200

            await until(is_so, seconds=PATIENCE_S, every=0.02)

    async def kill(self) -> None:
        """End it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait, PATIENCE_S)

    async def stop(self) -> None:
        """End it the gentle way, unless it has ended; its server is gone afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self.process.wait, PATIENCE_S)
        pids = {line["pid"] for line in self.calls("server")}
        await until(lambda: _all_gone(pids), seconds=PATIENCE_S, every=0.02)


async def _all_gone(pids: set[int]) -> bool:
    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return all(gone(pid) for pid in pids)


def configure(
    folder: Path,
    types: Mapping[str, Steps] = TYPES,
    *,
    command: Sequence[str] = (),
    start_s: float = 20.0,
) -> Path:
    """Write `server.toml` and `mcp.json` for these task types; the folder comes back.

    `command` starts the server; without it, it is the recorder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = command or forked.command(RECORDER[-1])
    server = {
        "command": command[0],
        "args": list(command[1:]),
        "cwd": str(ROOT),
        "start_s": start_s,
        "env": {"RECORDING_FILE": str(folder.parent / "calls.jsonl")},
        "task_types": {name: {"steps": list(steps)} for name, steps in types.items()},
    }
    (folder / "server.toml").write_text(
        "\n".join(f"{key} = {_toml(value)}" for key, value in server.items())
    )
    described = {
        name: {
            "summary": name,
            "input_schema": {"type": "object"} | SCHEMAS.get(name, {}),
            "example": {},
        }
        for name in types
    }
    names = [{"name": name, "version": "1.0.0", "parameters": []} for name in types]
    manifest = {
        "name": "Recorder",
        "description": "Writes down who called",
        "version": "1.0.0",
        "tools": names,
        "capabilities": [{"name": "recording", "version": "1.0.0", "task_types": list(types)}],
        "can_run_on_user_space": True,
        "result_pointer_preferred": False,
        "fallback_to_oracle": True,
        "limits": {"max_concurrency": 8},
        "task_types": described,
    }
    (folder / "mcp.json").write_text(json.dumps(manifest))
    return folder


def _toml(value: Any) -> str:
    match value:
        case dict():
            pairs = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
            return "{ " + ", ".join(pairs) + " }"
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            return json.dumps(value)


def launch(folder: Path, jwks: Mapping[str, Any] | None, **variables: str) -> Space:
    """Start the process in this folder; wait for it with `listening` and `healthy`.

    It takes permits for AUDIENCE, and for the address where it listens.
    """
    port = free_port("127.0.0.1")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "METAMCP_OWNER": OWNERS,
        "METAMCP_PUBLIC_URL": f"{AUDIENCE} http://127.0.0.1:{port}",
        "METAMCP_STATE": str(folder / "state"),
        "METAMCP_CONFIG": str(folder / "config"),
    }
    if jwks is not None:
        environment["METAMCP_JWKS"] = json.dumps(jwks)
    command = forked.command(str(KIT / "app.py"), "--host", "127.0.0.1", "--port", str(port))
    log = folder / "space.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={name: value for name, value in (environment | variables).items() if value},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    log.rename(folder / f"space-{process.pid}.log")
    return Space(folder, process)


@contextlib.contextmanager
def standing(folder: Path, jwks: Mapping[str, Any], **variables: str) -> Iterator[Space]:
    """Run the kit for all tests of a module, whatever loops they have."""
    configure(folder / "config")
    space = launch(folder, jwks, **variables)

    async def ready() -> None:
        await space.listening()
        await space.healthy()

    try:
        asyncio.run(ready())
        yield space
    finally:
        asyncio.run(space.stop())


@contextlib.asynccontextmanager
async def start(
    folder: Path,
    jwks: Mapping[str, Any] | None,
    types: Mapping[str, Steps] = TYPES,
    *,
    ready: bool = True,
    **variables: str,
) -> AsyncIterator[Space]:
    """Run the kit around the recording server; start it again in the same folder to restart it.

    `jwks`: the keys it trusts. `types`: task types and the calls they are made of. `variables`:
    more of its environment; an empty one is not set.
    """
    if not (folder / "config").exists():
        configure(folder / "config", types)
    space = launch(folder, jwks, **variables)
    try:
        await space.listening()
        if ready:
            await space.healthy()
        yield space
    finally:
        await space.stop()
