import aiohttp


async def status():
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get("https://status.example.com") as answer:
            return await answer.text()
