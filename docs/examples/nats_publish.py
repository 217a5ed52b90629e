"""Publish a task on NATS and follow it to its end. Arguments: URL CREDENTIALS-FILE TASK-JSON"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sys
import uuid

import nats


async def main(url, who, task):
    nc = await nats.connect(url, user=who["user"], password=who["password"])
    facts, mine = asyncio.Queue(), f"*.*.{task['id']}"  # an account sees its own tasks, no others
    await asyncio.gather(*(nc.subscribe(subject, cb=facts.put) for subject in (mine, mine + ".>")))
    await nc.publish("task.created", json.dumps(task).encode())
    while not (message := await facts.get()).subject.startswith("job.done."):
        print(message.data.decode())
    print(message.data.decode())


url, who, task = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text()), sys.argv[3]
asyncio.run(main(url, who, {"id": str(uuid.uuid4())} | json.loads(task)))
