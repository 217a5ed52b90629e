"""How the API's description names errors, headers and successes: the same words for every route."""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts.errors import Reason
from services.gateway.errors import AWAY, RETRY_AFTER_S


class Error(NamedTuple):
    """One kind of answer that failed."""

    name: str
    """In `components.responses`."""
    text: str
    reason: str
    example: str


ERRORS: dict[int, Error] = {
    400: Error(
        "BadRequest",
        "The request does not fit; the message names the place.",
        Reason.BAD_REQUEST,
        "not a task: Object missing required field `type`",
    ),
    401: Error(
        "Unauthorized",
        "No token, or one that is unknown or expired.",
        Reason.UNAUTHORIZED,
        "send `Authorization: Bearer <token>`; see docs",
    ),
    403: Error(
        "Forbidden",
        "You may not do this, or the token that you have shown is not for it.",
        Reason.FORBIDDEN,
        "accounts are kept by the role `admin`",
    ),
    404: Error(
        "NotFound", "There is no such thing, or it is not yours.", Reason.NOT_FOUND, "no task t1"
    ),
    409: Error(
        "Conflict",
        "The id is taken by other content, or somebody else was quicker.",
        Reason.CONFLICT,
        "task t1 exists with other content: choose another id",
    ),
    413: Error("TooLarge", "Over a limit.", Reason.TOO_LARGE, "the body is too large"),
    415: Error(
        "UnsupportedMediaType",
        "The body is encoded.",
        "unsupported_media_type",
        "send the body as it is, without Content-Encoding",
    ),
    416: Error(
        "NoSuchRange",
        "There are no such bytes; `Content-Range` says how many there are.",
        "range_not_satisfiable",
        "the result has 12 bytes: there are none of that range",
    ),
    429: Error(
        "RateLimited",
        "Too many requests, or too many of something.",
        Reason.RATE_LIMITED,
        "too many requests: wait 7 s",
    ),
    500: Error(
        "Internal",
        "Our fault; the gateway's log has the request id.",
        Reason.INTERNAL,
        "internal error; the gateway's log has it",
    ),
    502: Error(
        "DigestMismatch",
        "Stored bytes are not those they should be.",
        Reason.DIGEST_MISMATCH,
        "the stored result is not the one that its digest names",
    ),
    503: Error(
        "Unavailable",
        "The log, the object store, another service, Hugging Face or GitHub does not answer.",
        Reason.UNAVAILABLE,
        f"{AWAY}: try again",
    ),
    507: Error(
        "DiskFull",
        "The store is nearly full: what is left is kept for the ends of tasks and for operators.",
        Reason.DISK_FULL,
        "the store is nearly full: new tasks and uploads are refused until there is room",
    ),
}
SUCCESS = {200: "Done.", 201: "Made."}
HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "The request's id; one that you send as `X-Request-Id` is kept.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": f"Seconds to wait; {RETRY_AFTER_S} with 503 and 507; in a crowd that"
        " signs in, until one's turn.",
        "schema": {"type": "integer"},
    },
    "Scope": {
        "description": "With `insufficient_scope`: `Bearer`, and which scope is missing.",
        "schema": {"type": "string"},
    },
    "Authenticate": {
        "description": "How to say who you are.",
        "required": True,
        "schema": {"const": "Bearer"},
    },
}
REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
_MORE = {
    401: {"WWW-Authenticate": {"$ref": "#/components/headers/Authenticate"}},
    403: {"WWW-Authenticate": {"$ref": "#/components/headers/Scope"}},
    429: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
    503: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
    507: {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
}


def responses(error: dict[str, Any]) -> dict[str, Any]:
    """The answers that failed, by name; `error` is the schema of what they hold."""
    return {one.name: _response(status, one, error) for status, one in ERRORS.items()}


def _response(status: int, one: Error, error: dict[str, Any]) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"success": {"const": False}, "error": error},
        "required": ["success", "error"],
    }
    example = {
        "success": False,
        "error": {
            "code": status,
            "reason": str(one.reason),
            "message": one.example,
            "path": "/api/tasks",
            "details": None,
            "request_id": "0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50",
        },
    }
    return {
        "description": one.text,
        "headers": REQUEST_ID | _MORE.get(status, {}),
        "content": {"application/json": {"schema": body, "example": example}},
    }
