"""Errors in Google's shape."""

from __future__ import annotations

import json

import pytest
from google.genai import errors as sdk

from app import errors
from app.dialects.gemini.errors import error_answer, error_object
from app.errors import GatewayError

REASON = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def test_an_error_is_google_s_status() -> None:
    """With the gateway's code, and the field at fault, where programs look for them."""
    error = errors.InvalidRequest("contents is missing.", param="contents")
    about = {"@type": REASON, "reason": "INVALID_REQUEST", "domain": "kimi-gateway", "metadata": {"param": "contents"}}
    told = {"code": 400, "message": "contents is missing.", "status": "INVALID_ARGUMENT", "details": [about]}
    assert [error_object(error), error_answer(error, "id")] == [told, (400, {"error": told})]


@pytest.mark.parametrize(
    ("wait", "delay"), [(30.0, "30s"), (0.2, "1s"), (86_400.5, "86401s"), (1_234_567.0, "1234567s")]
)
def test_when_to_try_again_is_a_duration(wait: float, delay: str) -> None:
    """In whole seconds, never in the form of an exponent."""
    details = error_object(errors.UpstreamBusy("later", retry_after=wait))["details"]
    assert isinstance(details, list)
    assert details[1:] == [{"@type": RETRY, "retryDelay": delay}]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidApiKey("no"), "UNAUTHENTICATED"),
        (errors.AccountRestricted("no"), "PERMISSION_DENIED"),
        (errors.NotFound("no"), "NOT_FOUND"),
        (errors.MethodNotAllowed("no"), "INVALID_ARGUMENT"),
        (errors.RateLimitExceeded("no"), "RESOURCE_EXHAUSTED"),
        (errors.ClientGone("no"), "CANCELLED"),
        (errors.InternalError("no"), "INTERNAL"),
        (errors.UpstreamTruncated("no"), "UNAVAILABLE"),
        (errors.UpstreamUnavailable("no"), "UNAVAILABLE"),
        (errors.UpstreamTimeout("no"), "DEADLINE_EXCEEDED"),
    ],
)
def test_google_s_own_client_reads_the_error(error: GatewayError, status: str) -> None:
    """Status, message and code, whether it came alone or in the one element of an array."""
    body = json.loads(json.dumps({"error": error_object(error)}))
    for told in (body, [body]):
        read = sdk.APIError(error.status, told)
        assert [read.code, read.status, read.message] == [error.status, status, "no"]
