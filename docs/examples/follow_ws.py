"""Follow one task over the websocket and resume after a cut. Arguments: URL TOKEN-FILE TASK"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sys

from websockets.asyncio.client import connect


async def follow(url, token, task):
    address = url.replace("http", "ws", 1) + "/api/stream"
    who = {"Authorization": "Bearer " + token}
    options = {"subprotocols": ["metamcp.v1"], "max_size": None, "additional_headers": who}
    after, epoch, mark, cut = "start", None, None, False
    async for socket in connect(address, **options):
        hello = json.loads(await socket.recv())
        if epoch not in (None, hello["epoch"]):
            after, mark = "start", None  # another log: begin again
        epoch = hello["epoch"]
        ask = {"op": "subscribe", "ref": 1, "sub": "t", "to": "task", "task": task}
        await socket.send(json.dumps(ask | {"after": after, "epoch": epoch, "mark": mark}))
        async for text in socket:
            frame = json.loads(text)
            if frame.get("recovered") is False:  # this log has another past: begin again
                after, mark = "start", None
                await socket.close()
            for event in frame.get("events", ()):
                print(json.dumps(event), flush=True)
                after = event["seq"]
                mark = frame["mark"] if event is frame["events"][-1] else None
                if event["event"]["type"] == "job.done":
                    return
                if not cut:  # a cut in the middle: what follows comes over another connection
                    cut = True
                    await socket.close()
                    break


token = pathlib.Path(sys.argv[2]).read_text().strip()
asyncio.run(follow(sys.argv[1], token, sys.argv[3]))
