import redis
from pydantic import BaseModel

queue = redis.Redis()


class Task(BaseModel):
    name: str
    arguments: list[str]


def next_task():
    _, message = queue.blpop("tasks")
    return Task.model_validate_json(message)
