"""Errors in OpenAI's shape."""

from __future__ import annotations

from app.dialects.openai_chat.errors import error_body, error_object
from app.errors import InvalidRequest, UpstreamTimeout


def test_an_error_has_the_four_fields() -> None:
    """Clients read each of them."""
    assert error_body(InvalidRequest("messages is missing", param="messages")) == {
        "error": {
            "message": "messages is missing",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request",
        }
    }


def test_a_field_that_is_not_at_fault_is_null() -> None:
    """OpenAI sends all four always."""
    assert error_object(UpstreamTimeout("no"))["param"] is None
