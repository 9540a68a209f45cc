"""Errors in OpenAI's shape."""

from __future__ import annotations

from app.dialects.openai.errors import error_answer, error_object
from app.errors import InvalidRequest, UpstreamTimeout


def test_an_error_has_the_four_fields() -> None:
    """Clients read each of them."""
    status, body = error_answer(InvalidRequest("messages is missing", param="messages"), "id")
    assert status == 400
    assert body == {
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
