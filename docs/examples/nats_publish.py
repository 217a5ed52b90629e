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
    facts = await nc.subscribe(f"*.*.{task['id']}.>")  # an account sees its own tasks, no others
    await nc.publish("task.created", json.dumps(task).encode())
    async for message in facts.messages:
        print(message.data.decode())
        if message.subject.startswith("job.done."):
            break


url, who, task = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text()), sys.argv[3]
asyncio.run(main(url, who, {"id": str(uuid.uuid4())} | json.loads(task)))
