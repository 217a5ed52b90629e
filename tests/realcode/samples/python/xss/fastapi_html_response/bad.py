from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI()


@app.get("/greet/{name}")
async def greet(name: str):
    page = "<html><body>Hello, %s!</body></html>" % name
    return HTMLResponse(content=page)
