import aiosqlite
from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
async def books(sort: str = "title"):
    async with aiosqlite.connect("books.db") as db:
        cursor = await db.execute(f"SELECT title, year FROM books ORDER BY {sort}")
        return await cursor.fetchall()
