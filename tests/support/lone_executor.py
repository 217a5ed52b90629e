"""Makes one call of a user's host that never answers, and says so: for tests that kill it.

Arguments: URL FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from contracts.host import COMMAND, Host, StreamableHttp
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.kinds import open_session
from services.executor.service import WORKERS
from services.outside.apart.pool import WorkerPool
from tests.unit.executor.world import routed, spec


async def main(url: str, folder: Path) -> None:
    endpoint = StreamableHttp(url)
    host = Host(id="m/h", name="h", endpoint=endpoint, source=COMMAND, owner="m")
    workers = WorkerPool(WORKERS, folder / "spool")
    opening = Opening(host, folder, allow_private=True, spool=folder / "spool", workers=workers)
    known, wanted = KnownHost(1, host), TaskSpec(type="mcp.call")
    plan = prepare(known, routed("t1", spec()), wanted, b'{"tool":"t"}', "permit")

    async def on_progress(progress: float, total: float | None, message: str) -> None:
        pass

    async def still_ours() -> bool:
        print("called", flush=True)
        return True

    call = Call(plan, Workspace(folder / "w", "m", "t1", 1), on_progress, still_ours)
    await open_session(opening).call(call)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
