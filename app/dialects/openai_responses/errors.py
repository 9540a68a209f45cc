"""Failures after a streamed answer has begun.

The vendor tells of one twice: by an `error` event, which has the error's own words, and by `response.failed`. Both are
needed. SDKs raise for an event with an `error` in it (openai 3.54, _streaming.py) and take `response.failed` for an
event like any other, which several frameworks pass over, so that a failed answer looks like a short one
(langchain-ai/langchain#39039); Codex knows `response.failed` alone.
"""

from __future__ import annotations

from app.dialects.openai.errors import error_object
from app.errors import GatewayError

_TOO_MANY = 429
_SERVER = 500


def error_event(error: GatewayError) -> dict[str, object]:
    """What an `error` event tells: as the vendor's types have it, and once more as the vendor writes it."""
    return {"code": error.code, "message": error.message, "param": error.param, "error": error_object(error)}


def response_error(error: GatewayError) -> dict[str, object]:
    """The `error` of a response that failed; our own code stands in its words, because the vendor's are a closed list.

    Codex sends the request again for all codes but `invalid_prompt`, and after the time that the words tell.
    """
    message = f"{error.message} ({error.code})"
    if error.status == _TOO_MANY:
        wait = "" if error.wait is None else f" Please try again in {error.wait:g}s."
        return {"code": "rate_limit_exceeded", "message": message + wait}
    return {"code": "server_error" if error.status >= _SERVER else "invalid_prompt", "message": message}
