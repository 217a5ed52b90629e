import aiosqlite
from fastapi import FastAPI, HTTPException

app = FastAPI()
SORTABLE = {"title", "year"}


@app.get("/books")
async def books(sort: str = "title"):
    if sort not in SORTABLE:
        raise HTTPException(422, "can't sort by that")
    async with aiosqlite.connect("books.db") as db:
        cursor = await db.execute(f"SELECT title, year FROM books ORDER BY {sort}")
        return await cursor.fetchall()
