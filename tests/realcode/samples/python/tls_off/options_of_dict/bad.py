import requests

OPTIONS = {"timeout": 10, "verify": False}


def report(data):
    return requests.post("https://log.example.com/events", json=data, **OPTIONS)
