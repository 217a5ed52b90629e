import requests

HEADERS = {"Authorization": "token {{github_pat}}"}


def issues(repository):
    return requests.get(f"https://api.github.com/repos/{repository}/issues", headers=HEADERS, timeout=10).json()
