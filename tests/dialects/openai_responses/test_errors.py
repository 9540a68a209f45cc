"""Failures after a streamed answer has begun."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import ResponseError, ResponseErrorEvent

from app.dialects.openai_responses.errors import error_event, response_error
from app.errors import (
    AccountRestricted,
    ContentFiltered,
    ContextLengthExceeded,
    GatewayError,
    InternalError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PlanRequired,
    RateLimitExceeded,
    StructuredOutputFailed,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RateLimitExceeded, "rate_limit_exceeded"),
        (UpstreamBusy, "rate_limit_exceeded"),
        (InvalidRequest, "invalid_prompt"),
        (ContentFiltered, "invalid_prompt"),
        (ContextLengthExceeded, "invalid_prompt"),
        (TokenExpired, "invalid_prompt"),
        (AccountRestricted, "invalid_prompt"),
        (PlanRequired, "invalid_prompt"),
        (NotFound, "invalid_prompt"),
        (UpstreamTruncated, "server_error"),
        (UpstreamProtocolError, "server_error"),
        (UpstreamUnavailable, "server_error"),
        (UpstreamTimeout, "server_error"),
        (StructuredOutputFailed, "server_error"),
        (Overloaded, "server_error"),
        (InternalError, "server_error"),
    ],
)
def test_a_failed_response_has_one_of_the_vendor_s_codes(kind: type[GatewayError], code: str) -> None:
    """Codex stops for what no retry can mend, and repeats the rest; our code stands in the words."""
    error = response_error(kind("No."))
    assert error["code"] == code
    assert str(error["message"]).startswith(f"No. ({kind.code})")
    ResponseError.model_validate_json(json.dumps(error), strict=True)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RateLimitExceeded("No."), "No. (rate_limit_exceeded) Please try again in 30s."),
        (UpstreamBusy("No.", retry_after=2.5), "No. (upstream_busy) Please try again in 2.5s."),
        (UpstreamTruncated("No."), "No. (upstream_truncated)"),
        (InvalidRequest("No.", param="input"), "No. (invalid_request)"),
    ],
)
def test_a_wait_is_told_in_words(error: GatewayError, told: str) -> None:
    """Codex reads it there: a stream that has begun has no headers left."""
    assert response_error(error)["message"] == told


def test_an_error_event_has_both_forms() -> None:
    """That of the vendor's types, and that by which its SDKs know an error."""
    error = error_event(InvalidRequest("No.", param="input"))
    body = {"message": "No.", "type": "invalid_request_error", "param": "input", "code": "invalid_request"}
    assert error == {"code": "invalid_request", "message": "No.", "param": "input", "error": body}
    ResponseErrorEvent.model_validate_json(json.dumps({"type": "error", "sequence_number": 1, **error}), strict=True)
