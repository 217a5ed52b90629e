import shlex
from subprocess import PIPE, Popen


def whois(domain: str) -> bytes:
    process = Popen("whois %s | head -n 20" % shlex.quote(domain), stdout=PIPE, shell=True)
    out, _ = process.communicate()
    return out
