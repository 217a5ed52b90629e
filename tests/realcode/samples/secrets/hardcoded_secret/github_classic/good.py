import os

import requests

HEADERS = {"Authorization": "token " + os.environ["GITHUB_TOKEN"]}


def issues(repository):
    return requests.get(f"https://api.github.com/repos/{repository}/issues", headers=HEADERS, timeout=10).json()
