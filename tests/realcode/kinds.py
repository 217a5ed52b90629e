"""The kinds of weakness that a scan must find, and the CWE numbers each may be named by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind is found when a finding names one of its numbers."""

    title: str
    cwes: frozenset[int]


def _kind(title: str, *cwes: int) -> Kind:
    return Kind(title, frozenset(cwes))


KINDS = {
    "sql_injection": _kind("SQL injection", 89, 564, 943),
    "command_injection": _kind("Command injection", 77, 78, 88),
    "code_injection": _kind("Code injection", 94, 95, 96, 98, 470),
    "template_injection": _kind("Template injection", 1336, 94, 95),
    "deserialization": _kind("Unsafe deserialization", 502),
    "path_traversal": _kind("Path traversal", 22, 23, 36, 73),
    "ssrf": _kind("Server-side request forgery", 918),
    "open_redirect": _kind("Open redirect", 601),
    "xss": _kind("Cross-site scripting", 79, 80, 83, 87),
    "xxe": _kind("XML external entities", 611, 776, 827),
    "prototype_pollution": _kind("Prototype pollution", 1321, 915),
    "weak_hash": _kind("Weak hash", 327, 328, 916),
    "weak_cipher": _kind("Weak cipher", 326, 327, 329),
    "weak_key": _kind("Weak key", 310, 326),
    "weak_random": _kind("Predictable random numbers", 330, 331, 335, 337, 338),
    "tls_off": _kind("TLS check switched off", 295, 296, 297, 319, 326, 327, 599),
    "jwt_none": _kind("Token signature not checked", 327, 345, 347),
    "debug_on": _kind("Debugger switched on", 11, 94, 215, 489),
    "bind_all": _kind("Bound to every address", 200, 605, 668, 1327),
    "temp_file": _kind("Insecure temporary file", 377, 378, 379),
    "hardcoded_secret": _kind("Hard-coded secret", 259, 321, 522, 540, 798),
    "buffer_overflow": _kind("Buffer overflow", 119, 120, 121, 122, 242, 676, 787),
    "format_string": _kind("Format string", 134),
    "download_without_check": _kind("Download without a check", 494, 829),
    "runs_as_root": _kind("Runs as root", 250),
    "unpinned": _kind("Unpinned image", 1104, 1357),
    "permissions": _kind("Permissions too wide", 732),
}


def numbers(cwes: Iterable[str]) -> frozenset[int]:
    """The numbers in texts such as `CWE-89: SQL injection`."""
    return frozenset(int(found) for one in cwes for found in re.findall(r"CWE-(\d+)", one))
