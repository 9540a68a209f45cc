"""Errors in Anthropic's shape."""

from __future__ import annotations

import pytest
from anthropic.types import ErrorResponse

from app import errors
from app.dialects.anthropic.errors import error_answer, error_body
from app.errors import GatewayError, InvalidRequest


def test_an_error_byte_for_byte() -> None:
    """`code` and `param` are beyond the vendor's, and tell more."""
    status, body = error_answer(InvalidRequest("messages is missing", param="messages"), "request-1")
    assert status == 400
    assert body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "messages is missing",
            "code": "invalid_request",
            "param": "messages",
        },
        "request_id": "request-1",
    }


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        (errors.InvalidRequest, 400, "invalid_request_error"),
        (errors.AttachmentRefused, 400, "invalid_request_error"),
        (errors.MissingApiKey, 401, "authentication_error"),
        (errors.TokenExpired, 401, "authentication_error"),
        (errors.PlanRequired, 403, "permission_error"),
        (errors.NotFound, 404, "not_found_error"),
        (errors.FileNotFound, 404, "not_found_error"),
        (errors.MethodNotAllowed, 405, "invalid_request_error"),
        (errors.RequestTooLarge, 413, "request_too_large"),
        (errors.UnsupportedMediaType, 415, "invalid_request_error"),
        (errors.RateLimitExceeded, 429, "rate_limit_error"),
        (errors.SecondStreamRefused, 429, "rate_limit_error"),
        (errors.UpstreamBusy, 529, "overloaded_error"),
        (errors.NothingSaid, 529, "overloaded_error"),
        (errors.InternalError, 500, "api_error"),
        (errors.UpstreamTruncated, 502, "api_error"),
        (errors.UpstreamUnavailable, 503, "api_error"),
        (errors.Overloaded, 503, "overloaded_error"),
        (errors.UpstreamTimeout, 504, "timeout_error"),
    ],
)
def test_an_error_has_the_vendor_s_status_and_type(kind: type[GatewayError], status: int, type_: str) -> None:
    """An overload of Kimi's has a status of its own there."""
    answered, body = error_answer(kind("no"), "request-1")
    assert answered == status
    error = body["error"]
    assert isinstance(error, dict)
    assert [body["type"], error["type"], error["message"]] == ["error", type_, "no"]
    assert body["request_id"] == "request-1"
    if status != 413:  # the SDK knows its type only by the status
        ErrorResponse.model_validate(body, strict=True)


def test_an_error_of_a_stream_is_that_of_an_answer() -> None:
    """But for the status, which is out."""
    error = errors.UpstreamBusy("later")
    assert {"type": "error", **error_body(error, "request-1")} == error_answer(error, "request-1")[1]


def test_a_thread_is_refused_in_the_words_that_the_sdks_wait_for() -> None:
    """Their tool runners then send the whole history."""
    _, body = error_answer(InvalidRequest("no", param="thread"), "request-1")
    error = body["error"]
    assert isinstance(error, dict)
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
