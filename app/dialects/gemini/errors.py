"""Errors in Google's shape: a status in words beside the number, and details for programs (google.rpc)."""

from __future__ import annotations

import math

from app.errors import GatewayError

_DOMAIN = "kimi-gateway"
_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_object(error: GatewayError) -> dict[str, object]:
    """What stands under `error`, in a body as in a stream."""
    about: dict[str, object] = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code.upper()}
    about["domain"] = _DOMAIN
    if error.param is not None:
        about["metadata"] = {"param": error.param}
    details = [about]
    if error.wait is not None:
        delay = f"{math.ceil(error.wait)}s"  # as Retry-After has it
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    status = _STATUSES.get(error.status, "INVALID_ARGUMENT")
    return {"code": error.status, "message": error.message, "status": status, "details": details}


def error_answer(error: GatewayError, _request_id: str) -> tuple[int, dict[str, object]]:
    """Status and body of an error answer."""
    return error.status, {"error": error_object(error)}
