import jsonpickle
import redis

queue = redis.Redis()


def next_task():
    _, message = queue.blpop("tasks")
    return jsonpickle.decode(message)
