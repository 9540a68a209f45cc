"""Errors in Anthropic's shape, which has a status of its own for an overload."""

from __future__ import annotations

from app.errors import GatewayError, Overloaded, UpstreamBusy

_OVERLOADED = 529
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
_FIRST_OF_SERVER = 500


THREAD = "thread"
"""The field by which a request goes on with a history that the vendor keeps; there is none here."""

_UNSUPPORTED = {"error_code": "thread_unsupported_request", "unsupported": [THREAD]}
"""Upon this the SDKs' tool runners (Python 2.14, node 1.14) send the request once more, with its whole history."""


def error_object(error: GatewayError) -> dict[str, object]:
    """What stands under `error`, in a body as in a stream; `code` and `param` are beyond the vendor's."""
    told: dict[str, object] = {
        "type": _type(error),
        "message": error.message,
        "code": error.code,
        "param": error.param,
    }
    return {**told, "details": _UNSUPPORTED} if error.param == THREAD else told


def error_body(error: GatewayError, request_id: str) -> dict[str, object]:
    """What stands beside the type `error`, in a body as in an event of a stream."""
    return {"error": error_object(error), "request_id": request_id}


def error_answer(error: GatewayError, request_id: str) -> tuple[int, dict[str, object]]:
    """Status and body of an error answer."""
    status = _OVERLOADED if isinstance(error, UpstreamBusy) else error.status
    return status, {"type": "error", **error_body(error, request_id)}


def _type(error: GatewayError) -> str:
    if isinstance(error, UpstreamBusy | Overloaded):
        return "overloaded_error"
    other = "api_error" if error.status >= _FIRST_OF_SERVER else "invalid_request_error"
    return _TYPES.get(error.status, other)
