import asyncio
import sys


async def convert(source):
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-i", source, "out.mp3",
        stdout=asyncio.subprocess.PIPE,
    )
    await process.wait()


asyncio.run(convert(sys.argv[1]))
