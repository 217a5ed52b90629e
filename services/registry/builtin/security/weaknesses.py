"""The weaknesses that engines name by CWE number: name, way to mend it, kin. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"(?i)\bcwe[-_ ]?(\d{1,5})\b")

WEAKNESSES: dict[int, tuple[str, str]] = {
    20: ("Improper input validation", "Check the value against what is allowed before it is used."),
    22: (
        "Path traversal",
        "Resolve the path and check that it lies below the folder it has to be in.",
    ),
    73: ("External control of file name", "Choose the file from a fixed list, not by its name."),
    77: ("Command injection", "Pass arguments as a list, without a shell."),
    78: ("OS command injection", "Pass arguments as a list, without a shell."),
    79: ("Cross-site scripting", "Escape the value for the place it is shown in; use a template."),
    88: ("Argument injection", "Put `--` before values, or check that none begins with a dash."),
    89: ("SQL injection", "Pass values as parameters of the query, never as part of its text."),
    90: ("LDAP injection", "Escape the value with the LDAP library's own function."),
    91: ("XML injection", "Build XML with a library, and escape values."),
    94: ("Code injection", "Don't run text as code; parse it, or choose from a fixed list."),
    95: ("Eval injection", "Don't run text as code; parse it, or choose from a fixed list."),
    113: ("HTTP header injection", "Refuse line breaks in the values of headers."),
    116: ("Improper encoding of output", "Escape the value for the place it goes to."),
    117: ("Log injection", "Remove line breaks from what is logged."),
    119: ("Memory corruption", "Check sizes before memory is read or written."),
    120: ("Buffer overflow", "Use a function that takes the size of the target."),
    121: ("Stack buffer overflow", "Use a function that takes the size of the target."),
    125: ("Out-of-bounds read", "Check the index against the size first."),
    134: ("Uncontrolled format string", "Use a fixed format and pass the value as an argument."),
    190: ("Integer overflow", "Check the range before the arithmetic."),
    200: ("Exposure of information", "Leave the data out of what others can see."),
    209: ("Error message with inside information", "Log the error; answer with a general message."),
    215: ("Inside information in debug output", "Turn debugging off outside of development."),
    242: ("Inherently dangerous function", "Use the bounded function in its place."),
    250: ("Unnecessary privileges", "Run as a user with no more rights than the work needs."),
    256: ("Plaintext password storage", "Keep only a salted, slow hash of the password."),
    259: ("Hard-coded password", "Read it from the environment or a secret store, and change it."),
    276: ("Incorrect default permissions", "Give rights to the owner only."),
    287: ("Improper authentication", "Check who is asking before the answer."),
    290: ("Authentication by what can be forged", "Check what only the right one can show."),
    295: (
        "Improper certificate validation",
        "Leave the check of certificates on; trust an own authority by its file.",
    ),
    297: ("Certificate with the wrong host name", "Leave the check of host names on."),
    306: ("Missing authentication", "Ask who it is before anything critical is done."),
    311: ("Missing encryption", "Encrypt what is sensitive."),
    312: ("Secrets stored as plain text", "Encrypt the value, or keep it in a secret store."),
    319: ("Cleartext transmission", "Use the encrypted form of the protocol (TLS, SSH)."),
    321: (
        "Hard-coded cryptographic key",
        "Make a new key, and read it from a secret store or the environment.",
    ),
    322: ("Key exchange without checking the host", "Check the host's key against known ones."),
    326: ("Weak encryption", "Use a key of the size recommended today."),
    327: ("Broken cryptography", "Use a current algorithm: AES-GCM, ChaCha20-Poly1305, SHA-256."),
    328: ("Weak hash", "Use SHA-256 or better; for passwords scrypt, bcrypt or Argon2."),
    329: ("Predictable initialization vector", "Make a new random one for every message."),
    330: ("Predictable random values", "Take random values from the system's secure source."),
    338: ("Weak random number generator", "Take random values from the system's secure source."),
    345: ("Data of unproven origin", "Check a signature or a digest before use."),
    346: ("Missing check of origin", "Compare the origin with the ones you expect."),
    347: ("Signature not verified", "Verify the signature with a fixed algorithm and key."),
    349: ("Untrusted data among trusted", "Keep data of others apart from your own."),
    352: ("Cross-site request forgery", "Ask for a token that only your own pages know."),
    353: ("Missing integrity check", "Check a signature or a digest before use."),
    362: ("Race condition", "Do check and use in one step."),
    367: ("Time of check, time of use", "Do check and use in one step."),
    377: ("Insecure temporary file", "Use a function that makes name and file in one step."),
    379: ("Temporary file in an open folder", "Make a folder with rights for the owner only."),
    384: ("Session fixation", "Give a new session after the login."),
    400: ("Uncontrolled use of resources", "Bound size, time and number."),
    401: ("Memory leak", "Free the memory on every way out."),
    415: ("Double free", "Free once, and set the pointer to null."),
    416: ("Use after free", "Don't touch memory after it is freed; set the pointer to null."),
    426: ("Untrusted search path", "Name programs and libraries by their full path."),
    427: ("Uncontrolled search path", "Name programs and libraries by their full path."),
    434: ("Upload of dangerous files", "Check the kind of file; store it where nothing runs it."),
    441: ("Confused deputy", "Check on whose behalf the work is done."),
    457: ("Use of an unset variable", "Fail when the variable is empty or not set."),
    470: ("Unsafe reflection", "Choose the class or function from a fixed list."),
    471: ("Change of what was taken as fixed", "Copy, or refuse names that reach the prototype."),
    476: ("Null pointer dereference", "Check for null first."),
    489: ("Active debug code", "Turn debugging off outside of development."),
    494: ("Code downloaded without a check", "Pin a version, and check its digest first."),
    502: ("Deserialization of untrusted data", "Use a format that runs no code, such as JSON."),
    506: ("Hidden malicious code", "Remove the invisible characters and review the line."),
    522: ("Badly protected credentials", "Keep them in a secret store, and pass them encrypted."),
    532: ("Secrets in logs", "Leave the value out of the log."),
    601: ("Open redirect", "Redirect only to paths of your own, or to a list of sites."),
    611: ("XML external entities", "Turn external entities and DTDs off in the parser."),
    613: ("Sessions that never end", "Give sessions and tokens an end."),
    614: ("Cookie without Secure", "Set Secure, HttpOnly and SameSite on the cookie."),
    639: ("Access by a key of the user's choice", "Check that the record belongs to the user."),
    643: ("XPath injection", "Pass values as variables of the XPath expression."),
    668: ("Exposure to the wrong side", "Listen only where clients are."),
    670: ("Wrong control flow", "Write the condition so that it says what is meant."),
    676: ("Dangerous function", "Use the bounded function in its place."),
    693: ("Protection turned off", "Turn the protection on again."),
    697: ("Wrong comparison", "Compare whole values, not parts of text."),
    732: ("Wrong permissions", "Give rights to the owner only."),
    749: ("Dangerous method exposed", "Expose only what clients need."),
    757: ("Weaker algorithm on request", "Allow current versions of the protocol only."),
    776: ("XML entity expansion", "Turn entities and DTDs off in the parser."),
    787: ("Out-of-bounds write", "Check the size of the target first."),
    798: (
        "Hard-coded credentials",
        "Withdraw it, make a new one, and read that from the environment or a secret store.",
    ),
    829: ("Code from an uncontrolled source", "Pin what is fetched by version and digest."),
    862: ("Missing authorization", "Check the rights of the one who asks."),
    915: ("Mass assignment", "Name the fields that may be set."),
    916: ("Weak password hash", "Use scrypt, bcrypt or Argon2 with current parameters."),
    917: ("Expression language injection", "Don't build expressions from input."),
    918: ("Server-side request forgery", "Fetch only from known hosts; refuse inner addresses."),
    942: ("Permissive cross-domain policy", "Allow only the origins that need it."),
    943: ("NoSQL injection", "Check that the value is a plain string before it is used."),
    1004: ("Cookie without HttpOnly", "Set Secure, HttpOnly and SameSite on the cookie."),
    1007: ("Misleading characters", "Remove the invisible characters and review the line."),
    1104: ("Unmaintained component", "Move to a component that is maintained."),
    1275: ("Cookie without SameSite", "Set Secure, HttpOnly and SameSite on the cookie."),
    1321: ("Prototype pollution", "Refuse the keys `__proto__`, `constructor` and `prototype`."),
    1333: ("Slow regular expression", "Write the expression without nested repetition."),
    1336: ("Template injection", "Keep templates fixed, and pass values to them."),
    1357: ("Component that is not pinned", "Pin what is fetched by version and digest."),
}  # fmt: skip
ANY_FIX = "Find out whether others can control the value; if so, check it first, or do without."

_KIN = (
    {77, 78, 88},
    {94, 95, 1336, 917},
    {22, 23, 36, 73},
    {79, 80, 116},
    {119, 120, 121, 122, 125, 242, 676, 787},
    {256, 259, 312, 321, 522, 798},
    {295, 297, 322},
    {319, 311},
    {326, 327, 328, 757, 916},
    {330, 338},
    {345, 353, 494, 829, 1357},
    {377, 379},
    {276, 732},
    {489, 215, 94},
    {611, 776, 20},
    {506, 1007},
    {614, 1004, 1275},
    {89, 943, 564},
    {693, 942},
    {829, 1104, 1357},
)
"""CWEs by which engines call the same weakness of one place."""


def number(cwe: str) -> int | None:
    """The number in a text such as `CWE-78: OS command injection`."""
    found = _NUMBER.search(cwe)
    return int(found[1]) if found else None


def named(cwe: int) -> str:
    """How a finding names the weakness."""
    name, _ = WEAKNESSES.get(cwe, ("", ""))
    return f"CWE-{cwe}: {name}" if name else f"CWE-{cwe}"


def fix(cwes: Iterable[str]) -> str:
    """How to mend the first of these weaknesses that is known here."""
    for cwe in cwes:
        if (known := WEAKNESSES.get(number(cwe) or 0)) is not None:
            return known[1]
    return ANY_FIX


def kin(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two findings of one place speak of the same weakness."""
    left = {number(cwe) for cwe in one} - {None}
    right = {number(cwe) for cwe in other} - {None}
    return bool(left & right) or any(left & family and right & family for family in _KIN)
