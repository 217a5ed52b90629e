"""Examples in the API's description: values of the very types, so that they can't be wrong."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.account import Account, Provider
from contracts.host import Capability, HealthStatus, Host, StreamableHttp, TaskBinding
from contracts.result import DatasetTask, DatasetTasks, Kept, Pointer, ResultVerified, inline
from contracts.route import Candidate, Policy, Route
from contracts.status import Status, TaskView
from contracts.task import Priority, TaskSpec
from contracts.wire import Discovered, Event, HostLog, Probed, SpaceSeen
from services.gateway.access.tokens import Issued
from services.gateway.domain import TaskBody, Weight
from services.gateway.http.accounts import NewSpace, Restart, SpaceView, Token, Unlinked
from services.gateway.http.hosts import Checked, Removed
from services.gateway.http.preferences import Preferred
from services.gateway.http.results import ResultList
from services.gateway.http.tasks import Cancelled, Why
from services.gateway.http.tokens import Made, NewToken, Revoked
from services.gateway.openapi.types import HostEntry, NewHost
from services.gateway.rows import Counts, HostHealth, HostView, Preference, TaskRow

AT = 1767225600.0
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SPACE = "ann/metamcp"
INPUT = msgspec.Raw(b'{"path":"src/app.py"}')
ENDPOINT = StreamableHttp("https://tools.example.com/mcp", bearer_from="TOOLS_TOKEN")
CAPABILITY = Capability("code_analysis", "1.0.0", ("python",))
ROUTE = Route(
    host="tools",
    host_seq=12,
    basis=41,
    now=AT,
    term=3,
    policy=Policy(1, SHA),
    input_sha256=SHA,
    task_type="code_analysis",
    candidates=(Candidate("tools", 0.95, 0.4, 0.3, 0.2, 0.05),),
    removed={"capability": ("git-mcp",)},
)
VIEW = TaskView(
    id="t1",
    user="ann",
    type="code_analysis",
    status=Status.SUCCEEDED,
    spec=TaskSpec(type="code_analysis", input=INPUT, priority=Priority.HIGH),
    seq=45,
    created_seq=41,
    created_at=AT,
    updated_at=AT + 2,
    done_at=AT + 2,
    attempt=1,
    host="semgrep",
    result=inline(b'{"findings":0}'),
)
ROW = TaskRow("t1", "ann", "code_analysis", Priority.HIGH, Status.RUNNING, 41, AT, 44, AT + 1)
KEPT = Kept(
    task="t1",
    user="ann",
    kind="pointer",
    media_type="image/png",
    size=20_971_520,
    sha256=SHA,
    uri=f"nats://blobs/ann/{SHA}",
    created=AT,
    seq=45,
    host="semgrep",
    attempt=1,
)
SPEC = Host(
    id="ann/tools",
    name="Tools",
    endpoint=ENDPOINT,
    owner="ann",
    capabilities=(CAPABILITY,),
    task_types={"code_analysis": TaskBinding()},
    source="command",
)
HOST = HostView(
    **msgspec.structs.asdict(SPEC),
    seq=12,
    health=HostHealth(HealthStatus.HEALTHY, latency_ms=12.5, checked_at=AT),
)
LISTED = DatasetTask(
    task_id="t1",
    user_id="ann",
    type="code_analysis",
    priority="high",
    is_heavy=True,
    status="succeeded",
    created_at="2026-01-01T00:00:00Z",
    completed_at="2026-01-01T00:00:02Z",
    result_id=f"results/{SHA}",
    sha256=SHA,
    size=20_971_520,
    media_type="image/png",
    host="semgrep",
    attempt=1,
)
ISSUED: dict[str, Any] = {
    "id": "0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50",
    "user": "ann",
    "created": AT,
    "note": "CI",
}

EXAMPLES: tuple[msgspec.Struct, ...] = (
    TaskBody(type="code_analysis", input=INPUT, id="t1", priority=Priority.HIGH),
    VIEW,
    ROW,
    Counts(42, {"succeeded": 40, "failed": 2}),
    Event(41, AT, msgspec.Raw(b'{"type":"task.cancelled","user":"ann","task":"t1"}')),
    Cancelled("t1", 46),
    Why(42, AT, 1, ROUTE),
    KEPT,
    ResultVerified(KEPT, KEPT.size),
    ResultList(True, (KEPT,), total=1, size=KEPT.size),
    DatasetTasks("ann/metamcp-results", (LISTED,)),
    Pointer(f"nats://blobs/ann/{SHA}", SHA, 20_971_520, "image/png"),
    HostEntry(endpoint=ENDPOINT, capabilities=(CAPABILITY,)),
    NewHost(id="tools", endpoint=ENDPOINT, capabilities=(CAPABILITY,)),
    HOST,
    Removed("tools", 13),
    Checked("alice/tools", new=True),
    HostLog("tools", "executor-1", ("listening on stdio",)),
    Discovered((SpaceSeen(SPACE, "RUNNING", "ann-metamcp"),)),
    Weight(0.5),
    Preference("tools", 0.5, AT),
    Preferred("tools", 0.5, 47),
    Token("hf_your_token"),
    Account(Provider.HUGGINGFACE, "ann", AT, ("write",)),
    Unlinked(Provider.HUGGINGFACE, True),
    NewSpace("metamcp"),
    Restart(factory=True),
    SpaceView(repo=SPACE, sdk="docker", stage="RUNNING", page=f"https://huggingface.co/{SPACE}"),
    NewToken("ann", ttl_s=86_400.0, note="CI"),
    Issued(**ISSUED),
    Made(**ISSUED, token="mmcp_…"),
    Revoked(**ISSUED),
    Probed(SPEC, HealthStatus.HEALTHY, latency_ms=12.5, since=AT),
)
