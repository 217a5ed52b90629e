import aiohttp
from aiohttp import web


async def preview(request):
    target = request.query["target"]
    async with aiohttp.ClientSession() as session:
        async with session.get(target) as answer:
            return web.json_response({"length": len(await answer.read())})
