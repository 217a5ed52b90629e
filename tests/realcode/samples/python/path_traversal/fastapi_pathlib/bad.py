from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

app = FastAPI()
ROOT = Path("/srv/images")


@app.get("/images/{name:path}")
async def image(name: str):
    return FileResponse(ROOT / name)
