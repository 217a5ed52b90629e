"""A task's honest life, fact by fact, as the five services would write it; tests then lie."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from contracts import facts
from contracts.facts import AnyFact, Outcome, Record, encode
from contracts.host import Endpoint, HealthStatus, Host, Noop, TaskBinding
from contracts.result import inline
from contracts.route import Policy, Route
from contracts.subjects import of, parse
from contracts.task import TaskSpec, input_sha256
from contracts.wire import PermitClaims
from services.audit.checks import Check, audit
from services.cli.commands.log import recomputer
from services.keys.permits import SigningKey
from services.router.recompute import recompute
from services.router.select import POLICY_VERSION
from services.router.settings import Settings

USER, TASK = "ann", "t1"
NOWHERE = Noop()
START = 1_800_000_000.0
SPEC = TaskSpec(type="work", input=msgspec.Raw(b'{"a":1}'))
DIGEST = input_sha256(SPEC)


@lru_cache
def key() -> SigningKey:
    """The executor's key, made once."""
    return SigningKey(rsa.generate_private_key(65537, 2048))


class Story:
    """Facts in the order of the log; each is a second after the one before."""

    def __init__(self, endpoint: Endpoint = NOWHERE) -> None:
        self.records: list[Record] = []
        self.add(facts.LogKey(**self.who("executor-1"), kid=key().kid, jwk=key().jwk))
        for host in ("one", "two"):
            self.add(
                facts.McpRegistered(
                    **self.who("registry-1"), host=host, k=1, spec=spec(host, endpoint)
                )
            )
            self.add(
                facts.McpHealth(
                    **self.who("registry-1"), host=host, k=1, status=HealthStatus.HEALTHY
                )
            )
        self.add(facts.TaskCreated(**self.who("gateway-1"), user=USER, task=TASK, spec=SPEC))

    def who(self, by: str) -> dict[str, Any]:
        return {"id": f"fact-{len(self.records) + 1}", "by": by}

    @property
    def seq(self) -> int:
        return len(self.records)

    def add(self, fact: AnyFact) -> Record:
        seq = len(self.records) + 1
        self.records.append(Record(seq, START + seq, of(fact), fact, encode(fact)))
        return self.records[-1]

    def route(self, attempt: int = 1, job_head: int = 0) -> str:
        """Append the route the router's own function gives; the answer is its host."""
        draft = facts.TaskRouted(
            **self.who("router-1"),
            user=USER,
            task=TASK,
            attempt=attempt,
            route=Route(
                host="",
                host_seq=1,
                basis=self.seq,
                now=START + self.seq,
                term=1,
                policy=Policy(POLICY_VERSION, ""),
                job_head=job_head,
                input_sha256=DIGEST,
            ),
        )
        chosen = recompute(self.records, draft, Settings())
        route = msgspec.structs.replace(
            draft.route,
            host=chosen.host,
            host_seq=chosen.host_seq,
            candidates=chosen.candidates,
            removed=chosen.removed,
        )
        self.add(msgspec.structs.replace(draft, route=route))
        return chosen.host

    def sign(self, host: str, /, attempt: int = 1, **other: str) -> Record:
        """Append the claim; `other` are claims of the permit that are so."""
        now = int(START + self.seq)
        claims = PermitClaims(
            iss="metamcp",
            sub=USER,
            aud=host,
            jti=f"{TASK}.{attempt}",
            iat=now,
            nbf=now,
            exp=now + 300,
            task_id=TASK,
            attempt=attempt,
            input_sha256=DIGEST,
            host=host,
        )
        claims = msgspec.structs.replace(claims, **other)
        return self.add(
            facts.JobSigned(
                **self.who("executor-1"),
                user=USER,
                task=TASK,
                attempt=attempt,
                host=host,
                input_sha256=DIGEST,
                executor="executor-1",
                incarnation="i1",
                expires=float(claims.exp),
                permit=key().sign(claims),
            )
        )

    def fail(self, host: str, attempt: int = 1) -> Record:
        return self.add(
            facts.JobFailed(
                **self.who("executor-1"),
                user=USER,
                task=TASK,
                attempt=attempt,
                host=host,
                kind=facts.FailureKind.TOOL,
                called=True,
                retryable=True,
            )
        )

    def succeed(self, host: str, attempt: int = 1) -> Record:
        return self.add(
            facts.JobDone(
                **self.who("executor-1"),
                user=USER,
                task=TASK,
                outcome=Outcome.SUCCEEDED,
                attempt=attempt,
                host=host,
                input_sha256=DIGEST,
                result=inline(b'{"content":[]}'),
            )
        )

    def change(self, kind: type[AnyFact], **fields: Any) -> None:
        """Write another version of every fact of a kind, as nobody honest can."""
        self.records = [
            self._rewritten(r, fields) if isinstance(r.fact, kind) else r for r in self.records
        ]

    def _rewritten(self, record: Record, fields: dict[str, Any]) -> Record:
        fact = msgspec.structs.replace(record.fact, **fields)
        return replace(record, fact=fact, subject=of(fact), data=encode(fact))

    def change_route(self, **fields: Any) -> None:
        """The same for what stands in the routes."""
        for k, record in enumerate(self.records):
            if isinstance(record.fact, facts.TaskRouted):
                route = msgspec.structs.replace(record.fact.route, **fields)
                self.records[k] = self._rewritten(record, {"route": route})

    def audit(self) -> list[Check]:
        """What `metamcp audit` says about it."""
        own = [r for r in self.records if parse(r.subject).task == TASK]
        keys = [r for r in self.records if isinstance(r.fact, facts.LogKey)]
        return audit(own, keys, recomputer(self.records), self.records)

    def failed(self) -> set[str]:
        """Names of the checks that do not hold."""
        return {check.name for check in self.audit() if not check.ok}


def spec(host: str, endpoint: Endpoint) -> Host:
    """A host that serves the task's type."""
    return Host(id=host, name=host, endpoint=endpoint, task_types={"work": TaskBinding(steps=())})


def succeeded(endpoint: Endpoint = NOWHERE, **claims: str) -> Story:
    """Routed, signed, done."""
    story = Story(endpoint)
    host = story.route()
    story.sign(host, **claims)
    story.succeed(host)
    return story


def retried() -> Story:
    """The first attempt fails, the second succeeds."""
    story = Story()
    host = story.route()
    story.sign(host)
    failed = story.fail(host)
    host = story.route(2, job_head=failed.seq)
    story.sign(host, 2)
    story.succeed(host, 2)
    return story


Lie = Callable[[Story], None]
