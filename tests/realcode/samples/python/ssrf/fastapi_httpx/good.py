import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()
PARTNERS = {"acme": "https://hooks.acme.example/events"}


class Hook(BaseModel):
    partner: str


@app.post("/hooks")
async def register(hook: Hook):
    if hook.partner not in PARTNERS:
        raise HTTPException(404)
    async with httpx.AsyncClient() as client:
        answer = await client.post(PARTNERS[hook.partner], json={"event": "registered"})
    return {"status": answer.status_code}
