import requests

OPTIONS = {"timeout": 10, "verify": True}


def report(data):
    return requests.post("https://log.example.com/events", json=data, **OPTIONS)
