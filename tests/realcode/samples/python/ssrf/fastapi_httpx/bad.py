import httpx
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Hook(BaseModel):
    callback: str


@app.post("/hooks")
async def register(hook: Hook):
    async with httpx.AsyncClient() as client:
        answer = await client.post(hook.callback, json={"event": "registered"})
    return {"status": answer.status_code}
