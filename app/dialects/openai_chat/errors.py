"""Errors in OpenAI's shape."""

from __future__ import annotations

from app.errors import GatewayError


def error_object(error: GatewayError) -> dict[str, object]:
    """What stands under `error`, in a body as in a stream."""
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def error_body(error: GatewayError) -> dict[str, object]:
    """The whole body of an error answer."""
    return {"error": error_object(error)}
