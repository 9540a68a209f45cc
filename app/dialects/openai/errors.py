"""Errors in OpenAI's shape."""

from __future__ import annotations

from app.errors import GatewayError


def error_object(error: GatewayError) -> dict[str, object]:
    """What stands under `error`, in a body as in a stream."""
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def error_answer(error: GatewayError, _request_id: str) -> tuple[int, dict[str, object]]:
    """Status and body of an error answer."""
    return error.status, {"error": error_object(error)}
