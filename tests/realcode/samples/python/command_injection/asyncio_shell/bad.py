import asyncio
import sys


async def convert(source):
    process = await asyncio.create_subprocess_shell(
        "ffmpeg -i {} out.mp3".format(source),
        stdout=asyncio.subprocess.PIPE,
    )
    await process.wait()


asyncio.run(convert(sys.argv[1]))
